//! One enrolled agent against all others: what it withholds, keeps or refuses to hear must cost only itself.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use support::mallory::talk::Given;
use support::mallory::{Mallory, Narrow, closed};
use support::site::Site;
use support::swarm::{grant, name};
use support::world::message;
use support::{World, pass, sim, until};
use testudo_bus::client::Outgoing;
use testudo_bus::stream::prefix;
use testudo_wire::frame::{CloseReason, RefusedDelivery};
use testudo_wire::{ContentType, Header, Limits, Refusal, Ttl};
use tokio::time::Instant;

/// The reader to whom everyone may write, and one more that keeps what it gets to itself.
async fn two_readers(world: &World) -> (support::world::Agent, Mallory) {
    let honest = world.agent("honest", &[], &["read:logs"]).await;
    let mallory = Mallory::dial(world, world.enrol("mallory", &["read:logs"], &["read:logs"]).await).await;
    (honest, mallory)
}

#[test]
fn a_receiver_that_never_acknowledges_stops_its_senders_from_talking_to_nobody_else() {
    sim(async {
        let world = World::new(501);
        let (mut honest, mallory) = two_readers(&world).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        sender.client.tell(message("mallory", "read:logs", "kept")).await.unwrap();
        let started = Instant::now();
        let body = "x".repeat(60_000);
        for _ in 0..20 {
            sender.client.post(message("honest", "read:logs", &body)).await.unwrap();
        }
        for _ in 0..20 {
            honest.next().await.expect("a message");
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(6), "{took:?} for what had nothing to do with it");
        drop((mallory, sender));
        world.end().await;
    });
}

#[test]
fn an_agent_that_is_busy_keeps_its_link_whatever_bodies_come() {
    sim(async {
        let world = World::new(502);
        let mut busy = world.agent("busy", &[], &["read:logs"]).await;
        let mut posting = Vec::new();
        let body = "all is well ".repeat(25_000);
        for who in ["one", "two"] {
            let sender = world.agent(who, &["read:logs"], &[]).await;
            for _ in 0..12 {
                sender.client.post(message("busy", "read:logs", &body)).await.unwrap();
            }
            posting.push(sender);
        }
        pass(Duration::from_secs(40)).await;
        assert!(world.node.linked().contains(&support::swarm::name("busy")), "it lost its link");
        let mut taken = 0;
        while busy.next().await.is_some() {
            taken += 1;
        }
        let refused: u64 = posting.iter().flat_map(|sender| sender.client.refused().into_values()).sum();
        assert!(taken >= 4, "{taken} taken");
        assert_eq!(taken + refused, 24, "each was taken or refused");
        drop((busy, posting));
        world.end().await;
    });
}

#[test]
fn tokens_that_one_agent_brings_do_not_keep_those_of_others_out() {
    sim(async {
        let world = World::new(503);
        let mut store = world.agent("store", &[], &["read:logs"]).await;
        let tool = world.enrol("tool", &[], &["use:tool"]).await;
        let (boss, mallory) = (
            world.enrol("boss", &["read:logs"], &[]).await,
            world.enrol("mallory", &["read:logs"], &[]).await,
        );
        let from = |who| world.swarm.delegated(who, &tool, "read:logs").seal().unwrap();
        let brought: Vec<_> = (0..40).map(|_| from(&mallory)).collect();
        let honest = from(&boss);
        let tool = world.dial(tool.clone()).await.unwrap();
        for token in &brought {
            pass(Duration::from_millis(150)).await;
            // The tool acts for whoever asks: that it takes these is no mistake of its own.
            let _ = tool.client.present(token).await;
        }
        pass(Duration::from_secs(1)).await;
        let id = tool.client.present(&honest).await.expect("the token of somebody else");
        let mut asked = message("store", "read:logs", "for boss");
        asked.token = Some(id);
        tool.client.tell(asked).await.unwrap();
        assert_eq!(store.next().await.unwrap().body(), "for boss");
        drop(tool);
        world.end().await;
    });
}

#[test]
fn who_acts_for_many_at_once_can_go_on_acting_for_each() {
    sim(async {
        let site = Site::new(506);
        let store = site.join(site.enrol("store", &[], &["read:logs"]).await);
        store.member.connected().await.unwrap();
        let tool = site.enrol("tool", &[], &["use:tool"]).await;
        let boss = site.enrol("boss", &["read:logs"], &[]).await;
        let crowd = site.enrol("crowd", &["read:logs"], &[]).await;
        let from = |who| site.swarm.delegated(who, &tool, "read:logs").seal().unwrap();
        let (honest, brought): (_, Vec<_>) = (from(&boss), (0..40).map(|_| from(&crowd)).collect());
        let tool = site.join(tool);
        // Faster than a node takes them: whoever acts for others waits its turn.
        for token in &brought {
            tool.member.present(token).await.expect("a token of the crowd");
            let id = tool.member.present(&honest).await.expect("the token of somebody else");
            let mut asked = message("store", "read:logs", "for boss");
            asked.token = Some(id);
            tool.member.tell(asked).await.expect("what its token allows");
        }
        drop((tool, store));
        pass(Duration::from_secs(1)).await;
    });
}

