//! The actor on a paused clock (threat M11): order of effects, silence, links; `failures` has the rest.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use testudo_wire::amend::{Amendment, Lists};
use testudo_wire::standing::{Holder, Standings, State};
use testudo_wire::{AgentName, SwarmId, TokenFactId};
use tokio::time::{Instant, sleep};

use super::*;
use crate::barrier::WriterSlot;
use crate::book::tests_support::{grant, holder, key, login, name, session};
use crate::book::{ChangeKind, EnrolError, GrantError, LoginError, OnSilence, RevokeError};
use crate::store::memory::MemoryStore;

/// An audit log in memory whose failures a test can order.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<Change>>,
    failures: AtomicUsize,
    hangs: AtomicBool,
    panics: AtomicBool,
}

struct LogHandle(Arc<Log>);

impl Journal for LogHandle {
    fn record(&self, change: &Change, _: Timestamp) -> Recorded {
        let (log, change) = (Arc::clone(&self.0), change.clone());
        Box::pin(async move {
            if log.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            assert!(!log.panics.load(Ordering::SeqCst), "a bug in the log");
            let failing = log.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if failing.is_ok() {
                return Err(JournalError("full".into()));
            }
            log.records.lock().unwrap().push(change);
            Ok(())
        })
    }
}

impl Log {
    fn kinds(&self) -> Vec<&'static str> {
        self.records.lock().unwrap().iter().map(|change| change.kind.as_str()).collect()
    }
}

/// A link that notes why it was closed, and what its agent's standing was by then.
struct FakeLink {
    closed: Mutex<Vec<LinkClose>>,
    good_when_closed: Mutex<Option<bool>>,
    directory: crate::Directory,
    holder: Holder,
}

impl LinkControl for FakeLink {
    fn close(&self, reason: LinkClose) {
        let good = self.directory.load().is_good(&self.holder, RegistrySequence(u64::MAX));
        *self.good_when_closed.lock().unwrap() = Some(good);
        self.closed.lock().unwrap().push(reason);
    }
}

impl FakeLink {
    fn closed(&self) -> Vec<LinkClose> {
        self.closed.lock().unwrap().clone()
    }
}

mod failures;
mod giving_up;
mod joining;
mod trusted;

struct World {
    door: RegistryDoor,
    store: MemoryStore,
    log: Arc<Log>,
    wall: Arc<AtomicU64>,
}

impl World {
    fn open(store: MemoryStore, rules: BookRules, witnessed: u64) -> Result<Self, StartError> {
        let (log, wall) = (Arc::new(Log::default()), Arc::new(AtomicU64::new(1_000)));
        let time = Arc::clone(&wall);
        let registry = Registry::open(RegistryParts {
            store: Box::new(store.clone()),
            journal: Arc::new(LogHandle(Arc::clone(&log))),
            clock: Arc::new(move || Timestamp::from_millis(time.load(Ordering::SeqCst))),
            rules,
            witnessed: RegistrySequence(witnessed),
            trusted: Trusted::default(),
            barrier: WriterBarrier::new(),
        })?;
        Ok(Self { door: registry.launch(), store, log, wall })
    }

    /// A registry with `a` (key 1) and `b` (key 2) enrolled.
    async fn of_two() -> Self {
        Self::of_two_with(BookRules::default()).await
    }

    async fn of_two_with(rules: BookRules) -> Self {
        let world = Self::open(MemoryStore::default(), rules, 0).unwrap();
        for (text, seed) in [("a", 1), ("b", 2)] {
            world.door.enrol(holder(text, seed), grant(&["read:logs", "write:logs"])).await.unwrap();
        }
        world
    }

    async fn link(&self, who: Holder, number: u8) -> Result<Arc<FakeLink>, VerbError<LoginError>> {
        let (link, request) = self.request(who, number);
        self.door.login(request).await.map(|_| link)
    }

    fn request(&self, who: Holder, number: u8) -> (Arc<FakeLink>, LinkRequest) {
        let link = Arc::new(FakeLink {
            closed: Mutex::default(),
            good_when_closed: Mutex::default(),
            directory: self.door.directory().clone(),
            holder: who,
        });
        let control: Arc<dyn LinkControl> = Arc::clone(&link) as _;
        (link, LinkRequest { login: login(who, number), control })
    }

    async fn state(&self, text: &str) -> State {
        self.door.get(name(text)).await.unwrap().unwrap().state
    }

    fn stored(&self, text: &str) -> Option<crate::Record> {
        let contents = self.store.contents.lock().unwrap();
        contents.agents.iter().find(|record| record.holder.name == name(text)).cloned()
    }

    fn is_good(&self, who: &Holder) -> bool {
        self.door.directory().load().is_good(who, RegistrySequence(u64::MAX))
    }

