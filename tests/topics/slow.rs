//! Subscribers that take what they are sent, but hardly: by their pace, by what others wait for meanwhile, and by their
//! name, whichever link they have.

use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use testudo_bus::client::{ClientIdentity, Outgoing};
use testudo_bus::node::Bodies;
use testudo_bus::stream::{FrameReader, write_frame};
use testudo_wire::frame::{Acknowledge, CloseReason, FromAgent, FromNode, Subscription};
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

/// Subscribes, and waits until it is.
async fn subscribe(control: &mut SendStream, answers: &mut FrameReader, text: &str) {
    let frame = FromAgent::Subscribe(Subscription { topic: topic(text) });
    write_frame(control, frame.encode().unwrap()).await.unwrap();
    loop {
        let frame = answers.next().await.unwrap().unwrap();
        if let FromNode::Subscribed(word) = FromNode::decode(&frame, &Limits::standard()).unwrap() {
            assert_eq!(word.refusal, None);
            break;
        }
    }
}

/// Takes a stream of deliveries a little at a time, and acknowledges each delivery as soon as it is whole.
async fn nibble(mut stream: RecvStream, mut control: SendStream, bytes: usize, every: Duration) {
    let mut lane = [0xff];
    stream.read_exact(&mut lane).await.unwrap();
    let (mut read, mut upto, mut left) = (Vec::new(), 0, bytes);
    while let Some(chunk) = sip(&mut stream, &mut left, bytes, every).await {
        read.extend_from_slice(&chunk);
        while let Some(prefix) = read.first_chunk::<4>() {
            let len = 4 + usize::try_from(u32::from_be_bytes(*prefix)).unwrap();
            if read.len() < len {
                break;
            }
            read.drain(..len);
            upto += 1;
            let word = FromAgent::Acknowledge(Acknowledge { lane: lane[0], upto, refused: Vec::new() });
            if write_frame(&mut control, word.encode().unwrap()).await.is_err() {
                return;
            }
        }
    }
}

/// Reads some of so many bytes; waits once these are read. A chunk is what came in one packet.
async fn sip(stream: &mut RecvStream, left: &mut usize, bytes: usize, every: Duration) -> Option<Bytes> {
    if *left == 0 {
        pass(every).await;
        *left = bytes;
    }
    let chunk = stream.read_chunk(*left, true).await.ok()??;
    *left -= chunk.bytes.len();
    Some(chunk.bytes)
}

async fn drip(mut stream: RecvStream, bytes: usize, every: Duration) {
    let mut left = bytes;
    while sip(&mut stream, &mut left, bytes, every).await.is_some() {}
}