/// Answers the next request without end; returns when nobody waits for it any more.
async fn answer_without_end(server: &mut support::world::Agent) {
    let request = server.next().await.expect("a request");
    let part = async |index| {
        let body = "x".repeat(10_000);
        let part = testudo_wire::Part { index, last: false };
        server.client.reply_part(&request, part, testudo_wire::ContentType::text(), body).await
    };
    let answering = async {
        let mut index = 0;
        while part(index).await.is_ok() {
            index += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), answering).await.expect("it answers nobody for ever");
}

#[test]
fn a_request_under_an_id_that_is_open_binds_no_second_agent_for_ever() {
    sim(async {
        let world = World::new(507);
        let (mut honest, mut mallory) = two_readers(&world).await;
        let first = mallory.request("mallory", "read:logs");
        mallory.post(&[first]).await;
        let second = Header { message: first.message, ..mallory.request("honest", "read:logs") };
        assert_eq!(mallory.try_post(&[second]).await, Some(Refusal::Replayed));
        let (one, other) = (mallory.request("honest", "read:logs"), mallory.request("mallory", "read:logs"));
        let other = Header { message: one.message, ..other };
        assert_eq!(mallory.try_post(&[one, other]).await, Some(Refusal::Replayed));
        answer_without_end(&mut honest).await;
        drop(mallory);
        world.end().await;
    });
}

#[test]
fn a_refused_message_under_the_id_of_a_request_leaves_nobody_answering_for_ever() {
    sim(async {
        let world = World::new(508);
        let (mut honest, mut mallory) = two_readers(&world).await;
        let request = mallory.request("honest", "read:logs");
        mallory.post(&[request]).await;
        let same = Header { message: request.message, ..mallory.plain("mallory", "read:logs") };
        mallory.post(&[same]).await;
        let given = mallory.given().await.expect("its own message");
        let all = RefusedDelivery { delivery: given.number(), position: u16::MAX, refusal: Refusal::Stale };
        mallory.refuse(given.number(), vec![all]).await;
        pass(Duration::from_millis(10)).await;
        answer_without_end(&mut honest).await;
        drop(mallory);
        world.end().await;
    });
}

#[test]
fn who_does_not_read_its_control_stream_loses_its_link() {
    sim(async {
        let world = World::new(504);
        let identity = world.enrol("mallory", &["read:logs"], &["read:logs"]).await;
        let (connection, _control, answers) = Narrow::connect(&world, &identity, Some(1024)).await;
        let mut data = connection.open_uni().await.unwrap();
        data.write_all(&[0]).await.unwrap();
        // Far fewer words than the node queues, but more than this peer lets it write.
        for _ in 0..200 {
            let rubbish = bytes::Bytes::from_static(b"no bundle");
            data.write_all_chunks(&mut [prefix(rubbish.len()), rubbish]).await.unwrap();
            pass(Duration::from_millis(1)).await;
        }
        let started = Instant::now();
        assert_eq!(closed(&connection).await, CloseReason::Lagging);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        drop(answers);
        world.end().await;
    });
}

#[test]
fn each_message_has_its_own_time_to_live() {
    sim(async {
        let world = World::new(505);
        let identity = world.enrol("narrow", &[], &["read:logs"]).await;
        let mut narrow = Narrow::dial(&world, &identity, 100_000).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        // What its transport has room for, so that the next bundle waits at the node.
        for _ in 0..4 {
            sender.client.post(message("narrow", "read:logs", &"x".repeat(60_000))).await.unwrap();
        }
        pass(Duration::from_millis(10)).await;
        let mut posted = Vec::new();
        for ms in [60_000, 50, 60_000] {
            let mut lasting = message("narrow", "read:logs", "so long");
            lasting.ttl = Ttl::from_millis(ms).unwrap();
            posted.push(sender.client.post(lasting).await.unwrap());
        }
        pass(Duration::from_secs(1)).await;
        let mut got = Vec::new();
        while let Some(frame) = narrow.take().await {
            got.extend(Given::read(&frame, &Limits::standard()).ids());
        }
        got.retain(|id| posted.contains(id));
        assert_eq!(got, [posted[0], posted[2]], "one was worth 50 ms, the others a minute");
        drop(sender);
        world.end().await;
    });
}

/// What waits for a subscriber goes with its right: only what was written already can still arrive.
#[test]
fn a_right_that_is_gone_takes_what_waits_in_the_queue_with_it() {
    sim(async {
        let world = World::new(509);
        let mut reader = Mallory::dial(&world, world.enrol("reader", &["subscribe:alerts"], &[]).await).await;
        assert_eq!(reader.subscribe("alerts").await, None);
        let publisher = world.agent("publisher", &["publish:alerts"], &[]).await;
        for _ in 0..8 {
            let topic = testudo_wire::Resource::parse("alerts").unwrap();
            let mut publication = Outgoing::topic(topic, "x".repeat(60_000));
            publication.content_type = ContentType::text();
            publisher.client.tell(publication).await.unwrap();
        }
        until("some of it waits", || world.node.metrics().account().queued > 0).await;
        world.node.registry().narrow(name("reader"), grant(&[], &[])).await.unwrap();
        let arrived = reader.drain().await.len();
        assert!(arrived < 8, "all {arrived} arrived");
        drop((reader, publisher));
        let (account, _) = world.end().await;
        assert!(account.dropped > 0, "{account:?}");
    });
}