    /// A link writer that acknowledges each change this long after it was published.
    fn writer(&self, of: AgentName, lag: Duration) -> Arc<AtomicUsize> {
        let closed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&closed);
        let close: crate::Closer = Arc::new(move || _ = count.fetch_add(1, Ordering::SeqCst));
        let slot: WriterSlot = self.door.barrier().register(of, self.door.directory().sequence(), close);
        let mut changed = self.door.directory().changed();
        tokio::spawn(async move {
            while changed.changed().await.is_ok() {
                let sequence = *changed.borrow_and_update();
                sleep(lag).await;
                slot.acknowledge(sequence);
            }
        });
        closed
    }
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn run(test: impl Future<Output = ()>) {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    actix::System::with_tokio_rt(runtime).block_on(test);
}

const OPERATOR: RevocationCause = RevocationCause::Operator;

#[test]
fn t_p05_the_silent_one_is_revoked_after_two_intervals_and_the_live_one_never() {
    run(async {
        let world = World::of_two().await;
        let quiet = world.link(holder("a", 1), 1).await.unwrap();
        let live = world.link(holder("b", 2), 2).await.unwrap();
        let started = Instant::now();
        while started.elapsed() < secs(600) {
            world.door.heartbeat(name("b"), session(2));
            sleep(secs(5)).await;
            let out = started.elapsed() > secs(65);
            if started.elapsed() < secs(60) || out {
                assert_eq!(quiet.closed().is_empty(), !out, "at {:?}", started.elapsed());
            }
        }
        assert_eq!(quiet.closed(), [LinkClose::Revoked(RevocationCause::Silent)]);
        assert_eq!((live.closed(), world.state("b").await), (vec![], State::Active));
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "revoked"], "exactly once");
        let refused = world.link(holder("a", 1), 3).await.err().unwrap();
        assert_eq!(refused, VerbError::Refused(LoginError::Revoked(RevocationCause::Silent)));
        world.door.reinstate(name("a")).await.unwrap();
        world.link(holder("a", 1), 4).await.unwrap();
        let good = |minted| world.door.directory().load().is_good(&holder("a", 1), RegistrySequence(minted));
        assert_eq!((good(3), good(4)), (false, true), "its old tokens stay void");
    });
}

#[test]
fn t_a78_a_jump_of_the_wall_clock_revokes_nobody() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.wall.store(86_400_000, Ordering::SeqCst);
        sleep(secs(30)).await;
        world.wall.store(0, Ordering::SeqCst);
        sleep(secs(25)).await;
        assert!(link.closed().is_empty());
    });
}

#[test]
fn t_f18_time_that_passes_at_once_is_a_pause_and_gives_grace() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        sleep(secs(50)).await;
        tokio::time::advance(secs(40)).await;
        sleep(secs(58)).await;
        assert!(link.closed().is_empty(), "one full deadline after the pause");
        sleep(secs(5)).await;
        assert_eq!(link.closed(), [LinkClose::Revoked(RevocationCause::Silent)]);
    });
}

#[test]
fn a_suspended_agent_is_back_with_its_next_login() {
    run(async {
        let rules = BookRules { on_silence: OnSilence::Suspend, ..BookRules::default() };
        let world = World::of_two_with(rules).await;
        world.link(holder("a", 1), 1).await.unwrap();
        sleep(secs(70)).await;
        assert_eq!(world.state("a").await, State::Revoked(RevocationCause::Silent));
        assert!(world.door.directory().load().may_link(&holder("a", 1)));
        world.link(holder("a", 1), 2).await.unwrap();
        assert_eq!(world.state("a").await, State::Active);
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "revoked", "reinstated"]);
        assert_eq!(world.stored("a").unwrap().valid_from, RegistrySequence(4));
    });
}

#[test]
fn t_a38_revoke_returns_after_store_record_directory_cut_and_barrier() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        let prompt = world.writer(name("b"), Duration::from_millis(10));
        let started = Instant::now();
        let sequence = world.door.revoke(name("a"), OPERATOR).await.unwrap();
        assert_eq!(started.elapsed().as_millis(), 10, "the answer waits for the writer, no longer");
        assert_eq!((sequence, world.door.directory().sequence()), (RegistrySequence(3), RegistrySequence(3)));
        assert!(!world.is_good(&holder("a", 1)));
        assert_eq!(link.closed(), [LinkClose::Revoked(OPERATOR)]);
        assert_eq!(*link.good_when_closed.lock().unwrap(), Some(false), "published before the cut");
        assert_eq!((world.log.kinds().last(), prompt.load(Ordering::SeqCst)), (Some(&"revoked"), 0));
        assert!(matches!(world.stored("a").unwrap().condition, crate::Condition::Revoked { .. }));
        assert_eq!(world.store.contents.lock().unwrap().burnt.len(), 1);
        let again = world.door.enrol(holder("c", 1), grant(&[])).await;
        assert_eq!(again, Err(VerbError::Refused(EnrolError::BurntKey)));
    });
}

