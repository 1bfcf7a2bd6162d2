//! The receiver against a node that lies, with real bundles and real tokens.

use std::collections::BTreeSet;

use bytes::Bytes;
use testudo_wire::{
    Bundle, Destination, Envelope, Header, MessageId, Refusal, RegistrySequence, SecretKey, SessionId,
    SwarmId, TokenId,
};

use super::Receiver;
use crate::pipeline::tests::world::*;
use crate::replay::{FRESH, ReceiverWindows, SESSIONS_MAX};
use crate::token::{Attenuation, Delegation, Mint, SealedToken, Trust};

/// The receiver that runs as `me`, waiting for Ada's answer to request 9.
struct Inbox {
    me: &'static str,
    swarm: SwarmId,
    windows: ReceiverWindows,
    now: testudo_wire::Timestamp,
}

impl Inbox {
    fn of(me: &'static str) -> Self {
        Self { me, swarm: swarm(), windows: ReceiverWindows::new(later(-600_000)), now: NOW }
    }

    /// The refusals by position; `None` reaches the handler.
    fn take(&mut self, world: &World, bytes: Bytes) -> Result<Vec<Option<Refusal>>, Refusal> {
        let awaits =
            |request: &MessageId, of: &testudo_wire::AgentName| *request == message(9) && *of == name("ada");
        let receiver = Receiver {
            swarm: self.swarm,
            name: name(self.me),
            tokens: world,
            standings: world,
            awaits: &awaits,
            limits: LIMITS,
        };
        let vetted = receiver.verify(bytes, &mut self.windows, self.now)?;
        Ok(vetted.into_iter().map(Result::err).collect())
    }
}

fn world() -> (World, TokenId) {
    World::with("ada", "read:logs publish:alerts")
}

fn one(refusal: Refusal) -> Result<Vec<Option<Refusal>>, Refusal> {
    Ok(vec![Some(refusal)])
}

const PASSED: Option<Refusal> = None;

#[test]
fn an_honest_delivery_reaches_the_handler_with_the_sender_its_token_proves() {
    let (world, token) = world();
    let receiver = Receiver {
        swarm: swarm(),
        name: name("bob"),
        tokens: &world,
        standings: &world,
        awaits: &|_, _| false,
        limits: LIMITS,
    };
    let vetted = receiver.verify(bundle(&[ask(1, token)]), &mut ReceiverWindows::new(NOW), NOW).unwrap();
    let [Ok(vetted)] = &vetted[..] else { panic!("{vetted:?}") };
    assert_eq!(*vetted.sender(), holder("ada"));
    assert_eq!(vetted.envelope().header(), &ask(1, token));
    assert_eq!(&vetted.envelope().body()[..], b"all quiet in the north");
}

#[test]
fn services_and_topics_reach_any_receiver_whom_the_node_chose() {
    let (world, token) = world();
    let service = Header { destination: Destination::Service, ..ask(1, token) };
    let publish = Header {
        destination: topic("alerts"),
        capability: Some(capability("publish:alerts")),
        ..ask(2, token)
    };
    assert_eq!(Inbox::of("cyd").take(&world, bundle(&[service, publish])), Ok(vec![PASSED, PASSED]));
}

#[test]
fn r_r26_a_message_for_another_recipient_is_not_ours() {
    let (world, token) = world();
    let mut cyd = Inbox::of("cyd");
    assert_eq!(cyd.take(&world, bundle(&[ask(1, token)])), one(Refusal::Unroutable));
    let reply = answer(2, token, "bob", message(9));
    assert_eq!(cyd.take(&world, bundle(&[reply])), one(Refusal::Unroutable));
    let for_cyd = Header { destination: to("cyd"), ..ask(1, token) };
    assert_eq!(cyd.take(&world, bundle(&[for_cyd])), Ok(vec![PASSED]), "a refusal uses no sequence");
}

