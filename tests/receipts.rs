//! The receipt *delivered* and acknowledgements from the wire: what an honest receiver signs reaches the sender with the proof of who
//! signed; what a dishonest one says costs it the link.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use support::mallory::Mallory;
use support::mallory::talk::Given;
use support::swarm::name;
use support::{World, pass, sim};
use testudo_bus::env::Env as _;
use testudo_bus::tls::{self, Role};
use testudo_rules::audit::RegistryChange;
use testudo_wire::frame::{
    Acknowledge, CloseReason, FromAgent, FromNode, Introduced, Received, Whois, is_received,
};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Header, PublicKey, ReceiptWish, Refusal, SpiffeId};

async fn agent(world: &World, who: &str) -> Mallory {
    Mallory::dial(world, world.enrol(who, &["read:logs"], &["read:logs"]).await).await
}

async fn scene(seed: u64) -> (World, Mallory, Mallory) {
    let world = World::new(seed);
    let (sender, receiver) = (agent(&world, "sender").await, agent(&world, "receiver").await);
    (world, sender, receiver)
}

/// Sends so many messages that wish a signature; how they came.
async fn wish(sender: &mut Mallory, receiver: &mut Mallory, count: usize) -> Given {
    let to = receiver.identity.name;
    let wish = ReceiptWish::Delivered;
    let headers: Vec<_> =
        (0..count).map(|_| Header { receipt: wish, ..sender.plain(to.as_str(), "read:logs") }).collect();
    sender.post(&headers).await;
    let given = receiver.given().await.expect("no delivery");
    assert_eq!(given.ids(), headers.iter().map(|header| header.message).collect::<Vec<_>>());
    given
}

/// The key that an introduction proves, under the swarm's CAs.
fn proved(world: &World, introduced: &Introduced) -> (SpiffeId, PublicKey) {
    let chain: Vec<_> = introduced.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let (leaf, rest) = chain.split_first().expect("an empty chain");
    let now = UnixTime::since_unix_epoch(Duration::from_secs(world.swarm.env.now().as_secs()));
    let leaf = tls::check(Role::Agent, &world.swarm.trust, leaf, rest, now).unwrap();
    (leaf.id, leaf.key)
}

#[test]
fn a_signed_receipt_reaches_the_sender_with_the_proof_of_who_signed() {
    sim(async {
        let (world, mut sender, mut receiver) = scene(111).await;
        let given = wish(&mut sender, &mut receiver, 5).await;
        let receipt = receiver.receipt(0, &given);
        receiver.say(FromAgent::Received(receipt)).await;
        receiver.acknowledge(0, given.number()).await;
        let heard = sender.hear().await;
        let FromNode::Introduced(introduced) = heard else { panic!("{heard:?}") };
        assert_eq!(introduced.name, name("receiver"));
        let (id, key) = proved(&world, &introduced);
        assert_eq!(id, SpiffeId::Agent(world.swarm.id, name("receiver")));
        assert_eq!(key, receiver.identity.key.public());
        let heard = sender.hear().await;
        let FromNode::Delivered(delivered) = heard else { panic!("{heard:?}") };
        assert_eq!((delivered.receiver, delivered.messages), (name("receiver"), given.ids()));
        let (swarm, session) = (world.swarm.id, sender.link.welcome.seen.session);
        assert!(is_received(&delivered.signature, &key, &swarm, &session, &given.digests()));
        let mut others = given.digests();
        others.reverse();
        assert!(!is_received(&delivered.signature, &key, &swarm, &session, &others));

        // Some of a delivery, in any order, and nobody is introduced twice.
        let given = wish(&mut sender, &mut receiver, 3).await;
        let digests = given.digests();
        let mut some = receiver.receipt_for(0, &given, session, &[digests[2], digests[0]]);
        some.messages = vec![(0, given.number(), 2), (0, given.number(), 0)];
        receiver.say(FromAgent::Received(some)).await;
        receiver.acknowledge(0, given.number()).await;
        let heard = sender.hear().await;
        let FromNode::Delivered(delivered) = heard else { panic!("{heard:?}") };
        assert_eq!(delivered.messages, [given.ids()[2], given.ids()[0]]);
        assert!(is_received(&delivered.signature, &key, &swarm, &session, &[digests[2], digests[0]]));
        sender.silence().await;
        receiver.silence().await;
        world.end().await;
    });
}