#[test]
fn t_p04_a_writer_that_lags_is_closed_at_50_ms() {
    run(async {
        let world = World::of_two().await;
        let slow = world.writer(name("b"), secs(5));
        let prompt = world.writer(name("a"), Duration::ZERO);
        let started = Instant::now();
        world.door.revoke(name("a"), OPERATOR).await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_millis(50));
        assert_eq!((slow.load(Ordering::SeqCst), prompt.load(Ordering::SeqCst)), (1, 0));
    });
}

#[test]
fn narrowing_a_grant_and_revoking_a_token_wait_at_the_barrier_too() {
    run(async {
        let world = World::of_two().await;
        world.writer(name("b"), Duration::from_millis(20));
        let started = Instant::now();
        world.door.narrow(name("a"), grant(&["read:logs"])).await.unwrap();
        let id = TokenFactId::new([5; 16]);
        world.door.revoke_token(id).await.unwrap();
        world.door.revoke_token(id).await.unwrap();
        world.door.regrant(name("a"), grant(&["write:logs"])).await.unwrap();
        assert_eq!(started.elapsed().as_millis(), 60);
        assert!(world.door.directory().load().is_revoked(&id));
        let wide = world.door.narrow(name("a"), grant(&["read:logs"])).await;
        assert_eq!(wide, Err(VerbError::Refused(GrantError::Widens)));
        let kinds = world.log.kinds();
        assert_eq!(kinds[2..], ["narrowed", "token revoked", "regranted"]);
    });
}

#[test]
fn two_who_amend_one_grant_at_once_undo_nothing_of_each_other() {
    run(async {
        let world = World::of_two().await;
        let before = world.door.directory().load().agent(&name("a")).unwrap().grant.right.clone();
        let add = |text: &str| {
            let add = Lists { right: grant(&[text]).right, ..Lists::default() };
            world.door.amend(name("a"), Amendment { add, ..Amendment::default() })
        };
        let (one, other) = tokio::join!(add("write:one"), add("write:other"));
        let last = one.unwrap().max(other.unwrap());
        assert_eq!(add("write:one").await.unwrap(), last, "it has that: no change, no number");
        let remove = Lists { right: grant(&["write:one", "write:other"]).right, ..Lists::default() };
        let less = Amendment { remove, ..Amendment::default() };
        world.door.amend(name("a"), less).await.unwrap();
        let after = world.door.directory().load().agent(&name("a")).unwrap().grant.right.clone();
        assert_eq!(after, before);
        assert_eq!(world.log.kinds()[2..], ["regranted", "regranted", "narrowed"]);
    });
}

#[test]
fn with_sqlite_everything_survives_a_restart() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (path, swarm) = (dir.path().join("registry.db"), SwarmId::new([1; 32]));
        let log = Arc::new(Log::default());
        let sealing = || crate::StoreKey::new(zeroize::Zeroizing::new([2; 32]));
        let open = || {
            let registry = Registry::open(RegistryParts {
                store: Box::new(crate::SqliteStore::open(&path, &swarm, sealing()).unwrap()),
                journal: Arc::new(LogHandle(Arc::clone(&log))),
                clock: Arc::new(|| Timestamp::from_millis(5)),
                rules: BookRules::default(),
                witnessed: RegistrySequence(0),
                trusted: Trusted::default(),
                barrier: WriterBarrier::new(),
            });
            registry.unwrap().launch()
        };
        let door = open();
        door.enrol(holder("a", 1), grant(&["read:logs"])).await.unwrap();
        door.enrol(holder("b", 2), grant(&["read:logs"])).await.unwrap();
        door.narrow(name("b"), grant(&[])).await.unwrap();
        door.revoke(name("a"), OPERATOR).await.unwrap();
        door.revoke_token(TokenFactId::new([4; 16])).await.unwrap();
        let before = door.list().await.unwrap();
        door.shut_down().await.unwrap();
        drop(door);
        sleep(secs(1)).await;
        let door = open();
        assert_eq!(door.list().await.unwrap(), before);
        assert_eq!(door.directory().sequence(), RegistrySequence(5));
        assert!(door.directory().load().is_revoked(&TokenFactId::new([4; 16])));
        let burnt = door.enrol(holder("a", 1), grant(&[])).await;
        assert_eq!(burnt, Err(VerbError::Refused(EnrolError::BurntKey)));
    });
}