impl Dripping {
    async fn dial(
        world: &World,
        identity: &ClientIdentity,
        subscribes: Option<&str>,
        (bytes, every): (usize, Duration),
    ) -> Self {
        let window = u32::try_from(bytes).unwrap().max(1024);
        let (connection, mut control, mut answers) = Narrow::connect(world, identity, Some(window)).await;
        if let Some(text) = subscribes {
            subscribe(&mut control, &mut answers, text).await;
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

/// How long one lasts that takes so many bytes of small messages at a time, while more wait for it than it takes.
async fn lasts_flooded(world: &World, (bytes, every): (usize, Duration), most: Duration) -> Option<Duration> {
    let identity = world.enrol("nibbler", &["write:nothing"], &["read:logs"]).await;
    let (connection, control, mut answers) =
        Narrow::connect(world, &identity, Some(u32::try_from(bytes).unwrap())).await;
    tokio::spawn(async move { while let Ok(Some(_)) = answers.next().await {} });
    let reading = connection.clone();
    tokio::spawn(async move {
        nibble(reading.accept_uni().await.unwrap(), control, bytes, every).await;
    });
    let since = Instant::now();
    for nth in 0..3 {
        let sender = world.agent(&format!("sender-{nth}"), &["read:logs"], &[]).await.client;
        let link = connection.clone();
        tokio::spawn(async move {
            while link.close_reason().is_none() {
                let text = "x".repeat(60_000);
                let message = Outgoing::new(name("nibbler"), capability("read:logs"), text.into_bytes());
                let message = Outgoing { content_type: ContentType::text(), ..message };
                let _ = sender.tell(message).await;
                pass(Duration::from_millis(20)).await;
            }
            drop(sender);
        });
    }
    tokio::select! {
        reason = closed(&connection) => {
            assert_eq!(reason, CloseReason::Lagging);
            Some(since.elapsed())
        }
        () = pass(most) => {
            connection.close(0_u32.into(), b"");
            None
        }
    }
}

#[test]
fn t_a63_a_receiver_that_acknowledges_small_messages_at_a_trickle_is_out_as_soon() {
    sim(async {
        let world = world(94);
        // 20 KiB a second: each batch by itself is taken within five seconds.
        let lasted = lasts_flooded(&world, (4096, Duration::from_millis(200)), Duration::from_secs(30)).await;
        assert!(lasted.is_some_and(|lasted| lasted < Duration::from_secs(8)), "{lasted:?}");
        pass(Duration::from_secs(1)).await;
        world.end().await;
    });
    sim(async {
        let world = world(95);
        // 400 KiB a second is enough, for as long as the flood lasts.
        assert_eq!(
            lasts_flooded(&world, (65_536, Duration::from_millis(160)), Duration::from_secs(20)).await,
            None
        );
        pass(Duration::from_secs(1)).await;
        world.end().await;
    });
}

#[test]
fn t_a63_a_receiver_as_slow_as_may_be_keeps_its_link_under_bodies_on_several_lanes() {
    sim(async {
        // Room for a body on each lane of a link.
        let room = Bodies { bytes_max: Bodies::MAX, memory_bytes: 256 * 1024 * 1024, threads: 1 };
        let world = World::carrying(96, room);
        let identity = world.enrol("slowly", &["write:nothing"], &["read:logs"]).await;
        // Four lanes of 80 KiB a second each: more than the slowest line together, and each alone less.
        let slowly = Dripping::dial(&world, &identity, None, (8192, Duration::from_millis(100))).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await.client;
        tokio::spawn(async move {
            let deliver = |nth| {
                let text = body(nth)[..2 * 1024 * 1024].to_vec();
                let outgoing = Outgoing::new(name("slowly"), capability("read:logs"), text);
                sender.deliver(Outgoing { content_type: ContentType::text(), ..outgoing })
            };
            let _ = tokio::join!(deliver(0), deliver(1), deliver(2), deliver(3));
        });
        // Each takes 26 s; a line of that pace, and of that lane alone, would have carried it in eight.
        pass(Duration::from_secs(22)).await;
        assert!(slowly.connection.close_reason().is_none(), "{:?}", slowly.connection.close_reason());
        assert_eq!(world.node.metrics().account().in_flight, 4, "at once");
        slowly.connection.close(0_u32.into(), b"");
        pass(Duration::from_secs(1)).await;
        world.end().await;
    });
}

#[test]
fn t_a63_where_there_is_no_memory_what_a_copy_stood_behind_is_not_its_subscribers_fault() {
    sim(async {
        let world = world(97);
        // Takes a body in four seconds.
        let identity = world.enrol("brisk", &["subscribe:second"], &[]).await;
        let (bytes, every) = (512 * 1024, Duration::from_millis(125));
        let (brisk, mut control, mut answers) = Narrow::connect(&world, &identity, Some(512 * 1024)).await;
        subscribe(&mut control, &mut answers, "second").await;
        tokio::spawn(async move { while let Ok(Some(_)) = answers.next().await {} });
        let reading = brisk.clone();
        tokio::spawn(async move {
            let _small = reading.accept_uni().await.unwrap();
            nibble(reading.accept_uni().await.unwrap(), control, bytes, every).await;
        });
        let other = world.enrol("slow", &["subscribe:first"], &[]).await;
        let slow =
            Dripping::dial(&world, &other, Some("first"), (64 * 1024, Duration::from_millis(190))).await;
        let mut publishers = Vec::new();
        for who in ["first", "second", "third"] {
            publishers.push(world.agent(who, &["publish:first", "publish:second"], &[]).await.client);
        }
        // The one body that slow ones may hold.
        publishers[0].post(publication("first", 0)).await.unwrap();
        pass(Duration::from_secs(3)).await;
        publishers[1].post(publication("second", 1)).await.unwrap();
        pass(Duration::from_millis(2_200)).await;
        publishers[2].post(publication("second", 2)).await.unwrap();
        let began = Instant::now();
        // The second one waits for the first, and is done more than five seconds after it was published.
        until("both were taken", || {
            world.node.metrics().account().delivered == 2 || brisk.close_reason().is_some()
        })
        .await;
        assert!(brisk.close_reason().is_none(), "{:?}", brisk.close_reason());
        assert!(began.elapsed() > Duration::from_millis(5_300), "{:?}", began.elapsed());
        for link in [&brisk, &slow.connection] {
            link.close(0_u32.into(), b"");
        }
        pass(Duration::from_secs(1)).await;
        drop(publishers);
        world.end().await;
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