#[test]
fn a_whole_or_pruned_bundle_that_is_not_canonical_is_malformed() {
    let (world, token) = world();
    let good = bundle_by(&key_of("ada"), &[ask(1, token), ask(2, token)]);
    let pruned = good.prune(&|at| at == 0).unwrap().bytes().to_vec();
    for bytes in [Vec::new(), pruned[..pruned.len() - 1].to_vec(), [&pruned[..], &[0]].concat()] {
        assert_eq!(Inbox::of("bob").take(&world, bytes.into()), Err(Refusal::Malformed));
    }
}

#[test]
fn t_a30_a_node_cannot_change_forge_or_splice_a_message() {
    let (world, token) = world();
    let good = bundle_by(&key_of("ada"), &[ask(1, token), ask(2, token), ask(3, token)]);
    let forged = bundle_by(&key_of("node"), &[ask(1, token)]).bytes().to_vec();
    let mut cases = vec![forged];
    for bytes in [good.bytes().to_vec(), good.prune(&|at| at == 1).unwrap().bytes().to_vec()] {
        let mut signature = bytes.clone();
        signature[20] ^= 1;
        let mut tail = bytes;
        *tail.last_mut().unwrap() ^= 1;
        cases.extend([signature, tail]);
    }
    let mut other = bundle(&[ask(7, token), ask(8, token), ask(9, token)]).to_vec();
    other[..66].copy_from_slice(&good.bytes()[..66]);
    cases.push(other);
    for (n, case) in cases.into_iter().enumerate() {
        let mut bob = Inbox::of("bob");
        assert_eq!(bob.take(&world, case.into()), Err(Refusal::Unauthentic), "case {n}");
        assert_eq!(bob.take(&world, good.bytes().clone()), Ok(vec![PASSED; 3]), "case {n} burnt nothing");
    }
}

#[test]
fn t_a16_the_sender_is_who_the_token_names_not_who_the_node_says() {
    let (mut world, adas) = world();
    let mallorys = world.show(&signed(&mint("mallory", "read:logs")));
    let mallory = key_of("mallory");
    let key = *mallory.public().as_bytes();
    for (n, header, expected) in [
        // Mallory's key and token under Ada's name; under Ada's key; Ada's token under Mallory's name.
        (0, Header { key, ..ask(1, mallorys) }, Refusal::WrongPeer),
        (1, ask(1, mallorys), Refusal::WrongPeer),
        (2, Header { sender: name("mallory"), key, ..ask(1, adas) }, Refusal::WrongPeer),
        // All of Ada's, but signed by Mallory.
        (3, ask(1, adas), Refusal::Unauthentic),
    ] {
        let bytes = bundle_by(&mallory, &[header]).bytes().clone();
        assert_eq!(Inbox::of("bob").take(&world, bytes), Err(expected), "case {n}");
    }
}

#[test]
fn another_senders_token_on_a_later_envelope_is_worth_nothing() {
    let (mut world, adas) = world();
    let cyds = world.show(&signed(&Mint { id: fact(3), ..mint("cyd", "read:logs") }));
    let unknown = TokenId::new([0; 32]);
    let bytes = bundle(&[ask(1, adas), ask(2, cyds), ask(3, unknown), ask(4, adas)]);
    let no = Some(Refusal::Unauthorised);
    assert_eq!(Inbox::of("bob").take(&world, bytes), Ok(vec![PASSED, no, no, PASSED]));
    let first = bundle(&[ask(1, cyds), ask(2, adas)]);
    assert_eq!(Inbox::of("bob").take(&world, first), Err(Refusal::WrongPeer));
}

#[test]
fn without_the_token_there_is_no_sender_to_believe() {
    let (_, token) = world();
    let taken = Inbox::of("bob").take(&World::default(), bundle(&[ask(1, token)]));
    assert_eq!(taken, Err(Refusal::Unauthorised));
}

#[test]
fn t_a18_r_r10_a_stale_message_is_refused_whatever_the_node_says() {
    let (world, token) = world();
    let at = |sequence, ms| Header { timestamp: later(ms), ..ask(sequence, token) };
    let bytes = bundle(&[at(1, -300_001), at(2, -300_000), at(3, 300_000), at(4, 300_001)]);
    let stale = Some(Refusal::Stale);
    assert_eq!(Inbox::of("bob").take(&world, bytes), Ok(vec![stale, PASSED, PASSED, stale]));
}

