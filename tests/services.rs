//! Services from the wire: any one live server gets a message, the least loaded in turn, and nobody who is out.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::mallory::Mallory;
use support::mallory::talk::Given;
use support::swarm::{grant, name};
use support::{World, pass, sim, until};
use testudo_wire::frame::{Cancel, FromAgent, FromNode};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Header, MessageId, ReceiptWish, Refusal};

async fn sender(world: &World) -> Mallory {
    Mallory::dial(world, world.enrol("sender", &["sum:logs", "read:logs"], &[]).await).await
}

async fn server(world: &World, who: &str) -> Mallory {
    let identity = world.enrol(who, &["read:logs"], &["sum:logs"]).await;
    Mallory::dial(world, identity).await
}

/// Sends one message to the service and lets it arrive.
async fn serve(sender: &mut Mallory) -> MessageId {
    let served = sender.served("sum:logs");
    assert_eq!(sender.try_post(&[served]).await, None);
    served.message
}

fn ids(given: &[Given]) -> Vec<MessageId> {
    given.iter().flat_map(Given::ids).collect()
}

#[test]
fn equals_are_served_in_turn_whether_in_one_bundle_or_many() {
    sim(async {
        let world = World::new(101);
        let mut sender = sender(&world).await;
        let mut servers = Vec::new();
        for who in ["a", "b", "c"] {
            servers.push(server(&world, who).await);
        }
        // Somebody who may ask but does not serve.
        let identity = world.enrol("other", &["sum:logs"], &["read:logs"]).await;
        let mut other = Mallory::dial(&world, identity).await;
        let together: Vec<_> = (0..30).map(|_| sender.served("sum:logs")).collect();
        sender.post(&together).await;
        let mut all = Vec::new();
        for server in &mut servers {
            let given = ids(&server.drain().await);
            assert_eq!(given.len(), 10);
            all.extend(given);
        }
        for _ in 0..9 {
            serve(&mut sender).await;
            for server in &mut servers {
                server.drain_quickly().await;
            }
        }
        assert!(other.given().await.is_none(), "nothing for who does not serve");
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (39, 39), "{account:?}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 30, "each once");
        for who in ["a", "b", "c"] {
            assert_eq!(ledger.fates().delivered_to(name(who)).len(), 13, "{who}");
        }
    });
}

#[test]
fn who_has_the_least_to_do_is_next() {
    sim(async {
        let world = World::new(102);
        let mut sender = sender(&world).await;
        let mut busy = server(&world, "busy").await;
        let mut free = server(&world, "free").await;
        // Five that are not acknowledged, sent to it by name.
        let told: Vec<_> = (0..5).map(|_| sender.plain("busy", "sum:logs")).collect();
        sender.post(&told).await;
        let first = busy.given().await.unwrap();
        for _ in 0..4 {
            serve(&mut sender).await;
        }
        assert!(busy.given().await.is_none());
        let given = free.drain().await;
        assert_eq!(ids(&given).len(), 4);
        // Answers that are owed count as well.
        busy.acknowledge(0, first.number()).await;
        let asked: Vec<_> = (0..6).map(|_| sender.request("free", "sum:logs")).collect();
        sender.post(&asked).await;
        assert_eq!(ids(&free.drain().await).len(), 6);
        for _ in 0..4 {
            serve(&mut sender).await;
        }
        assert_eq!(ids(&busy.drain().await).len(), 4);
        assert!(free.given().await.is_none(), "it owes six answers");
        world.end().await;
    });
}

#[test]
fn without_a_server_there_is_no_way() {
    sim(async {
        let world = World::new(103);
        let mut sender = sender(&world).await;
        // Enrolled, and not here.
        world.enrol("away", &["read:logs"], &["sum:logs"]).await;
        let served = sender.served("sum:logs");
        assert_eq!(sender.try_post(&[served]).await, Some(Refusal::Unroutable));
        let here = server(&world, "here").await;
        serve(&mut sender).await;
        here.link.connection.close(0_u32.into(), b"");
        let heard = sender.hear().await;
        let FromNode::Lost(word) = heard else { panic!("{heard:?}") };
        assert_eq!(word.messages.len(), 1, "handed over and never acknowledged");
        let served = sender.served("sum:logs");
        assert_eq!(sender.try_post(&[served]).await, Some(Refusal::Unroutable));
        let without = sender.served("write:logs");
        assert_eq!(sender.try_post(&[without]).await, Some(Refusal::Unauthorised));
        world.end().await;
    });
}

#[test]
fn a_server_that_is_revoked_or_narrowed_gets_nothing_more() {
    sim(async {
        let world = World::new(104);
        let mut sender = sender(&world).await;
        let (mut revoked, mut narrowed) = (server(&world, "r").await, server(&world, "n").await);
        let mut stays = server(&world, "s").await;
        let served: Vec<_> = (0..6).map(|_| sender.served("sum:logs")).collect();
        sender.post(&served).await;
        for server in [&mut revoked, &mut narrowed, &mut stays] {
            assert_eq!(ids(&server.drain().await).len(), 2);
        }
        let registry = world.node.registry();
        let less = grant(&["read:logs"], &[]);
        registry.narrow(name("n"), less).await.unwrap();
        registry.revoke(name("r"), RevocationCause::Operator).await.unwrap();
        let mut sent = BTreeSet::new();
        for _ in 0..12 {
            let served = sender.served("sum:logs");
            sender.post(&[served]).await;
            sent.insert(served.message);
        }
        assert_eq!(ids(&stays.drain().await).into_iter().collect::<BTreeSet<_>>(), sent);
        assert!(narrowed.given().await.is_none());
        assert!(revoked.given().await.is_none());
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (18, 18), "{account:?}");
    });
}

