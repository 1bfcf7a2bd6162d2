//! Agents and nodes that find each other again, however the node went: a thousand restarts and kills, fifty members
//! at once, links that are still being opened, revocations meanwhile; and how a node leaves under traffic. On one
//! paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::ledger::Ledger;
use support::site::{Site, Staying};
use support::swarm::name;
use support::tally::Tally;
use support::world::message;
use support::{pass, sim, until};
use testudo_bus::audit::{LogReader, verify_dir};
use testudo_bus::client::{Arrivals, DialError, Ended, Member, Outgoing, SendError};
use testudo_rules::audit::{Event, LinkChange, LinkEvent, NodeEvent, Record};
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::{RevocationCause, State};
use testudo_wire::{ContentType, MessageId, Resource, Ttl};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than any link that nobody answers on.
const LONG: Duration = Duration::from_secs(120);

fn news() -> Resource {
    Resource::parse("news").unwrap()
}

/// Answers whatever is asked, and fails if anything comes twice.
fn serve(member: Member, mut arrivals: Arrivals) -> (Arc<Mutex<BTreeSet<MessageId>>>, JoinHandle<()>) {
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let handled = taken.clone();
    let serving = tokio::spawn(async move {
        while let Some(delivery) = arrivals.next().await {
            assert!(handled.lock().unwrap().insert(delivery.message()), "handled twice");
            if delivery.wants_reply() {
                let _ = member.reply(&delivery, ContentType::text(), delivery.body()).await;
            }
        }
    });
    (taken, serving)
}

fn lasting(ttl: Duration) -> Outgoing {
    let mut message = message("reader", "read:logs", "question");
    message.ttl = Ttl::clamped(ttl);
    message
}

impl Site {
    async fn member(&self, who: &str, right: &[&str], serve: &[&str]) -> Staying {
        let identity = self.enrol(who, right, serve).await;
        let staying = self.join(identity);
        staying.member.connected().await.unwrap();
        staying
    }

    /// The log verifies, and says what the last node's account says.
    async fn over(mut self) {
        let metrics = self.node().metrics().clone();
        let account = self.stop().await;
        assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
        let log = self.dir.path().join("audit");
        let mut tally = Tally::default();
        tally.read(&log);
        tally.agrees_with(&account, &metrics);
        verify_dir(&log, &self.swarm.log_key.public(), &self.swarm.origin()).unwrap();
    }
}

/// A thousand restarts, in good order and by `kill -9`, spread over swarms so that no log grows without end.
#[test]
fn a_thousand_restarts_leave_no_agent_stuck_and_nothing_handled_twice() {
    let swarms = AtomicU64::new(0);
    let work = || {
        for swarm in std::iter::repeat_with(|| swarms.fetch_add(1, Ordering::Relaxed)).take_while(|n| *n < 20)
        {
            sim(restarted(swarm, 50));
        }
    };
    std::thread::scope(|threads| {
        let others = threads.spawn(work);
        work();
        others.join().unwrap();
    });
}

async fn restarted(seed: u64, restarts: u64) {
    let mut site = Site::new(seed);
    let Staying { member: asker, arrivals, .. } = site.member("asker", &["read:logs"], &[]).await;
    drop(arrivals);
    let reader = site.member("reader", &["subscribe:news"], &["read:logs"]).await;
    reader.member.subscribe(news()).await.unwrap();
    let (handled, serving) = serve(reader.member.clone(), reader.arrivals);
    let mut answered = 0;
    for n in 0..restarts {
        let asking = asker.clone();
        let open = tokio::spawn(async move { asking.request(lasting(LONG)).await });
        pass(Duration::from_millis((n * 7 + seed) % 11)).await;
        if n % 4 == 3 {
            site.kill();
        } else {
            site.stop().await;
        }
        pass(Duration::from_millis(n % 5 * 100)).await;
        site.start();
        // Whatever was open comes to an end, and nobody who waited for it waits for ever.
        match timeout(LONG, open).await.expect("no request is stuck").unwrap() {
            Ok(answer) => assert_eq!(answer.body(), "question"),
            Err(SendError::Unknown | SendError::Refused { .. }) => {}
            Err(other) => panic!("restart {n} of {seed}: {other}"),
        }
        let answer = async {
            loop {
                // The reader may not be back yet.
                match asker.request(lasting(LONG)).await {
                    Ok(_) => break,
                    Err(_) => pass(SECOND / 10).await,
                }
            }
        };
        timeout(LONG, answer).await.expect("no agent is stuck");
        answered += 1;
        assert_eq!(reader.member.topics(), [news()].into(), "restart {n} of {seed}");
    }
    assert_eq!(answered, restarts);
    assert!(handled.lock().unwrap().len() as u64 >= restarts);
    asker.goodbye().await;
    reader.member.goodbye().await;
    serving.await.unwrap();
    site.over().await;
}