#[test]
fn t_a17_r_r03_what_was_handled_is_never_handled_again_in_whatever_form_it_comes() {
    let (world, token) = world();
    let whole = bundle_by(&key_of("ada"), &[ask(1, token), ask(2, token), ask(3, token)]);
    let mut bob = Inbox::of("bob");
    let replayed = Some(Refusal::Replayed);
    let pruned = whole.prune(&|at| at == 1).unwrap();
    assert_eq!(bob.take(&world, pruned.bytes().clone()), Ok(vec![PASSED]));
    assert_eq!(bob.take(&world, pruned.bytes().clone()), Ok(vec![replayed]));
    assert_eq!(bob.take(&world, whole.bytes().clone()), Ok(vec![PASSED, replayed, PASSED]));
    // The same sequences in another bundle of Ada's: she lies, and gains nothing.
    assert_eq!(bob.take(&world, bundle(&[ask(2, token), ask(4, token)])), Ok(vec![replayed, PASSED]));
    let elsewhere = Header { session: SessionId::new([1; 16]), ..ask(2, token) };
    assert_eq!(bob.take(&world, bundle(&[elsewhere])), Ok(vec![PASSED]), "each session has its window");
}

#[test]
fn t_a20_r_r11_a_future_message_is_remembered_until_it_is_stale() {
    let (world, _) = world();
    let mut world = world;
    let long = world.show(&signed(&Mint { expires: later(9_000_000), ..mint("ada", "read:logs") }));
    let bytes = bundle(&[Header { timestamp: NOW.after(FRESH), ..ask(1, long) }]);
    let mut bob = Inbox::of("bob");
    assert_eq!(bob.take(&world, bytes.clone()), Ok(vec![PASSED]));
    for (ms, refusal) in [
        (0, Refusal::Replayed),
        (300_000, Refusal::Replayed),
        (600_000, Refusal::Replayed),
        (600_001, Refusal::Stale),
    ] {
        bob.now = later(ms);
        assert_eq!(bob.take(&world, bytes.clone()), one(refusal), "{ms}");
    }
}

#[test]
fn r_r27_nothing_from_before_the_receivers_start() {
    let (world, token) = world();
    let mut bob = Inbox { windows: ReceiverWindows::new(NOW), ..Inbox::of("bob") };
    let before = Header { timestamp: later(-1), ..ask(1, token) };
    assert_eq!(bob.take(&world, bundle(&[before])), one(Refusal::Stale));
    assert_eq!(bob.take(&world, bundle(&[ask(1, token)])), Ok(vec![PASSED]));
}

#[test]
fn t_a22_a_sender_with_too_many_sessions_starves_only_itself() {
    let (mut world, token) = world();
    let cyds = world.show(&signed(&mint("cyd", "read:logs")));
    let mut bob = Inbox::of("bob");
    let session = |n: usize| SessionId::new([u8::try_from(n).unwrap(); 16]);
    for n in 0..SESSIONS_MAX {
        let header = Header { session: session(n), ..ask(1, token) };
        assert_eq!(bob.take(&world, bundle(&[header])), Ok(vec![PASSED]));
    }
    let one_more = bundle(&[Header { session: session(SESSIONS_MAX), ..ask(1, token) }]);
    assert_eq!(bob.take(&world, one_more), one(Refusal::Overloaded));
    let cyd = Header { sender: name("cyd"), key: *key_of("cyd").public().as_bytes(), ..ask(1, cyds) };
    let bytes = bundle_by(&key_of("cyd"), &[cyd]).bytes().clone();
    assert_eq!(bob.take(&world, bytes), Ok(vec![PASSED]));
}

