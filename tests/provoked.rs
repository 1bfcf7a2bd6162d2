//! What others provoke, from the wire: nobody fills somebody else's ears, and nobody is left to wait for what has come
//! to nothing.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use support::mallory::Mallory;
use support::mallory::talk::{LARGE, give, on_lane};
use support::swarm::name;
use support::{World, pass, sim, until};
use testudo_bus::metrics::Account;
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, RefusedDelivery};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Header, Limits, MessageId, ReceiptWish, Refusal, Ttl};

async fn scene(seed: u64) -> (World, Mallory, Mallory) {
    let world = World::new(seed);
    let asker = agent(&world, "asker").await;
    let replier = agent(&world, "replier").await;
    (world, asker, replier)
}

async fn agent(world: &World, who: &str) -> Mallory {
    Mallory::dial(world, world.enrol(who, &["read:logs"], &["read:logs"]).await).await
}

/// A receiver refuses everything at once, or goes: that must not cost the sender its link.
#[test]
fn a_receiver_that_refuses_a_thousand_at_once_does_not_fill_the_senders_ears() {
    sim(async {
        let (world, mut asker, mut replier) = scene(92).await;
        let mut sent = 0;
        for _ in 0..1_200 {
            let told = asker.plain("replier", "read:logs");
            asker.post(&[told]).await;
            sent += 1;
        }
        let mut refusals = Vec::new();
        while let Some(given) = replier.given().await {
            let (delivery, position) = (given.number(), u16::MAX);
            refusals.push(RefusedDelivery { delivery, position, refusal: Refusal::Replayed });
        }
        assert_eq!(refusals.len(), sent);
        replier.refuse(sent as u64, refusals).await;
        let mut heard = 0;
        while heard < sent {
            let FromNode::RefusedMessages(words) = asker.hear().await else { panic!("something else") };
            heard += words.len();
        }
        assert_eq!(asker.link.connection.close_reason(), None);
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.failed), (1_200, 1_200), "{account:?}");
    });
}

/// The same for receipts: receivers that sign for each message alone, while the sender has its ears full.
#[test]
fn receivers_that_sign_one_by_one_do_not_fill_the_senders_ears() {
    sim(async {
        let (world, mut asker, _) = scene(93).await;
        let names = ["r1", "r2", "r3", "r4", "r5"];
        let mut receivers = Vec::new();
        for who in names {
            receivers.push(agent(&world, who).await);
        }
        for _ in 0..6 {
            for (who, receiver) in names.iter().zip(&mut receivers) {
                sign_one_by_one(&mut asker, who, receiver).await;
            }
        }
        let (mut introduced, mut signed) = (0, 0);
        while signed < 7_500 {
            let heard = asker.hear().await;
            if let FromNode::Delivered(word) = heard {
                assert!(introduced > 0, "who signed?");
                signed += word.messages.len();
            } else {
                assert!(matches!(heard, FromNode::Introduced(_)), "{heard:?}");
                introduced += 1;
            }
        }
        assert_eq!(introduced, 5);
        world.end().await;
    });
}

/// 250 messages, each signed for by itself.
async fn sign_one_by_one(asker: &mut Mallory, who: &str, receiver: &mut Mallory) {
    let wish = ReceiptWish::Delivered;
    let told: Vec<_> = (0..250).map(|_| Header { receipt: wish, ..asker.plain(who, "read:logs") }).collect();
    asker.post(&told).await;
    let given = receiver.given().await.unwrap();
    assert_eq!(given.ids().len(), 250);
    let session = asker.link.welcome.seen.session;
    for (at, digest) in (0..).zip(given.digests()) {
        let mut receipt = receiver.receipt_for(0, &given, session, &[digest]);
        receipt.messages = vec![(0, given.number(), at)];
        receiver.say(FromAgent::Received(receipt)).await;
    }
    receiver.acknowledge(0, given.number()).await;
}

#[test]
fn a_sender_within_its_window_hears_every_receipt() {
    sim(async {
        let (world, mut asker, mut replier) = scene(94).await;
        for _ in 0..1_300 {
            let told = asker.header("replier", "read:logs");
            asker.post(&[told]).await;
        }
        let mut heard = 0;
        while heard < 1_300 {
            let FromNode::Accepted(word) = asker.hear().await else { panic!("something else") };
            heard += word.positions.len();
        }
        drop(replier.drain().await);
        world.end().await;
    });
}

