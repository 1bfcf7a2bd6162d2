//! Topics from the wire: who may have them, who gets what, and what one slow subscriber costs the others.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "topics/large.rs"]
mod large;
#[path = "topics/slow.rs"]
mod slow;
#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use support::mallory::Mallory;
use support::mallory::talk::{Given, topic};
use support::swarm::{grant, key_of, name};
use support::{World, pass, sim, until};
use testudo_rules::audit::LinkChange;
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, Subscription};
use testudo_wire::{Capability, Grant, Holder, Limits, ReceiptWish, Refusal};
use tokio::time::Instant;

async fn publisher(world: &World, who: &str) -> Mallory {
    let rights = ["publish:alerts", "read:logs"];
    Mallory::dial(world, world.enrol(who, &rights, &[]).await).await
}

async fn subscriber(world: &World, who: &str) -> Mallory {
    let identity = world.enrol(who, &["subscribe:alerts"], &["read:logs"]).await;
    let mut agent = Mallory::dial(world, identity).await;
    assert_eq!(agent.subscribe("alerts").await, None);
    agent
}

#[test]
fn only_who_has_the_right_subscribes_and_the_log_names_who_tried() {
    sim(async {
        let world = World::new(61);
        let identity =
            world.enrol("mallory", &["subscribe:news", "publish:alerts", "read:alerts"], &[]).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        for text in ["alerts", "new", "news/inner", "new.s"] {
            assert_eq!(mallory.subscribe(text).await, Some(Refusal::Unauthorised), "{text}");
        }
        assert_eq!(mallory.subscribe("news").await, None);
        assert_eq!(mallory.subscribe("news").await, None, "again is no harm");
        assert_eq!(world.node.metrics().subscriptions(), 1);
        let publication = mallory.publication("alerts");
        assert_eq!(mallory.try_post(&[publication]).await, None);
        assert!(mallory.given().await.is_none(), "not what it was refused");
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.dropped), (1, 1), "{account:?}");
        let refused = |what: &LinkChange| matches!(what, LinkChange::SubscriptionRefused { refusal: Refusal::Unauthorised, topic } if topic.as_str() == "alerts");
        assert_eq!(ledger.links().filter(|link| refused(&link.what)).count(), 1);
        let subscribed = |what: &LinkChange| matches!(what, LinkChange::Subscribed { .. });
        assert_eq!(ledger.links().filter(|link| subscribed(&link.what)).count(), 1);
    });
}

#[test]
fn every_subscriber_gets_the_same_bytes() {
    sim(async {
        let world = World::new(62);
        let mut sender = publisher(&world, "sender").await;
        let mut subscribers = Vec::new();
        for who in ["a", "b", "c"] {
            subscribers.push(subscriber(&world, who).await);
        }
        let headers = [sender.publication("alerts"), sender.publication("alerts")];
        let bundle = sender.bundle(&headers);
        sender.send(bundle.bytes()).await;
        for agent in &mut subscribers {
            let given = agent.drain().await;
            assert_eq!(given.len(), 1);
            assert_eq!(given[0].bundle.bytes(), bundle.bytes(), "as it was signed");
        }
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (6, 6), "{account:?}");
        let ids: std::collections::BTreeSet<_> = headers.iter().map(|header| header.message).collect();
        for who in ["a", "b", "c"] {
            assert_eq!(ledger.fates().delivered_to(name(who)), ids);
        }
    });
}

#[test]
fn a_publisher_needs_the_right_to_this_topic() {
    sim(async {
        let world = World::new(63);
        let mut agent = subscriber(&world, "agent").await;
        let identity = world.enrol("mallory", &["publish:news", "subscribe:alerts"], &[]).await;
        let mut mallory = Mallory::dial(&world, identity).await;
        let publication = mallory.publication("alerts");
        assert_eq!(mallory.try_post(&[publication]).await, Some(Refusal::Unauthorised));
        let mut under_another = mallory.publication("alerts");
        under_another.capability = Some(Capability::parse("publish:news").unwrap());
        assert_eq!(mallory.try_post(&[under_another]).await, Some(Refusal::Malformed));
        let mut signed = mallory.publication("alerts");
        signed.receipt = ReceiptWish::Delivered;
        let bundle = mallory.bundle(&[signed]);
        assert_eq!(mallory.try_send(bundle.bytes()).await, Some(Refusal::Malformed), "of how many?");
        assert!(agent.given().await.is_none());
        world.end().await;
    });
}