#[test]
fn r_r28_a_clock_that_jumps_ahead_and_back_releases_nothing() {
    let (mut world, _) = world();
    let token = world.show(&signed(&Mint { expires: later(9_000_000), ..mint("ada", "read:logs") }));
    let session = |n: usize| SessionId::new([u8::try_from(n).unwrap(); 16]);
    let handled = bundle(&[ask(1, token)]);
    let mut bob = Inbox::of("bob");
    assert_eq!(bob.take(&world, handled.clone()), Ok(vec![PASSED]));
    for n in 1..SESSIONS_MAX {
        let header = Header { session: session(n), ..ask(1, token) };
        assert_eq!(bob.take(&world, bundle(&[header])), Ok(vec![PASSED]));
    }
    bob.now = later(900_000);
    let header = Header { session: session(SESSIONS_MAX), timestamp: bob.now, ..ask(1, token) };
    assert_eq!(bob.take(&world, bundle(&[header])), Ok(vec![PASSED]), "the others are forgotten");
    bob.now = NOW;
    assert_eq!(bob.take(&world, handled), one(Refusal::Stale), "fresh by the clock, but forgotten");
    let newer = Header { session: session(99), timestamp: later(1), ..ask(1, token) };
    assert_eq!(bob.take(&world, bundle(&[newer])), Ok(vec![PASSED]), "newer than anything forgotten");
}

#[test]
fn another_swarm_is_refused_by_header_and_by_token() {
    let (world, token) = world();
    let mut bob = Inbox { swarm: SwarmId::new([1; 32]), ..Inbox::of("bob") };
    assert_eq!(bob.take(&world, bundle(&[ask(1, token)])), Err(Refusal::WrongPeer));

    let other = SecretKey::from_seed(&[0xbb; 32]);
    let theirs = SwarmId::of(&other.public());
    let mint = Mint { swarm: theirs, ..mint("ada", "read:logs") };
    let sealed = mint.sign(&other, fresh_seed(), &LIMITS).unwrap().seal().unwrap();
    let (sealed, meaning) = SealedToken::read(sealed.bytes(), &Trust::of(other.public()), &LIMITS).unwrap();
    let mut world = World::default();
    world.tokens.insert(sealed.id(), meaning);
    let mut bob = Inbox::of("bob");
    assert_eq!(bob.take(&world, bundle(&[ask(1, sealed.id())])), one(Refusal::Unauthorised));
    let header = Header { swarm: theirs, ..ask(1, sealed.id()) };
    assert_eq!(bob.take(&world, bundle(&[header])), Err(Refusal::WrongPeer));
}

#[test]
fn every_envelope_that_a_pruned_form_keeps_is_verified_for_itself() {
    let (mut world, token) = world();
    let weak = world.show(&signed(&Mint { id: fact(3), ..mint("ada", "write:logs") }));
    let headers = [
        ask(1, token),
        Header { destination: to("cyd"), ..ask(2, token) },
        ask(3, weak),
        Header { timestamp: later(-300_001), ..ask(4, token) },
        ask(5, token),
    ];
    let alone =
        [PASSED, Some(Refusal::Unroutable), Some(Refusal::Unauthorised), Some(Refusal::Stale), PASSED];
    let whole = bundle_by(&key_of("ada"), &headers);
    for mask in 1..32_u8 {
        let keep = |at: usize| mask >> at & 1 == 1;
        let expected: Vec<_> = (0..5).filter(|at| keep(*at)).map(|at| alone[at]).collect();
        let pruned = whole.prune(&keep).unwrap().bytes().clone();
        assert_eq!(Inbox::of("bob").take(&world, pruned), Ok(expected), "{mask:05b}");
    }
}

#[test]
fn t_a45_the_receiver_knows_what_the_token_does_not_cover() {
    let mut world = World::default();
    let limit = |to: &str| Attenuation { to: Some(BTreeSet::from([name(to)])), ..Attenuation::default() };
    let token = signed(&mint("ada", "read:logs publish:alerts"));
    let to_cyd = world.show(&token.attenuate(&limit("cyd"), fresh_seed()).unwrap());
    let to_bob = world.show(&token.attenuate(&limit("bob"), fresh_seed()).unwrap());
    let base = |n| ask(n, to_bob);
    let bytes = bundle(&[
        base(1),
        ask(2, to_cyd),
        Header { capability: Some(capability("write:logs")), ..base(3) },
        Header { destination: Destination::Service, ..base(4) },
        Header { destination: topic("alerts"), capability: Some(capability("publish:alerts")), ..base(5) },
    ]);
    let no = Some(Refusal::Unauthorised);
    assert_eq!(Inbox::of("bob").take(&world, bytes), Ok(vec![PASSED, no, no, no, no]));
}

