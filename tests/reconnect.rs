//! Members that stay in the swarm while its node goes and comes back. On one paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::swarm::name;
use support::world::message;
use support::{World, pass, sim, until};
use testudo_bus::client::{Arrivals, ClientIdentity, DialError, Ended, Member, SendError};
use testudo_wire::frame::CloseReason;
use testudo_wire::standing::{RevocationCause, State};
use testudo_wire::{ContentType, MessageId, Ttl};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const MINUTE: Duration = Duration::from_secs(60);

impl World {
    fn member(&self, identity: ClientIdentity) -> (Member, Arrivals) {
        let (_, endpoint) = self.endpoint();
        let env = self.swarm.env.another();
        Member::join(move || Ok(endpoint.clone()), self.address, Arc::new(identity), None, env)
    }

    async fn join(&self, who: &str, right: &[&str], serve: &[&str]) -> (Member, Arrivals) {
        let (member, arrivals) = self.member(self.enrol(who, right, serve).await);
        timeout(MINUTE, member.connected()).await.unwrap().unwrap();
        (member, arrivals)
    }

    /// The node goes in good order; its address answers nobody for a while; it comes back from its disk.
    async fn restart(self, away: Duration) -> Self {
        let Self { swarm, net, dir, address, node } = self;
        node.shut_down().await;
        drop(node);
        pass(away).await;
        let (node, _) = swarm.node(dir.path(), net.bind_at(address)).unwrap();
        Self { swarm, net, dir, address, node }
    }
}

/// Takes whatever comes, answers what asks, and says what it took.
fn serve(member: Member, mut arrivals: Arrivals) -> JoinHandle<BTreeSet<MessageId>> {
    tokio::spawn(async move {
        let mut taken = BTreeSet::new();
        while let Some(delivery) = arrivals.next().await {
            assert!(taken.insert(delivery.message()), "handled twice");
            if delivery.wants_reply() {
                let _ = member.reply(&delivery, ContentType::text(), "answer").await;
            }
        }
        taken
    })
}