#[test]
fn a_node_that_was_killed_finds_its_agents_again_before_it_calls_them_silent() {
    sim(async {
        let mut site = Site::new(1);
        let asker = site.member("asker", &["read:logs"], &[]).await;
        let reader = site.member("reader", &["write:nothing"], &["read:logs"]).await;
        let (_, serving) = serve(reader.member.clone(), reader.arrivals);
        pass(5 * SECOND).await;
        let before = asker.member.session();
        site.kill();
        site.start();
        pass(25 * SECOND).await;
        assert!(asker.member.session().is_some_and(|session| Some(session) != before));
        assert_eq!(asker.member.request(lasting(SECOND)).await.unwrap().body(), "question");
        pass(200 * SECOND).await;
        for who in ["asker", "reader"] {
            let standing = site.node().registry().get(name(who)).await.unwrap().unwrap();
            assert_eq!(standing.state, State::Active, "{who}");
        }
        asker.member.goodbye().await;
        reader.member.goodbye().await;
        serving.await.unwrap();
        site.over().await;
    });
}

#[test]
fn what_comes_while_a_link_is_still_shown_its_tokens_is_answered_on_it() {
    sim(async {
        let mut site = Site::new(2);
        let asker = site.member("asker", &["read:logs"], &[]).await;
        let reader = site.member("reader", &["write:nothing"], &["read:logs"]).await;
        // So many that a new link is shown them over more than a second.
        let (from, to) = (asker.member.identity(), reader.member.identity());
        let tokens: Vec<_> = (0..20).map(|_| site.swarm.delegated(&from, &to, "read:logs")).collect();
        for token in tokens {
            let token = token.seal().unwrap();
            while reader.member.present(&token).await.is_err() {
                pass(SECOND).await;
            }
        }
        let (_, serving) = serve(reader.member.clone(), reader.arrivals);
        site.stop().await;
        site.start();
        asker.member.connected().await.unwrap();
        until("the reader dials", || site.node().linked().contains(&name("reader"))).await;
        pass(SECOND / 10).await;
        assert!(!reader.member.is_connected(), "too early for this test");
        assert_eq!(asker.member.request(lasting(SECOND)).await.unwrap().body(), "question");
        assert!(!reader.member.is_connected(), "too late for this test");
        reader.member.connected().await.unwrap();
        reader.member.goodbye().await;
        serving.await.unwrap();
        site.over().await;
    });
}

#[test]
fn fifty_members_do_not_return_as_one() {
    sim(async {
        let mut site = Site::new(3);
        let mut members = Vec::new();
        for n in 0..50 {
            members.push(site.member(&format!("m{n}"), &["read:logs"], &[]).await.member);
        }
        site.stop().await;
        site.start();
        let back = timeout(LONG, async {
            for member in &members {
                member.connected().await.unwrap();
            }
        });
        back.await.expect("everyone comes back");
        let log = LogReader::new(&site.dir.path().join("audit"), 0);
        let log: Vec<_> = log.map(|record| record.unwrap().1).collect();
        let is_start = |record: &Record| matches!(record.event, Event::Node(NodeEvent::Started { .. }));
        let is_open = |record: &&Record| {
            matches!(&record.event, Event::Link(LinkEvent { what: LinkChange::Opened, .. }))
        };
        let start = log.iter().rposition(is_start).unwrap();
        let mut opened = BTreeMap::<_, u32>::new();
        for record in log[start..].iter().filter(is_open) {
            *opened.entry(record.at).or_default() += 1;
        }
        assert_eq!(opened.values().sum::<u32>(), 50);
        assert!(opened.values().all(|at_once| *at_once <= 5), "{opened:?}");
        assert!(opened.len() > 30, "{opened:?}");
        site.over().await;
    });
}

#[test]
fn a_request_that_a_link_took_with_it_is_unknown_and_its_answer_goes_nowhere() {
    sim(async {
        for is_killed in [false, true] {
            let mut site = Site::new(5);
            let asker = site.member("asker", &["read:logs"], &[]).await;
            let mut reader = site.member("reader", &["write:nothing"], &["read:logs"]).await;
            let asking = asker.member.clone();
            let open = tokio::spawn(async move { asking.request(lasting(LONG)).await });
            let request = reader.arrivals.next().await.unwrap();
            if is_killed {
                site.kill();
            } else {
                site.stop().await;
            }
            site.start();
            reader.member.cancelled(&request).await;
            assert_eq!(open.await.unwrap().unwrap_err(), SendError::Unknown);
            reader.member.connected().await.unwrap();
            asker.member.connected().await.unwrap();
            let late = reader.member.reply(&request, ContentType::text(), "late").await;
            assert!(matches!(late, Err(SendError::Cancelled | SendError::Unknown)), "{late:?}");
            pass(SECOND).await;
            let mut tally = Tally::default();
            tally.read(&site.dir.path().join("audit"));
            assert!(tally.messages.values().all(|judged| !judged.is_answer), "{:?}", tally.messages);
            site.over().await;
        }
    });
}