#[test]
fn an_expired_token_is_refused_at_the_receiver_too() {
    let mut world = World::default();
    let token = world.show(&signed(&Mint { expires: NOW, ..mint("ada", "read:logs") }));
    for (ms, expected) in [(999, PASSED), (1000, Some(Refusal::ExpiredToken))] {
        for header in [ask(1, token), answer(1, token, "bob", message(9))] {
            let mut bob = Inbox { now: later(ms), ..Inbox::of("bob") };
            assert_eq!(bob.take(&world, bundle(&[header])), Ok(vec![expected]), "{ms}");
        }
    }
}

/// Cyd's token, handed on to Ada: ids 1 and 2.
fn delegated(world: &mut World) -> TokenId {
    let delegation = Delegation {
        id: fact(2),
        to: holder("ada"),
        grant: capabilities("read:logs"),
        grant_on: BTreeSet::new(),
        expires: later(60_000),
        hops: 0,
    };
    let token = signed(&mint("cyd", "read:logs"));
    world.show(&token.delegate(&delegation, &key_of("cyd"), fresh_seed()).unwrap())
}

#[test]
fn t_a39_a_revocation_that_the_receiver_knows_counts_whatever_the_node_does() {
    type Revoke = fn(&mut World);
    let revocations: [(&str, Revoke); 5] = [
        ("sender", |world| _ = world.revoked.insert(name("ada"))),
        ("who handed it on", |world| _ = world.revoked.insert(name("cyd"))),
        ("minted id", |world| _ = world.revoked_ids.insert(fact(1))),
        ("delegated id", |world| _ = world.revoked_ids.insert(fact(2))),
        ("valid from", |world| _ = world.valid_from.insert(name("cyd"), RegistrySequence(MINTED.0 + 1))),
    ];
    for (what, revoke) in revocations {
        let mut world = World::default();
        let token = delegated(&mut world);
        let mut bob = Inbox::of("bob");
        assert_eq!(bob.take(&world, bundle(&[ask(1, token)])), Ok(vec![PASSED]), "{what}");
        revoke(&mut world);
        let bytes = bundle(&[ask(2, token), answer(3, token, "bob", message(9))]);
        assert_eq!(bob.take(&world, bytes), Ok(vec![Some(Refusal::Revoked); 2]), "{what}");
    }
}

#[test]
fn a_reply_counts_only_when_it_is_awaited_from_this_sender() {
    let (mut world, token) = World::with("ada", "publish:nothing");
    let cyds = world.show(&signed(&mint("cyd", "publish:nothing")));
    let mut bob = Inbox::of("bob");
    let bytes = bundle(&[answer(1, token, "bob", message(9)), answer(2, token, "bob", message(8))]);
    assert_eq!(bob.take(&world, bytes), Ok(vec![PASSED, Some(Refusal::Unauthorised)]));
    let by_cyd = Header {
        sender: name("cyd"),
        key: *key_of("cyd").public().as_bytes(),
        ..answer(1, cyds, "bob", message(9))
    };
    let bytes = bundle_by(&key_of("cyd"), &[by_cyd]).bytes().clone();
    assert_eq!(bob.take(&world, bytes), one(Refusal::Unauthorised));
}

#[test]
fn t_a21_a_forged_copy_first_does_not_use_up_the_honest_one() {
    let (world, token) = world();
    let mut bob = Inbox::of("bob");
    let forged =
        Bundle::sign(vec![Envelope::encode(ask(1, token), b"pay")], &key_of("node"), &LIMITS).unwrap();
    assert_eq!(bob.take(&world, forged.bytes().clone()), Err(Refusal::Unauthentic));
    assert_eq!(bob.take(&world, bundle(&[ask(1, token)])), Ok(vec![PASSED]));
}