#[test]
fn restarts_leave_nobody_behind_and_nothing_is_handled_twice() {
    // Each costs real time: the node syncs its registry and its log to the disk.
    const RESTARTS: usize = 60;
    sim(async {
        let mut world = World::new(1);
        let (asker, _answers) = world.join("asker", &["read:logs"], &[]).await;
        let (reader, arrivals) = world.join("reader", &["write:nothing"], &["read:logs"]).await;
        let serving = serve(reader.clone(), arrivals);
        let (answered, unknown) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let asking = {
            let (asker, answered, unknown) = (asker.clone(), answered.clone(), unknown.clone());
            tokio::spawn(async move {
                loop {
                    pass(Duration::from_millis(100)).await;
                    match asker.request(message("reader", "read:logs", "question")).await {
                        Ok(answer) => {
                            assert_eq!(answer.body(), "answer");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(SendError::Unknown) => _ = unknown.fetch_add(1, Ordering::Relaxed),
                        // The reader is not back yet.
                        Err(SendError::Refused { .. }) => {}
                        Err(SendError::NoLink(_)) => break,
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        };
        for restart in 0..RESTARTS {
            world = world.restart(Duration::from_millis(100 + 7 * (restart as u64 % 100))).await;
            let before = answered.load(Ordering::Relaxed);
            let back = async {
                while answered.load(Ordering::Relaxed) == before {
                    pass(Duration::from_millis(100)).await;
                }
            };
            timeout(2 * MINUTE, back).await.expect("somebody is stuck");
            assert!(asker.is_connected() && reader.is_connected());
        }
        asker.goodbye().await;
        timeout(MINUTE, asking).await.unwrap().unwrap();
        reader.goodbye().await;
        let handled = serving.await.unwrap().len();
        let (answered, unknown) = (answered.load(Ordering::Relaxed), unknown.load(Ordering::Relaxed));
        assert!((answered..=answered + unknown).contains(&handled), "{answered} {unknown} {handled}");
        world.node.shut_down().await;
    });
}

#[test]
fn what_was_open_is_unknown_and_an_old_request_has_no_answer_any_more() {
    sim(async {
        let world = World::new(2);
        let (asker, _answers) = world.join("asker", &["read:logs"], &[]).await;
        let (reader, mut arrivals) = world.join("reader", &["write:nothing"], &["read:logs"]).await;
        let asking = {
            let asker = asker.clone();
            tokio::spawn(async move { asker.request(message("reader", "read:logs", "question")).await })
        };
        let old = arrivals.next().await.unwrap();
        let (before, registry) = (reader.session().unwrap(), reader.seen().unwrap().registry);
        let world = world.restart(Duration::from_secs(1)).await;
        assert_eq!(asking.await.unwrap().err(), Some(SendError::Unknown));
        timeout(MINUTE, reader.cancelled(&old)).await.unwrap();
        timeout(MINUTE, reader.connected()).await.unwrap().unwrap();
        assert_ne!(reader.session(), Some(before));
        assert!(reader.seen().unwrap().registry >= registry);
        let late = reader.reply(&old, ContentType::text(), "late").await;
        assert_eq!(late, Err(SendError::Cancelled));
        assert_eq!(world.node.metrics().account().submitted, 0, "nothing was sent again");
        timeout(MINUTE, asker.connected()).await.unwrap().unwrap();
        asker.tell(message("reader", "read:logs", "new")).await.unwrap();
        assert_eq!(arrivals.next().await.unwrap().body(), "new", "the same inbox goes on");
        world.node.shut_down().await;
    });
}

#[test]
fn a_message_waits_for_a_link_as_long_as_it_may_live() {
    sim(async {
        let world = World::new(3);
        let (sender, _inbox) = world.join("sender", &["read:logs"], &[]).await;
        let (_reader, mut arrivals) = world.join("reader", &["write:nothing"], &["read:logs"]).await;
        let World { swarm, net, dir, address, node } = world;
        node.shut_down().await;
        drop(node);
        until("no link", || !sender.is_connected()).await;
        let mut short = message("reader", "read:logs", "short");
        short.ttl = Ttl::from_millis(5000).unwrap();
        let since = Instant::now();
        assert_eq!(sender.tell(short).await, Err(SendError::NoLink(5000)));
        assert_eq!(since.elapsed().as_secs(), 5);
        let long = {
            let (sender, mut long) = (sender.clone(), message("reader", "read:logs", "long"));
            long.ttl = Ttl::from_millis(600_000).unwrap();
            tokio::spawn(async move {
                // Until the reader is back too.
                while let Err(SendError::Refused { .. }) = sender.tell(long.clone()).await {
                    pass(Duration::from_secs(1)).await;
                }
            })
        };
        pass(MINUTE).await;
        let (node, _) = swarm.node(dir.path(), net.bind_at(address)).unwrap();
        timeout(MINUTE, long).await.unwrap().unwrap();
        assert_eq!(arrivals.next().await.unwrap().body(), "long", "the short one was never sent");
        node.shut_down().await;
    });
}

#[test]
fn a_member_ends_for_good_reasons_only_and_says_which() {
    sim(async {
        let world = World::new(4);
        let stranger = {
            let elsewhere = World::new(5);
            elsewhere.enrol("stranger", &["read:logs"], &[]).await
        };
        let (stranger, mut nothing) = world.member(stranger);
        let why = timeout(MINUTE, stranger.connected()).await.unwrap();
        assert!(matches!(why, Err(Ended::Refused(why)) if matches!(*why, DialError::Unlisted)));
        assert!(nothing.next().await.is_none());
        let sent = stranger.tell(message("reader", "read:logs", "body")).await;
        assert!(matches!(sent, Err(SendError::NoLink(_))), "at once");

        let (victim, mut nothing) = world.join("victim", &["read:logs"], &[]).await;
        world.node.registry().revoke(name("victim"), RevocationCause::Operator).await.unwrap();
        let revoked = CloseReason::Revoked(RevocationCause::Operator);
        let why = timeout(MINUTE, victim.ended()).await.unwrap();
        assert!(matches!(why, Ended::Refused(why) if matches!(*why, DialError::Closed(r) if r == revoked)));
        assert!(nothing.next().await.is_none());

        let twin = world.enrol("twin", &["read:logs"], &[]).await;
        let (first, _inbox) = world.member(twin.clone());
        first.connected().await.unwrap();
        let (second, inbox) = world.member(twin);
        second.connected().await.unwrap();
        let why = timeout(MINUTE, first.ended()).await.unwrap();
        let displaced = CloseReason::Displaced;
        assert!(matches!(why, Ended::Refused(why) if matches!(*why, DialError::Closed(r) if r == displaced)));

        drop(inbox);
        second.goodbye().await;
        assert!(matches!(second.ended().await, Ended::Left));
        assert_eq!(world.node.registry().get(name("twin")).await.unwrap().unwrap().state, State::Offline);
        world.end().await;
    });
}

#[test]
fn whoever_holds_the_last_clone_leaves_with_it() {
    sim(async {
        let world = World::new(6);
        let (member, mut arrivals) = world.join("member", &["read:logs"], &[]).await;
        let clone = member.clone();
        drop(member);
        pass(MINUTE).await;
        assert!(clone.is_connected());
        drop(clone);
        assert!(timeout(MINUTE, arrivals.next()).await.unwrap().is_none());
        assert_eq!(world.node.registry().get(name("member")).await.unwrap().unwrap().state, State::Offline);
        world.end().await;
    });
}