#[test]
fn a_receipt_may_cover_several_deliveries_of_one_sender() {
    sim(async {
        let (world, mut sender, mut receiver) = scene(112).await;
        let first = wish(&mut sender, &mut receiver, 2).await;
        let second = wish(&mut sender, &mut receiver, 1).await;
        let digests = [first.digests(), second.digests()].concat();
        let session = sender.link.welcome.seen.session;
        let mut both = receiver.receipt_for(0, &first, session, &digests);
        both.messages.push((0, second.number(), 0));
        receiver.say(FromAgent::Received(both)).await;
        assert!(matches!(sender.hear().await, FromNode::Introduced(_)));
        let heard = sender.hear().await;
        let FromNode::Delivered(delivered) = heard else { panic!("{heard:?}") };
        assert_eq!(delivered.messages, [first.ids(), second.ids()].concat());
        receiver.acknowledge(0, second.number()).await;
        world.end().await;
    });
}

#[test]
fn t_a66_one_receipt_is_of_one_sender() {
    sim(async {
        let (world, mut sender, mut receiver) = scene(118).await;
        let mut other = agent(&world, "other").await;
        let mine = wish(&mut sender, &mut receiver, 1).await;
        let theirs = wish(&mut other, &mut receiver, 1).await;
        let digests = [mine.digests(), theirs.digests()].concat();
        let mut mixed = receiver.receipt_for(0, &mine, mine.headers()[0].session, &digests);
        mixed.messages.push((0, theirs.number(), 0));
        receiver.say(FromAgent::Received(mixed)).await;
        assert_eq!(receiver.closed().await, CloseReason::Protocol);
        for (agent, given) in [(&mut sender, mine), (&mut other, theirs)] {
            let heard = agent.hear().await;
            let FromNode::Lost(lost) = heard else { panic!("{heard:?}") };
            assert_eq!(lost.messages, given.ids());
            agent.silence().await;
        }
        world.end().await;
    });
}

/// What a receiver may do wrong with a receipt.
type Forge = fn(&Mallory, &Given, &Given) -> Received;

#[test]
fn t_a66_a_forged_receipt_costs_the_link() {
    sim(async {
        let forgeries: [(&str, Forge); 10] = [
            ("a delivery to come", |me, given, _| {
                let mut receipt = me.receipt(0, given);
                receipt.messages.iter_mut().for_each(|(_, delivery, _)| *delivery += 1);
                receipt
            }),
            ("delivery zero", |me, given, _| {
                let mut receipt = me.receipt(0, given);
                receipt.messages.iter_mut().for_each(|(_, delivery, _)| *delivery = 0);
                receipt
            }),
            ("a position that is not there", |me, given, _| {
                let mut receipt = me.receipt(0, given);
                receipt.messages[0].2 = 1;
                receipt
            }),
            ("another lane", |me, given, _| me.receipt(1, given)),
            ("no such lane", |me, given, _| me.receipt(9, given)),
            ("its own session", |me, given, _| {
                me.receipt_for(0, given, me.link.welcome.seen.session, &given.digests())
            }),
            ("another's message", |me, given, theirs| {
                me.receipt_for(0, given, given.headers()[0].session, &theirs.digests())
            }),
            ("no messages", |me, given, _| {
                let mut receipt = me.receipt(0, given);
                receipt.messages.clear();
                receipt
            }),
            ("the same message twice", |me, given, _| {
                let digest = given.digests()[0];
                let mut receipt = me.receipt_for(0, given, given.headers()[0].session, &[digest, digest]);
                receipt.messages.push(receipt.messages[0]);
                receipt
            }),
            ("the sender's signature, not its own", |_, given, _| {
                let session = given.headers()[0].session;
                let key = support::swarm::key_of("sender");
                let swarm = given.headers()[0].swarm;
                let digests = given.digests();
                let signature = testudo_wire::frame::sign_received(&key, &swarm, &session, &digests).unwrap();
                Received { session, messages: vec![(0, given.number(), 0)], signature }
            }),
        ];
        let (world, mut sender, receiver) = scene(113).await;
        let mut other = agent(&world, "other").await;
        let identity = receiver.identity.clone();
        drop(receiver);
        for (what, forge) in forgeries {
            let mut receiver = Mallory::dial(&world, identity.clone()).await;
            let theirs = wish(&mut sender, &mut other, 1).await;
            let given = wish(&mut sender, &mut receiver, 1).await;
            let forged = forge(&receiver, &given, &theirs);
            receiver.say(FromAgent::Received(forged)).await;
            assert_eq!(receiver.closed().await, CloseReason::Protocol, "{what}");
            let heard = sender.hear().await;
            let FromNode::Lost(lost) = heard else { panic!("{what}: {heard:?}") };
            assert_eq!(lost.messages, given.ids(), "{what}");
            other.acknowledge(0, theirs.number()).await;
            pass(Duration::from_secs(21)).await;
            other.beat().await;
            sender.beat().await;
        }
        sender.silence().await;
        world.end().await;
    });
}