#[test]
fn a_topic_without_subscribers_is_accepted_and_counted() {
    sim(async {
        let world = World::new(64);
        let mut sender = publisher(&world, "sender").await;
        let publication = sender.publication("alerts");
        assert_eq!(sender.try_post(&[publication]).await, None);
        assert_eq!(world.node.metrics().drops(), [("no receiver", 1)]);
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.dropped), (1, 1), "{account:?}");
        assert_eq!(ledger.fates().unrouted, [publication.message]);
    });
}

#[test]
fn a_narrowed_grant_ends_the_subscription_at_once() {
    sim(async {
        let world = World::new(65);
        let mut sender = publisher(&world, "sender").await;
        let mut agent = subscriber(&world, "agent").await;
        let mut other = subscriber(&world, "other").await;
        for _ in 0..20 {
            let publication = sender.publication("alerts");
            sender.post(&[publication]).await;
            pass(Duration::from_millis(1)).await;
        }
        // Those on their way now are judged before, in and after the change.
        for _ in 0..20 {
            let publication = sender.publication("alerts");
            sender.post(&[publication]).await;
        }
        let less = grant(&["read:nothing"], &["read:logs"]);
        world.node.registry().regrant(name("agent"), less).await.unwrap();
        let narrowed = world.node.registry().directory().sequence();
        let publication = sender.publication("alerts");
        sender.post(&[publication]).await;
        for given in agent.drain().await {
            assert!(given.annotation.registry < narrowed, "{:?}", given.annotation);
            assert!(!given.ids().contains(&publication.message));
        }
        assert_eq!(other.drain().await.iter().map(|given| given.ids().len()).sum::<usize>(), 41);
        let heard = agent.hear().await;
        let FromNode::Subscribed(word) = heard else { panic!("{heard:?}") };
        assert_eq!((word.topic, word.refusal), (topic("alerts"), Some(Refusal::Unauthorised)));
        assert_eq!(world.node.metrics().subscriptions(), 1);
        assert_eq!(agent.subscribe("alerts").await, Some(Refusal::Unauthorised));
        let (_, ledger) = world.end().await;
        let withdrawn = |what: &LinkChange| matches!(what, LinkChange::SubscriptionWithdrawn { .. });
        assert_eq!(ledger.links().filter(|link| withdrawn(&link.what)).count(), 1);
    });
}

#[test]
fn a_link_that_ends_leaves_no_subscription() {
    sim(async {
        let world = World::new(66);
        let mut sender = publisher(&world, "sender").await;
        let mut leaving = subscriber(&world, "leaving").await;
        let cutting = subscriber(&world, "cutting").await;
        let breaking = subscriber(&world, "breaking").await;
        let again = subscriber(&world, "again").await;
        assert_eq!(world.node.metrics().subscriptions(), 4);
        leaving.say(FromAgent::Goodbye).await;
        cutting.link.connection.close(0_u32.into(), b"");
        let mut breaking = breaking;
        breaking.link.control.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let mut new = Mallory::dial(&world, again.identity.clone()).await;
        until("all are gone", || world.node.metrics().subscriptions() == 0).await;
        let publication = sender.publication("alerts");
        assert_eq!(sender.try_post(&[publication]).await, None);
        assert!(new.given().await.is_none(), "a new link has to ask again");
        assert_eq!(new.subscribe("alerts").await, None);
        let publication = sender.publication("alerts");
        sender.post(&[publication]).await;
        assert_eq!(new.drain().await.len(), 1);
        let (account, _) = world.end().await;
        assert_eq!((account.delivered, account.dropped), (1, 1), "{account:?}");
    });
}

