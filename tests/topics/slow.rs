//! Subscribers that take what they are sent, but hardly: by their pace, by what others wait for meanwhile, and by their
//! name, whichever link they have.

use std::time::Duration;

use quinn::RecvStream;
use testudo_bus::client::{ClientIdentity, Outgoing};
use testudo_bus::node::Bodies;
use testudo_bus::stream::{FrameReader, write_frame};
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, Subscription};
use testudo_wire::{ContentType, Limits, Refusal};
use tokio::time::Instant;

use crate::support::mallory::talk::topic;
use crate::support::mallory::{Narrow, closed};
use crate::support::swarm::{capability, name};
use crate::support::world::Agent;
use crate::support::{World, pass, sim, until};
use crate::{publish_large, publisher, subscriber};

const BODY: usize = 16 * 1024 * 1024 - 4096;

/// One that takes so many bytes of each delivery stream, again and again after so long.
struct Dripping {
    connection: quinn::Connection,
    since: Instant,
}

async fn drip(mut stream: RecvStream, bytes: usize, every: Duration) {
    while let Ok(Some(_)) = stream.read_chunk(bytes, true).await {
        pass(every).await;
    }
}

impl Dripping {
    async fn dial(
        world: &World,
        identity: &ClientIdentity,
        subscribes: Option<&str>,
        (bytes, every): (usize, Duration),
    ) -> Self {
        let window = u32::try_from(bytes).unwrap().max(1024);
        let (connection, mut control, answers) = Narrow::connect(world, identity, Some(window)).await;
        let mut answers: FrameReader = answers;
        if let Some(text) = subscribes {
            let frame = FromAgent::Subscribe(Subscription { topic: topic(text) });
            write_frame(&mut control, frame.encode().unwrap()).await.unwrap();
            loop {
                let frame = answers.next().await.unwrap().unwrap();
                if let FromNode::Subscribed(word) = FromNode::decode(&frame, &Limits::standard()).unwrap() {
                    assert_eq!(word.refusal, None);
                    break;
                }
            }
        }
        let reading = connection.clone();
        tokio::spawn(async move {
            while let Ok(stream) = reading.accept_uni().await {
                tokio::spawn(drip(stream, bytes, every));
            }
        });
        tokio::spawn(async move {
            // What it hears does not matter, that it listens does.
            let _control = control;
            while let Ok(Some(_)) = answers.next().await {}
        });
        Self { connection, since: Instant::now() }
    }

    /// How long it had its link; why it lost it.
    async fn lasted(&self) -> Duration {
        assert_eq!(closed(&self.connection).await, CloseReason::Lagging);
        self.since.elapsed()
    }
}

fn body(nth: usize) -> Vec<u8> {
    (0..BODY).map(|at| b"abcdefgh \n"[(at + nth) % 10]).collect()
}

fn publication(on: &str, nth: usize) -> Outgoing {
    Outgoing { content_type: ContentType::text(), ..Outgoing::topic(topic(on), body(nth)) }
}

async fn listener(world: &World, who: &str, on: &str) -> Agent {
    let agent = world.agent(who, &[&format!("subscribe:{on}")], &[]).await;
    agent.client.subscribe(topic(on)).await.unwrap();
    agent
}

/// A node for bodies of 16 MiB, with room for one that only slow subscribers hold.
fn world(seed: u64) -> World {
    World::carrying(seed, Bodies { bytes_max: Bodies::MAX, ..Bodies::default() })
}

#[test]
fn t_a63_a_receiver_that_takes_a_trickle_of_a_body_is_out_in_five_seconds() {
    sim(async {
        let world = world(91);
        let identity = world.enrol("trickle", &["write:nothing"], &["read:logs"]).await;
        // 128 bytes a second is more than none, and many sends make no progress of nothing.
        let trickle = Dripping::dial(&world, &identity, None, (128, Duration::from_secs(1))).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await.client;
        let mut body = Outgoing::new(name("trickle"), capability("read:logs"), body(0));
        body.content_type = ContentType::text();
        let sent = tokio::spawn(async move { sender.deliver(body).await });
        let lasted = trickle.lasted().await;
        assert!(lasted < Duration::from_secs(8), "{lasted:?}");
        assert!(sent.await.unwrap().is_err(), "its sender hears so");
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.failed), (1, 1), "{account:?}");
    });
}

#[test]
fn t_a63_where_there_is_no_memory_for_the_slow_publishers_wait_for_them_for_five_seconds() {
    sim(async {
        let world = world(92);
        // Faster than the slowest line: neither is too slow by itself.
        let pace = (64 * 1024, Duration::from_millis(190));
        let mut slow = Vec::new();
        for on in ["first", "second"] {
            let identity = world.enrol(&format!("slow-{on}"), &[&format!("subscribe:{on}")], &[]).await;
            slow.push(Dripping::dial(&world, &identity, Some(on), pace).await);
        }
        let rights = ["publish:first", "publish:second"];
        let first = world.agent("first", &rights, &[]).await.client;
        let second = world.agent("second", &rights, &[]).await.client;
        let mut quick = listener(&world, "quick", "second").await;
        // The one body that slow ones may hold: from here on its publisher waits for nobody.
        first.post(publication("first", 0)).await.unwrap();
        pass(Duration::from_secs(3)).await;
        let began = Instant::now();
        let publishing = tokio::spawn(async move {
            for nth in 1..3 {
                second.post(publication("second", nth)).await.unwrap();
            }
            second
        });
        let mut took = Vec::new();
        for _ in 1..3 {
            let delivery = quick.next().await.expect("the quick one gets everything");
            assert_eq!(delivery.body().len(), BODY);
            drop(delivery);
            took.push(began.elapsed());
        }
        assert!(took[1] < Duration::from_secs(8), "{took:?}");
        assert_eq!(closed(&slow[1].connection).await, CloseReason::Lagging);
        let second = publishing.await.unwrap();
        second.flush().await;
        second.goodbye().await;
        for slow in &slow {
            slow.connection.close(0_u32.into(), b"");
        }
        pass(Duration::from_millis(100)).await;
        let account = world.node.metrics().account();
        assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
        world.end().await;
    });
}

#[test]
fn t_a63_another_link_of_a_slow_subscriber_holds_up_nobody_again() {
    sim(async {
        let world = World::new(93);
        let mut sender = publisher(&world, "sender").await;
        let mut quick = subscriber(&world, "quick").await;
        let slow = subscriber(&world, "slow").await;
        let mut times = Vec::new();
        let mut link = slow;
        for _ in 0..3 {
            let began = Instant::now();
            let publishing = tokio::spawn(async move {
                for _ in 0..20 {
                    publish_large(&mut sender).await;
                }
                sender
            });
            for _ in 0..20 {
                let given = quick.given().await.expect("the quick one waits for the slow one");
                quick.acknowledge(0, given.number()).await;
            }
            times.push(began.elapsed());
            sender = publishing.await.unwrap();
            let identity = link.identity.clone();
            link.link.connection.close(0_u32.into(), b"");
            until("it is gone", || world.node.metrics().subscriptions() == 1).await;
            pass(Duration::from_secs(2)).await;
            link = crate::support::mallory::Mallory::dial(&world, identity).await;
            assert_eq!(link.subscribe("alerts").await, None::<Refusal>);
        }
        assert!(times[0] > Duration::from_millis(200), "once it may: {times:?}");
        assert!(times[1..].iter().all(|took| *took < Duration::from_millis(150)), "{times:?}");
        world.end().await;
    });
}