#[test]
fn a_displaced_server_gets_nothing_more() {
    sim(async {
        let world = World::new(105);
        let mut sender = sender(&world).await;
        let mut old = server(&world, "server").await;
        serve(&mut sender).await;
        assert_eq!(ids(&old.drain().await).len(), 1);
        let mut new = Mallory::dial(&world, old.identity.clone()).await;
        let served: Vec<_> = (0..5).map(|_| sender.served("sum:logs")).collect();
        sender.post(&served).await;
        assert_eq!(ids(&new.drain().await).len(), 5);
        assert!(old.given().await.is_none());
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (6, 6), "{account:?}");
    });
}

#[test]
fn only_the_picked_server_may_answer() {
    sim(async {
        let world = World::new(106);
        let mut sender = sender(&world).await;
        let (mut a, mut b) = (server(&world, "a").await, server(&world, "b").await);
        for _ in 0..4 {
            let request = Header { receipt: ReceiptWish::Reply, ..sender.served("sum:logs") };
            sender.post(&[request]).await;
            let (picked, other) = match (a.given().await, b.given().await) {
                (Some(given), None) => {
                    a.acknowledge(0, given.number()).await;
                    (&mut a, &mut b)
                }
                (None, Some(given)) => {
                    b.acknowledge(0, given.number()).await;
                    (&mut b, &mut a)
                }
                both => panic!("{both:?}"),
            };
            let answer = other.answer(&request, None);
            assert_eq!(other.try_post(&[answer]).await, Some(Refusal::Unauthorised));
            let answer = picked.answer(&request, None);
            assert_eq!(picked.try_post(&[answer]).await, None);
            assert_eq!(ids(&sender.drain().await), [answer.message]);
        }
        let (account, _) = world.end().await;
        assert_eq!((account.delivered, account.failed), (8, 4), "{account:?}");
    });
}

#[test]
fn a_server_that_flaps_and_a_requester_that_cancels_leave_nothing_open_and_nothing_uncounted() {
    sim(async {
        let world = World::new(107);
        let mut sender = sender(&world).await;
        let identity = world.enrol("flapping", &["read:logs"], &["sum:logs"]).await;
        let (mut open, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let mut refused = 0;
        for round in 0..48 {
            sender.beat().await;
            let mut server = Mallory::dial(&world, identity.clone()).await;
            let asked: Vec<_> =
                (0..4).map(|_| Header { receipt: ReceiptWish::Reply, ..sender.served("sum:logs") }).collect();
            sender.post(&asked).await;
            // One before anybody can have it, one that is with the server perhaps, one that never was.
            for request in [asked[0].message, asked[3].message, MessageId::new([round; 16])] {
                sender.say(FromAgent::Cancel(Cancel { request })).await;
            }
            open.extend(asked.iter().map(|request| request.message));
            for cancelled in [&asked[0], &asked[3]] {
                ended.insert(cancelled.message);
            }
            match round % 4 {
                // It goes at once, in the middle, after an answer, in good order.
                0 => {}
                1 => drop(server.given().await),
                2 => {
                    let given = server.given().await.unwrap();
                    server.acknowledge(0, given.number()).await;
                    for request in given.headers() {
                        let answer = server.answer(&request, None);
                        server.post(&[answer]).await;
                    }
                    pass(Duration::from_millis(50)).await;
                }
                _ => server.say(FromAgent::Goodbye).await,
            }
            server.link.connection.close(0_u32.into(), b"");
            let none = Header { receipt: ReceiptWish::Reply, ..sender.served("sum:logs") };
            until("it is gone", || !world.node.linked().contains(&name("flapping"))).await;
            open.insert(none.message);
            sender.post(&[none]).await;
        }
        let answers = sender.drain().await;
        ended.extend(answers.iter().flat_map(Given::headers).filter_map(|answer| answer.in_reply_to));
        while let Some(heard) = sender.hear_within(Duration::from_secs(20)).await {
            if let FromNode::Lost(word) = &heard {
                ended.extend(&word.messages);
            } else if let FromNode::RefusedMessages(words) = &heard {
                refused += words.iter().filter(|word| word.refusal == Refusal::Unroutable).count();
                ended.extend(words.iter().map(|word| word.message));
            } else {
                assert!(matches!(heard, FromNode::Accepted(_)), "{heard:?}");
            }
        }
        assert!(refused >= 48, "without a server there is no way: {refused}");
        let stuck: Vec<_> = open.difference(&ended).collect();
        assert!(stuck.is_empty(), "{} of {} requests have no end", stuck.len(), open.len());
        let (account, _) = world.end().await;
        assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
    });
}