#[test]
fn a_revocation_goes_on_when_its_caller_goes_away() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.writer(name("b"), Duration::from_millis(20));
        let limit = Duration::from_millis(1);
        assert!(tokio::time::timeout(limit, world.door.revoke(name("a"), OPERATOR)).await.is_err());
        sleep(secs(1)).await;
        assert_eq!(link.closed(), [LinkClose::Revoked(OPERATOR)]);
        assert_eq!(world.state("a").await, State::Revoked(OPERATOR));
    });
}

#[test]
fn a_second_link_is_audited_and_closes_the_first_and_a_fight_closes_both() {
    run(async {
        let world = World::of_two().await;
        let mut links = vec![];
        for number in 1..=4 {
            links.push(world.link(holder("a", 1), number).await.unwrap());
        }
        assert!(links[..3].iter().all(|link| link.closed() == [LinkClose::Displaced]));
        let refused = world.link(holder("a", 1), 5).await.err().unwrap();
        assert!(matches!(refused, VerbError::Refused(LoginError::DisplacedTooOften { .. })));
        assert_eq!(links[3].closed(), [LinkClose::DisplacedTooOften]);
        let kinds = world.log.kinds();
        assert_eq!(kinds[2..], ["displaced", "displaced", "displaced", "displaced too often"]);
        assert_eq!(world.door.directory().sequence(), RegistrySequence(2), "links publish nothing");
    });
}

#[test]
fn a_lost_link_is_known_before_the_next_login_and_a_goodbye_stops_the_lease() {
    run(async {
        let world = World::of_two().await;
        let lost = world.link(holder("a", 1), 1).await.unwrap();
        assert_eq!(world.door.link_lost(name("a"), session(1)), Offered::Taken);
        world.link(holder("a", 1), 2).await.unwrap();
        assert!(lost.closed().is_empty() && world.log.kinds().len() == 2, "no displacement");
        world.door.goodbye(name("a"), session(2)).await.unwrap();
        sleep(secs(300)).await;
        assert_eq!(world.state("a").await, State::Offline);
        assert_eq!(world.stored("a").unwrap().condition, crate::Condition::Offline);
    });
}

#[test]
fn links_that_only_come_and_go_cost_one_write_a_second() {
    run(async {
        let world = World::of_two().await;
        sleep(secs(2)).await;
        let before = world.store.commits.load(Ordering::SeqCst);
        for number in 0..50 {
            world.link(holder("a", 1), number).await.unwrap();
            world.door.link_lost(name("a"), session(number));
        }
        sleep(secs(30)).await;
        assert_eq!(world.store.commits.load(Ordering::SeqCst) - before, 1);
        assert_eq!(world.stored("a").unwrap().condition, crate::Condition::Leased);
    });
}

#[test]
fn a_restart_gives_those_who_were_connected_one_deadline_of_grace() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.door.shut_down().await.unwrap();
        assert_eq!(link.closed(), [LinkClose::Shutdown]);
        sleep(secs(1)).await;
        assert!(!world.door.is_alive());
        assert_eq!(world.door.revoke(name("a"), OPERATOR).await, Err(VerbError::<RevokeError>::Closed));
        sleep(secs(3_600)).await;
        let again = World::open(world.store.clone(), BookRules::default(), 2).unwrap();
        sleep(secs(58)).await;
        assert_eq!(again.state("a").await, State::Offline);
        sleep(secs(5)).await;
        assert_eq!(again.state("a").await, State::Revoked(RevocationCause::Silent));
        assert_eq!(again.state("b").await, State::Enrolled, "who never came has no lease");
    });
}

#[test]
fn t_a75_an_old_copy_of_the_store_is_refused() {
    run(async {
        let world = World::of_two().await;
        let (stored, witnessed) = (RegistrySequence(2), RegistrySequence(3));
        let old = World::open(world.store.clone(), BookRules::default(), 3).err().unwrap();
        assert_eq!(old, StartError::RolledBack { stored, witnessed });
    });
}

#[test]
fn t_m08_many_callers_at_once_are_all_answered_in_order() {
    run(async {
        let world = World::open(MemoryStore::default(), BookRules::default(), 0).unwrap();
        let asks = (0..200).map(|i| {
            let door = world.door.clone();
            let who = Holder { name: name(&format!("n{i}")), key: key(i) };
            tokio::spawn(async move { door.enrol(who, grant(&[])).await.unwrap() })
        });
        let mut sequences = vec![];
        for ask in asks.collect::<Vec<_>>() {
            sequences.push(ask.await.unwrap().0);
        }
        sequences.sort_unstable();
        assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
        assert_eq!(world.door.list().await.unwrap().len(), 200);
        let recorded: Vec<_> = world.log.records.lock().unwrap().iter().map(|c| c.sequence.0).collect();
        assert_eq!(recorded, sequences, "the audit log has them in the order of their numbers");
        assert!(
            world.log.records.lock().unwrap().iter().all(|c| matches!(c.kind, ChangeKind::Enrolled { .. }))
        );
    });
}