#[test]
fn a_receiver_that_goes_with_a_thousand_messages_takes_no_sender_with_it() {
    sim(async {
        let (world, mut asker, mut replier) = scene(95).await;
        let _fillers = stuff(&world, "replier").await;
        for _ in 0..1_100 {
            let told = asker.plain("replier", "read:logs");
            asker.post(&[told]).await;
        }
        until("all are queued", || world.node.metrics().account().queued == 1_101).await;
        replier.say(FromAgent::Goodbye).await;
        let mut heard = 0;
        while heard < 1_100 {
            let FromNode::RefusedMessages(words) = asker.hear().await else { panic!("something else") };
            assert!(words.iter().all(|one| one.refusal == Refusal::Unroutable));
            heard += words.len();
        }
        asker.silence().await;
        assert_eq!(asker.link.connection.close_reason(), None);
        world.end().await;
    });
}

/// Fills an agent's stream: nothing more goes there before it reads.
async fn stuff(world: &World, to: &str) -> [Mallory; 2] {
    let mut fillers = [agent(world, "filler1").await, agent(world, "filler2").await];
    for (filler, count) in fillers.iter_mut().zip([4, 1]) {
        for _ in 0..count {
            let told = filler.plain(to, "read:logs");
            let bundle = filler.with_body(told, &[b'x'; 65_000], &Limits::standard());
            filler.send(bundle.bytes()).await;
        }
    }
    let full = |account: Account| account.in_flight == 4 && account.queued == 1;
    until("the stream is full", || full(world.node.metrics().account())).await;
    fillers
}

/// An open request whose answer waits in the asker's queue, behind a stream that is full.
async fn answered(
    world: &World,
    asker: &mut Mallory,
    replier: &mut Mallory,
    parts: &[Option<(u32, bool)>],
) -> (MessageId, [Mallory; 2]) {
    let request = asker.request("replier", "read:logs");
    asker.post(&[request]).await;
    let given = replier.given().await.unwrap();
    replier.acknowledge(0, given.number()).await;
    let fillers = stuff(world, "asker").await;
    for part in parts {
        let mut answer = replier.answer(&request, *part);
        answer.ttl = Ttl::from_millis(500).unwrap();
        replier.post(&[answer]).await;
    }
    let waiting = parts.len() as u64 + 1;
    until("the answer waits", || world.node.metrics().account().queued == waiting).await;
    (request.message, fillers)
}

/// What a requester hears of its request.
async fn ends(asker: &mut Mallory, request: MessageId) -> Refusal {
    let heard = asker.hear_within(Duration::from_secs(3)).await;
    let Some(FromNode::RefusedMessages(words)) = heard else { panic!("not refused but {heard:?}") };
    assert_eq!(words.len(), 1, "{words:?}");
    assert_eq!(words[0].message, request);
    words[0].refusal
}

#[test]
fn an_answer_that_is_given_up_in_the_queue_ends_the_request() {
    sim(async {
        let answers: [&[Option<(u32, bool)>]; 4] =
            [&[None], &[Some((0, true))], &[Some((0, false))], &[Some((0, false)), Some((1, true))]];
        for parts in answers {
            let (world, mut asker, mut replier) = scene(96).await;
            let (request, _fillers) = Box::pin(answered(&world, &mut asker, &mut replier, parts)).await;
            pass(Duration::from_secs(1)).await;
            assert_eq!(asker.drain().await.len(), 5, "what filled the stream");
            assert_eq!(ends(&mut asker, request).await, Refusal::Expired, "{parts:?}");
            asker.silence().await;
            world.end().await;
        }
    });
}

#[test]
fn an_answer_of_who_is_revoked_meanwhile_ends_the_request() {
    sim(async {
        let (world, mut asker, mut replier) = scene(97).await;
        let (request, _fillers) = Box::pin(answered(&world, &mut asker, &mut replier, &[None])).await;
        world.node.registry().revoke(name("replier"), RevocationCause::Operator).await.unwrap();
        assert_eq!(asker.drain().await.len(), 5, "what filled the stream");
        assert_eq!(ends(&mut asker, request).await, Refusal::Revoked);
        world.end().await;
    });
}

/// A receiver that stops a stream takes nothing more: it has no use for a link.
#[test]
fn who_stops_a_lane_of_deliveries_loses_its_link_at_once() {
    sim(async {
        let (world, mut asker, replier) = scene(98).await;
        let mut lane = asker.lane(1).await;
        let header = on_lane(1, asker.plain("replier", "read:logs"));
        let bundle = asker.with_body(header, &[b'x'; 1024 * 1024], &LARGE);
        tokio::spawn(async move { give(&mut lane, bundle.bytes()).await });
        let mut stream = replier.link.connection.accept_uni().await.unwrap();
        stream.stop(0_u32.into()).unwrap();
        pass(Duration::from_secs(1)).await;
        assert!(replier.link.connection.close_reason().is_some(), "still there");
        assert_eq!(replier.closed().await, CloseReason::Protocol);
        let heard = asker.hear().await;
        let FromNode::Lost(word) = heard else { panic!("{heard:?}") };
        assert_eq!(word.messages, [header.message]);
        world.end().await;
    });
}
