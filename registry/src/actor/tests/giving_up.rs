//! Agents whose host gave up: out at once, for good until an operator says otherwise, at nobody else's word.

use std::path::Path;

use super::*;
use crate::book::FailError;

const FAILED: State = State::Revoked(RevocationCause::Failed);
const NOT_ITS_LINK: Result<RegistrySequence, VerbError<FailError>> =
    Err(VerbError::Refused(FailError::NotItsLink));

#[test]
fn who_gives_up_is_out_on_return_like_any_revoked_agent() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.writer(name("b"), Duration::from_millis(10));
        let started = Instant::now();
        let sequence = world.door.fail(name("a"), session(1)).await.unwrap();
        assert_eq!(started.elapsed().as_millis(), 10, "it waits at the barrier");
        assert_eq!((sequence, world.door.directory().sequence()), (RegistrySequence(3), RegistrySequence(3)));
        assert_eq!(link.closed(), [LinkClose::Revoked(RevocationCause::Failed)]);
        assert_eq!(*link.good_when_closed.lock().unwrap(), Some(false), "published before the cut");
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "revoked"]);
        let record = world.log.records.lock().unwrap().last().unwrap().clone();
        let cause = RevocationCause::Failed;
        assert_eq!(record.kind, ChangeKind::Revoked { holder: Box::new(holder("a", 1)), cause });
        assert_eq!((world.state("a").await, world.state("b").await), (FAILED, State::Enrolled));
        assert_eq!(world.store.contents.lock().unwrap().burnt.len(), 0, "its key is not burnt");
        world.door.reinstate(name("a")).await.unwrap();
        world.link(holder("a", 1), 2).await.unwrap();
        let good = |minted| world.door.directory().load().is_good(&holder("a", 1), RegistrySequence(minted));
        assert_eq!((good(3), good(4)), (false, true), "its old tokens stay void");
    });
}

#[test]
fn no_other_link_can_give_an_agent_up() {
    run(async {
        let world = World::of_two().await;
        let displaced = world.link(holder("a", 1), 1).await.unwrap();
        let present = world.link(holder("a", 1), 2).await.unwrap();
        world.link(holder("b", 2), 3).await.unwrap();
        for number in [1, 3, 9] {
            assert_eq!(world.door.fail(name("a"), session(number)).await, NOT_ITS_LINK, "session {number}");
        }
        let nobody = world.door.fail(name("nobody"), session(1)).await;
        assert_eq!(nobody, Err(VerbError::Refused(FailError::Unknown)));
        assert_eq!((displaced.closed(), present.closed()), (vec![LinkClose::Displaced], vec![]));
        assert_eq!(world.door.directory().sequence(), RegistrySequence(2), "nothing changed");
        world.door.fail(name("a"), session(2)).await.unwrap();
        assert_eq!(world.door.fail(name("a"), session(2)).await, NOT_ITS_LINK, "it is out already");
    });
}

#[test]
fn a_last_word_counts_though_the_link_is_gone_before_it_is_heard() {
    run(async {
        let world = World::of_two().await;
        world.link(holder("a", 1), 1).await.unwrap();
        assert_eq!(world.door.link_lost(name("a"), session(1)), Offered::Taken);
        world.door.fail(name("a"), session(1)).await.unwrap();
        assert_eq!(world.state("a").await, FAILED);
    });
}

#[test]
fn where_the_silent_are_suspended_the_failed_stay_out_all_the_same() {
    run(async {
        let rules = BookRules { on_silence: OnSilence::Suspend, ..BookRules::default() };
        let world = World::of_two_with(rules).await;
        world.link(holder("a", 1), 1).await.unwrap();
        world.door.fail(name("a"), session(1)).await.unwrap();
        assert!(!world.door.directory().load().may_link(&holder("a", 1)));
        let refused = world.link(holder("a", 1), 2).await.err().unwrap();
        assert_eq!(refused, VerbError::Refused(LoginError::Revoked(RevocationCause::Failed)));
        sleep(secs(300)).await;
        assert_eq!(world.state("a").await, FAILED, "nor does it turn silent");
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "revoked"]);
    });
}

#[test]
fn t_f11_with_the_store_down_giving_up_takes_effect_and_is_stored_later() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.store.failures.store(3, Ordering::SeqCst);
        let answer = world.door.fail(name("a"), session(1)).await;
        assert_eq!(answer, Err(VerbError::NotYetDurable { sequence: RegistrySequence(3) }));
        assert!(!world.is_good(&holder("a", 1)));
        assert_eq!(link.closed(), [LinkClose::Revoked(RevocationCause::Failed)]);
        sleep(secs(10)).await;
        let stored = world.stored("a").unwrap().condition;
        let cause = RevocationCause::Failed;
        assert!(matches!(stored, crate::Condition::Revoked { cause: c, .. } if c == cause), "{stored:?}");
        assert_eq!((world.door.health(), world.log.kinds().len()), (Health::default(), 3));
    });
}

#[test]
fn t_p04_giving_up_survives_kill_9_right_after_it() {
    run(async {
        let (dir, crash) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = Arc::new(Log::default());
        let door = on_disk(dir.path(), &log);
        door.enrol(holder("a", 1), grant(&["read:logs"])).await.unwrap();
        let world =
            World { door, store: MemoryStore::default(), log: Arc::clone(&log), wall: Arc::default() };
        world.link(holder("a", 1), 1).await.unwrap();
        world.door.fail(name("a"), session(1)).await.unwrap();
        // What a killed process leaves: the files as they are, nothing closed, nothing checkpointed.
        for file in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), crash.path().join(file.file_name())).unwrap();
        }
        assert_eq!(log.kinds(), ["enrolled", "revoked"]);
        let again = on_disk(crash.path(), &log);
        let view = again.get(name("a")).await.unwrap().unwrap();
        assert_eq!((view.state, view.valid_from), (FAILED, RegistrySequence(2)));
        again.reinstate(name("a")).await.unwrap();
    });
}

/// A registry on a SQLite store that suspends the silent.
fn on_disk(dir: &Path, log: &Arc<Log>) -> RegistryDoor {
    let key = crate::StoreKey::new(zeroize::Zeroizing::new([2; 32]));
    let store = crate::SqliteStore::open(&dir.join("registry.db"), &SwarmId::new([1; 32]), key);
    let registry = Registry::open(RegistryParts {
        store: Box::new(store.unwrap()),
        journal: Arc::new(LogHandle(Arc::clone(log))),
        clock: Arc::new(|| Timestamp::from_millis(5)),
        rules: BookRules { on_silence: OnSilence::Suspend, ..BookRules::default() },
        witnessed: RegistrySequence(0),
        trusted: Trusted::default(),
        barrier: WriterBarrier::new(),
    });
    registry.unwrap().launch()
}
