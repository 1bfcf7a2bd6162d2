//! Large publications that subscribers are too slow for: their memory is bounded however many there are, who is quick
//! gets everything, and publishers hear of every copy that was given up.

use std::time::Duration;

use testudo_bus::node::Bodies;
use testudo_wire::frame::FromNode;
use testudo_wire::{Bundle, Refusal};
use tokio::time::Instant;

use crate::support::mallory::Mallory;
use crate::support::mallory::talk::{LARGE, LaneIn, give, on_lane};
use crate::support::swarm::name;
use crate::support::{World, pass, sim};
use crate::{publisher, subscriber};

const MIB: usize = 1024 * 1024;

/// Room for eight bodies, and for two that only slow subscribers hold.
fn world(seed: u64) -> World {
    let (bytes_max, memory_bytes) = (1024 * 1024, 10 * 1024 * 1024);
    World::carrying(seed, Bodies { bytes_max, memory_bytes, threads: 1 })
}

fn publication(sender: &mut Mallory, nth: usize) -> Bundle {
    let header = on_lane(1, sender.publication("alerts"));
    let body: Vec<u8> = (0..MIB - 10).map(|at| b"abcdefgh \n"[(at + nth) % 10]).collect();
    sender.with_body(header, &body, &LARGE)
}

/// Copies that were given up, so far, and whose.
async fn given_up(sender: &mut Mallory, of: &str) -> u64 {
    let mut all = 0;
    while let Some(heard) = sender.hear_within(Duration::from_millis(300)).await {
        let FromNode::CopiesRefused(copies) = heard else { panic!("{heard:?}") };
        for word in copies {
            assert_eq!((word.to, word.refusal), (name(of), Refusal::Overloaded));
            all += word.count;
        }
    }
    all
}

async fn takes(quick: &mut Mallory, lane: &mut Option<LaneIn>, bundle: &Bundle) {
    if lane.is_none() {
        *lane = Some(quick.lane_in().await.1);
    }
    let given = lane.as_mut().unwrap().given().await.expect("the quick one gets everything");
    assert_eq!(given.bundle.bytes(), bundle.bytes());
    quick.acknowledge(1, given.number()).await;
}

#[test]
fn t_a63_large_copies_that_nobody_waits_for_take_no_more_memory_than_there_is_for_them() {
    sim(async {
        let world = world(81);
        let mut sender = publisher(&world, "sender").await;
        let mut quick = subscriber(&world, "quick").await;
        let slow = subscriber(&world, "slow").await;
        let (mut out, mut lane) = (sender.lane(1).await, None);
        let began = Instant::now();
        let mut published = 0_u64;
        // Two may wait in its queue; beyond what there is room for, no third one is kept for it.
        for nth in 0..6 {
            let bundle = publication(&mut sender, nth);
            give(&mut out, bundle.bytes()).await;
            takes(&mut quick, &mut lane, &bundle).await;
            published += 1;
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "the slow one holds up nobody for long: {took:?}");
        let refused = given_up(&mut sender, "slow").await;
        let account = world.node.metrics().account();
        assert_eq!((account.submitted, account.delivered), (2 * published, published), "{account:?}");
        assert_eq!(refused, account.dropped, "the publisher hears of every one");
        assert_eq!(account.queued + account.in_flight, 2, "as many as there is room for: {account:?}");
        slow.link.connection.close(0_u32.into(), b"");
        pass(Duration::from_millis(100)).await;

        // What it held is free for the next one.
        let slow = subscriber(&world, "slower").await;
        for nth in 6..9 {
            let bundle = publication(&mut sender, nth);
            give(&mut out, bundle.bytes()).await;
            takes(&mut quick, &mut lane, &bundle).await;
        }
        pass(Duration::from_millis(100)).await;
        let account = world.node.metrics().account();
        assert_eq!(account.queued + account.in_flight, 2, "{account:?}");
        slow.link.connection.close(0_u32.into(), b"");
        pass(Duration::from_millis(100)).await;
        world.end().await;
    });
}

/// Many who are slow, each for other publications: what is too much is waited for, or given up.
#[test]
fn t_a63_many_slow_subscribers_share_what_there_is_room_for() {
    sim(async {
        let world = world(82);
        let mut senders = Vec::new();
        let mut slow = Vec::new();
        for n in 0..4 {
            let topic = format!("topic{n}");
            let right = [format!("publish:{topic}"), format!("subscribe:{topic}")];
            let right: Vec<_> = right.iter().map(String::as_str).collect();
            let mut hears = Mallory::dial(&world, world.enrol(&format!("slow{n}"), &right, &[]).await).await;
            assert_eq!(hears.subscribe(&topic).await, None);
            slow.push(hears);
            let mut sender =
                Mallory::dial(&world, world.enrol(&format!("sender{n}"), &right, &[]).await).await;
            let mut out = sender.lane(1).await;
            let bundles: Vec<_> = (0..3)
                .map(|nth| {
                    let header = on_lane(1, sender.publication(&topic));
                    let body: Vec<u8> = (0..MIB - 10).map(|at| b"abcdefgh \n"[(at + nth) % 10]).collect();
                    sender.with_body(header, &body, &LARGE)
                })
                .collect();
            tokio::spawn(async move {
                for bundle in &bundles {
                    give(&mut out, bundle.bytes()).await;
                }
                std::future::pending::<()>().await;
            });
            senders.push(sender);
        }
        pass(Duration::from_secs(3)).await;
        let account = world.node.metrics().account();
        // Each has one that is being written to it; two of these nobody waits for, the others hold their senders.
        assert_eq!(account.in_flight, 4, "{account:?}");
        assert!(account.queued <= 2, "{account:?}");
        for slow in &slow {
            assert!(slow.link.connection.close_reason().is_none(), "not yet");
        }
        // Until they are out, which frees everything.
        pass(Duration::from_secs(12)).await;
        let account = world.node.metrics().account();
        assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
        world.end().await;
    });
}