#[test]
fn t_a66_a_receipt_comes_once_and_only_where_it_was_wished() {
    sim(async {
        let (world, mut sender, mut receiver) = scene(114).await;
        let given = wish(&mut sender, &mut receiver, 1).await;
        let receipt = receiver.receipt(0, &given);
        receiver.say(FromAgent::Received(receipt.clone())).await;
        assert!(matches!(sender.hear().await, FromNode::Introduced(_)));
        assert!(matches!(sender.hear().await, FromNode::Delivered(_)));
        receiver.say(FromAgent::Received(receipt)).await;
        assert_eq!(receiver.closed().await, CloseReason::Protocol, "twice");

        let mut receiver = Mallory::dial(&world, receiver.identity.clone()).await;
        let FromNode::Lost(_) = sender.hear().await else { panic!("not lost") };
        let given = wish(&mut sender, &mut receiver, 1).await;
        receiver.acknowledge(0, given.number()).await;
        let late = receiver.receipt(0, &given);
        receiver.say(FromAgent::Received(late)).await;
        assert_eq!(receiver.closed().await, CloseReason::Protocol, "after its acknowledgement");

        for receipt in [ReceiptWish::None, ReceiptWish::Accepted, ReceiptWish::Reply] {
            let mut receiver = Mallory::dial(&world, receiver.identity.clone()).await;
            let header = Header { receipt, ..sender.plain("receiver", "read:logs") };
            sender.post(&[header]).await;
            let given = receiver.given().await.unwrap();
            let unwished = receiver.receipt(0, &given);
            receiver.say(FromAgent::Received(unwished)).await;
            assert_eq!(receiver.closed().await, CloseReason::Protocol, "{receipt:?}");
            pass(Duration::from_secs(21)).await;
            sender.beat().await;
        }
        world.end().await;
    });
}

#[test]
fn an_acknowledgement_of_what_it_was_not_given_costs_the_link() {
    sim(async {
        let (world, mut sender, mut receiver) = scene(115).await;
        let given = wish(&mut sender, &mut receiver, 1).await;
        receiver.acknowledge(0, given.number()).await;
        receiver.acknowledge(0, given.number()).await;
        receiver.acknowledge(0, 0).await;
        receiver.silence().await;
        assert_eq!(receiver.link.connection.close_reason(), None, "the same again is no harm");
        for (lane, upto) in [(0, 1), (1, 0), (4, 0), (5, 0), (255, 0), (0, u64::MAX)] {
            let mut receiver = Mallory::dial(&world, receiver.identity.clone()).await;
            receiver.say(FromAgent::Acknowledge(Acknowledge { lane, upto, refused: Vec::new() })).await;
            assert_eq!(receiver.closed().await, CloseReason::Protocol, "{lane} {upto}");
            pass(Duration::from_secs(21)).await;
            sender.beat().await;
        }
        world.end().await;
    });
}

#[test]
fn anybody_may_ask_who_somebody_is_and_hears_nothing_of_who_is_not_here() {
    sim(async {
        let (world, mut sender, receiver) = scene(116).await;
        world.enrol("away", &["read:logs"], &[]).await;
        for who in ["receiver", "sender"] {
            sender.say(FromAgent::Whois(Whois { name: name(who) })).await;
            let FromNode::Introduced(word) = sender.hear().await else { panic!("{who}") };
            assert_eq!(proved(&world, &word).0, SpiffeId::Agent(world.swarm.id, name(who)));
        }
        for who in ["away", "nobody"] {
            sender.say(FromAgent::Whois(Whois { name: name(who) })).await;
            let FromNode::Introduced(word) = sender.hear().await else { panic!("{who}") };
            assert!(word.name == name(who) && word.chain.is_empty());
        }
        drop(receiver);
        world.end().await;
    });
}

#[test]
fn an_agent_that_failed_is_revoked_with_that_cause() {
    sim(async {
        let (world, mut sender, mut receiver) = scene(117).await;
        sender.say(FromAgent::Failed).await;
        let failed = RevocationCause::Failed;
        assert_eq!(sender.closed().await, CloseReason::Revoked(failed));
        assert_eq!(CloseReason::Revoked(failed).code(), 19);
        let mut under = receiver.plain("sender", "read:logs");
        under.receipt = ReceiptWish::Accepted;
        assert_eq!(receiver.try_post(&[under]).await, Some(Refusal::Unroutable));
        let view = world.node.registry().get(name("sender")).await.unwrap();
        assert!(format!("{view:?}").contains("Failed"), "{view:?}");
        let (_, ledger) = world.end().await;
        assert_eq!(
            ledger.changes(name("sender")),
            [RegistryChange::Enrolled, RegistryChange::Revoked(failed)]
        );
    });
}