/// A grant of topics by number.
fn topics(which: std::ops::Range<usize>) -> Grant {
    let right = which.map(|n| Capability::parse(&format!("subscribe:t{n}")).unwrap()).collect();
    Grant { right, ..Grant::default() }
}

#[test]
fn an_agent_has_every_topic_that_a_grant_can_hold_and_no_more_however_it_changes() {
    sim(async {
        let world = World::new(67);
        let registry = world.node.registry();
        let holder = Holder { name: name("many"), key: key_of("many").public() };
        let minted = registry.enrol(holder, topics(0..256)).await.unwrap();
        // Its token does not matter for subscriptions, and all of them would not fit into one.
        let small = grant(&["subscribe:t0"], &[]);
        let identity = world.swarm.identity(key_of("many"), name("many"), &small, minted);
        let mut agent = Mallory::dial(&world, identity).await;
        for n in 0..256 {
            assert_eq!(agent.subscribe(&format!("t{n}")).await, None);
            pass(Duration::from_millis(5)).await;
        }
        assert_eq!(agent.subscribe("t256").await, Some(Refusal::Unauthorised));
        registry.regrant(name("many"), topics(1..257)).await.unwrap();
        let FromNode::Subscribed(word) = agent.hear().await else { panic!("nothing withdrawn") };
        assert_eq!((word.topic, word.refusal), (topic("t0"), Some(Refusal::Unauthorised)));
        assert_eq!(agent.subscribe("t256").await, None, "one less, one more");
        assert_eq!(world.node.metrics().subscriptions(), 256);
        agent.link.connection.close(0_u32.into(), b"");
        until("none is left", || world.node.metrics().subscriptions() == 0).await;
        world.end().await;
    });
}

#[test]
fn a_flood_of_subscriptions_is_over_quota_and_cannot_fill_the_log() {
    sim(async {
        let world = World::new(68);
        let mut agent = subscriber(&world, "agent").await;
        let before = world.ledger().links().count();
        for _ in 0..500 {
            agent.say(FromAgent::Unsubscribe(Subscription { topic: topic("alerts") })).await;
            agent.say(FromAgent::Subscribe(Subscription { topic: topic("alerts") })).await;
        }
        let mut over = 0;
        while let Some(heard) = agent.hear_within(Duration::from_millis(100)).await {
            let FromNode::Subscribed(word) = heard else { panic!("{heard:?}") };
            over += usize::from(word.refusal == Some(Refusal::OverQuota));
        }
        assert!(over >= 200, "{over}");
        let recorded = world.ledger().links().count() - before;
        // Each subscription within the quota, and its end.
        assert!((400..600).contains(&recorded), "{recorded}");
        pass(Duration::from_secs(1)).await;
        assert_eq!(agent.subscribe("alerts").await, None, "the link goes on");
        assert_eq!(world.node.metrics().subscriptions(), 1);
        world.end().await;
    });
}

#[test]
fn a_message_and_a_publication_in_one_bundle_do_not_mix() {
    sim(async {
        let world = World::new(69);
        let mut sender = publisher(&world, "sender").await;
        let mut both = subscriber(&world, "both").await;
        let mut only = subscriber(&world, "only").await;
        let (told, published) = (sender.plain("both", "read:logs"), sender.publication("alerts"));
        let bundle = sender.bundle(&[told, published]);
        sender.send(bundle.bytes()).await;
        let given = both.drain().await;
        let ids: Vec<_> = given.iter().map(Given::ids).collect();
        assert_eq!(ids.iter().flatten().filter(|id| **id == told.message).count(), 1);
        assert_eq!(ids.iter().flatten().filter(|id| **id == published.message).count(), 1);
        assert!(ids.iter().all(|ids| ids.len() == 1), "each came for itself: {ids:?}");
        assert!(given.iter().all(|given| given.bundle.is_signed_by(&sender.identity.key.public())));
        let given = only.drain().await;
        assert_eq!(given.iter().map(Given::ids).collect::<Vec<_>>(), [vec![published.message]]);
        let (account, ledger) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (3, 3), "{account:?}");
        assert_eq!(ledger.fates().delivered_to(name("only")), [published.message].into());
    });
}