#[test]
fn a_token_from_somebody_else_is_shown_to_the_next_node_too() {
    sim(async {
        let mut site = Site::new(6);
        let owner = site.member("owner", &["read:logs"], &[]).await;
        let agent = site.member("agent", &["write:nothing"], &[]).await;
        let reader = site.member("reader", &["write:nothing"], &["read:logs"]).await;
        let (taken, serving) = serve(reader.member.clone(), reader.arrivals);
        let token = site.swarm.delegated(&owner.member.identity(), &agent.member.identity(), "read:logs");
        let id = agent.member.present(&token.seal().unwrap()).await.unwrap();
        for _ in 0..3 {
            site.stop().await;
            site.start();
            for member in [&agent.member, &reader.member] {
                member.connected().await.unwrap();
            }
            let mut message = lasting(SECOND);
            message.token = Some(id);
            agent.member.deliver(message).await.unwrap();
        }
        assert_eq!(taken.lock().unwrap().len(), 3);
        reader.member.goodbye().await;
        serving.await.unwrap();
        site.over().await;
    });
}

#[test]
fn a_revoked_member_and_a_displaced_one_stop_for_good_and_say_why() {
    sim(async {
        let mut site = Site::new(7);
        let here = site.member("here", &["read:logs"], &[]).await;
        let away = site.member("away", &["read:logs"], &[]).await;
        let first = site.member("first", &["read:logs"], &[]).await;
        site.net.cut(away.address, site.address);
        for who in ["here", "away"] {
            site.node().registry().revoke(name(who), RevocationCause::Operator).await.unwrap();
        }
        let ended = timeout(SECOND, here.member.ended()).await.unwrap();
        let reason = CloseReason::Revoked(RevocationCause::Operator);
        assert!(
            matches!(&ended, Ended::Refused(why) if matches!(**why, DialError::Closed(r) if r == reason))
        );
        pass(LONG).await;
        site.net.heal(away.address, site.address);
        let ended = timeout(20 * SECOND, away.member.ended()).await.unwrap();
        assert!(matches!(&ended, Ended::Refused(why) if matches!(**why, DialError::Revoked)), "{ended:?}");

        let second = site.join(first.member.identity().as_ref().clone());
        let ended = timeout(5 * SECOND, first.member.ended()).await.unwrap();
        let displaced = |why: &DialError| matches!(why, DialError::Closed(CloseReason::Displaced));
        assert!(matches!(&ended, Ended::Refused(why) if displaced(why)), "{ended:?}");
        assert_eq!(first.member.tell(lasting(SECOND)).await, Err(SendError::NoLink(1_000)));
        let opened = |site: &Site| Ledger::read(&site.dir.path().join("audit")).opened(name("first"));
        let before = opened(&site);
        pass(LONG).await;
        assert_eq!(opened(&site), before, "it does not come back");
        assert!(second.member.is_connected());
        // Nor does a restart bring anyone back.
        site.stop().await;
        site.start();
        second.member.connected().await.unwrap();
        pass(LONG).await;
        assert_eq!(site.node().linked(), [name("first")]);
        site.over().await;
    });
}

#[test]
fn a_member_whose_node_is_away_at_the_start_keeps_dialling() {
    sim(async {
        let mut site = Site::new(8);
        let identity = site.enrol("early", &["read:logs"], &[]).await;
        site.stop().await;
        let early = site.join(identity);
        assert!(timeout(10 * LONG, early.member.connected()).await.is_err(), "nobody answers");
        site.start();
        timeout(15 * SECOND, early.member.connected())
            .await
            .expect("found in one wait and one dial")
            .unwrap();
        early.member.goodbye().await;
        assert!(matches!(early.member.ended().await, Ended::Left));
        site.over().await;
    });
}

#[test]
fn a_shut_down_under_traffic_drains_in_time_and_leaves_nothing_open() {
    sim(async {
        for is_cut in [false, true] {
            let site = Site::new(9);
            let reader = site.member("reader", &["write:nothing"], &["read:logs"]).await;
            let (_, serving) = serve(reader.member.clone(), reader.arrivals);
            let mut flooding = Vec::new();
            for n in 0..3 {
                let sender = site.member(&format!("sender{n}"), &["read:logs"], &[]).await.member;
                flooding.push(tokio::spawn(async move {
                    while sender.is_connected() {
                        let _ = sender.post(lasting(LONG)).await;
                        pass(Duration::from_millis(1)).await;
                    }
                }));
            }
            pass(SECOND).await;
            if is_cut {
                site.net.cut(reader.address, site.address);
                pass(SECOND / 2).await;
            }
            let metrics = site.node().metrics().clone();
            let begun = Instant::now();
            let account = site.node().shut_down().await;
            let took = begun.elapsed();
            assert!(took <= 5 * SECOND, "{took:?}");
            assert!(account.is_balanced() && account.delivered > 1_000, "{account:?}");
            assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
            let lost = (metrics.drops(), metrics.failures());
            assert_eq!(lost != (Vec::new(), Vec::new()), is_cut, "{lost:?}");
            Ledger::read(&site.dir.path().join("audit")).agrees_with(&account, &metrics);
            let (log, key) = (site.dir.path().join("audit"), site.swarm.log_key.public());
            let verified = verify_dir(&log, &key, &site.swarm.origin()).unwrap();
            assert_eq!(verified.sealed, verified.records, "the last checkpoint is final");
            for task in flooding {
                task.await.unwrap();
            }
            reader.member.goodbye().await;
            serving.await.unwrap();
        }
    });
}