/// One publication of 60 KB.
async fn publish_large(sender: &mut Mallory) {
    let publication = sender.publication("alerts");
    let bundle = sender.with_body(publication, &[b'x'; 60_000], &Limits::standard());
    sender.send(bundle.bytes()).await;
}

#[test]
fn t_a63_a_subscriber_that_never_acknowledges_holds_up_nobody_for_long() {
    sim(async {
        let world = World::new(70);
        let mut sender = publisher(&world, "sender").await;
        let mut quick = subscriber(&world, "quick").await;
        let slow = subscriber(&world, "slow").await;
        let started = Instant::now();
        let publishing = tokio::spawn(async move {
            for _ in 0..40 {
                publish_large(&mut sender).await;
            }
            sender
        });
        let mut got = 0;
        while got < 40 {
            let given = quick.given().await.expect("the quick one waits for the slow one");
            quick.acknowledge(0, given.number()).await;
            got += 1;
        }
        let took = started.elapsed();
        assert!(took < Duration::from_millis(600), "{took:?} for all");
        let mut sender = publishing.await.unwrap();
        let mut refused = 0;
        while let Some(heard) = sender.hear_within(Duration::from_millis(600)).await {
            let FromNode::CopiesRefused(copies) = heard else { panic!("{heard:?}") };
            for word in copies {
                assert_eq!((word.to, word.refusal), (name("slow"), Refusal::Overloaded));
                refused += word.count;
            }
        }
        let dropped = world.node.metrics().account().dropped;
        assert_eq!(refused, dropped, "the publisher hears of every copy");
        assert_eq!(refused, 40 - 8, "beside those within one sender's share of the queue");
        assert_eq!(slow.closed().await, CloseReason::Lagging);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(31), "{took:?} until the slow one is out");
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (80, 40), "{account:?}");
    });
}

#[test]
fn t_a63_one_publication_that_is_owed_for_half_a_minute_ends_the_link() {
    sim(async {
        let world = World::new(71);
        let mut sender = publisher(&world, "sender").await;
        let mut slow = subscriber(&world, "slow").await;
        let publication = sender.publication("alerts");
        sender.post(&[publication]).await;
        assert_eq!(slow.given().await.unwrap().ids(), [publication.message]);
        let started = Instant::now();
        pass(Duration::from_secs(25)).await;
        assert_eq!(slow.link.connection.close_reason(), None, "an agent may be busy");
        assert_eq!(slow.closed().await, CloseReason::Lagging);
        let took = started.elapsed();
        assert!((Duration::from_secs(28)..Duration::from_secs(31)).contains(&took), "{took:?}");
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.failed), (1, 1), "{account:?}");
    });
}

#[test]
fn t_a63_a_subscriber_whose_queue_stays_full_is_out_in_five_seconds() {
    sim(async {
        let world = World::new(72);
        let slow = subscriber(&world, "slow").await;
        let started = Instant::now();
        let mut senders = Vec::new();
        for who in ["p1", "p2", "p3"] {
            let mut sender = publisher(&world, who).await;
            senders.push(tokio::spawn(async move {
                for _ in 0..8 {
                    publish_large(&mut sender).await;
                }
                sender
            }));
        }
        until("copies are dropped", || world.node.metrics().account().dropped > 0).await;
        let held = world.node.metrics().account();
        assert!((held.queued + held.in_flight) * 60_000 <= 1024 * 1024, "{held:?}");
        let full = Instant::now();
        assert_eq!(slow.closed().await, CloseReason::Lagging);
        let took = full.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}, {:?} in all", started.elapsed());
        for sender in senders {
            drop(sender.await.unwrap());
        }
        world.end().await;
    });
}
