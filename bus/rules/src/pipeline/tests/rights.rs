//! What a token must say before a message goes on, and what an open request does instead.

use std::collections::BTreeSet;

use testudo_wire::{Destination, Header, Refusal, RegistrySequence, SecretKey, SwarmId, TokenId};

use super::world::*;
use crate::token::{Attenuation, Delegation, Mint, SealedToken, Trust};

const UNAUTHORISED: Option<Refusal> = Some(Refusal::Unauthorised);

/// The outcome of one message of Ada's.
fn outcome(world: &World, header: Header) -> Option<Refusal> {
    Link::of("ada").outcomes(world, bundle(&[header])).unwrap()[0]
}

/// Cyd's token for reading, handed on to Ada: ids 1 and 2.
fn delegated(world: &mut World) -> TokenId {
    let delegation = Delegation {
        id: fact(2),
        to: holder("ada"),
        grant: capabilities("read:logs"),
        grant_on: BTreeSet::new(),
        expires: later(60_000),
        hops: 0,
    };
    let token = signed(&mint("cyd", "read:logs write:logs"));
    world.show(&token.delegate(&delegation, &key_of("cyd"), fresh_seed()).unwrap())
}

/// The own token of `from` for `read:logs` and `publish:alerts`, handed on to each in turn.
fn handed_on(world: &mut World, from: &str, to: &[&str]) -> TokenId {
    let rights = "read:logs publish:alerts";
    let mut token = signed(&mint(from, rights));
    let mut by = from;
    for (next, n) in to.iter().zip(2..) {
        let (grant, grant_on) = (capabilities(rights), capabilities(rights));
        let id = fact(n);
        let (expires, hops) = (later(60_000), 3 - n);
        let delegation = Delegation { id, to: holder(next), grant, grant_on, expires, hops };
        token = token.delegate(&delegation, &key_of(by), fresh_seed()).unwrap();
        by = next;
    }
    world.show(&token)
}

/// To an agent, to a service, to a topic.
fn every_way(token: TokenId) -> [Header; 3] {
    let base = ask(1, token);
    let publish = Some(capability("publish:alerts"));
    [
        base,
        Header { destination: Destination::Service, ..base },
        Header { destination: topic("alerts"), capability: publish, ..base },
    ]
}

/// Ada's token, limited to messages to Bob.
fn only_to_bob(world: &mut World) -> TokenId {
    let to = Some(BTreeSet::from([name("bob")]));
    let token = signed(&mint("ada", "read:logs publish:alerts"));
    world.show(&token.attenuate(&Attenuation { to, ..Attenuation::default() }, fresh_seed()).unwrap())
}

#[test]
fn what_the_token_covers_goes_on_to_agent_service_and_topic() {
    let (world, token) = World::with("ada", "read:logs publish:alerts");
    let publish = Some(capability("publish:alerts"));
    for (destination, capability) in [
        (to("bob"), Some(capability("read:logs"))),
        (Destination::Service, Some(capability("read:logs"))),
        (topic("alerts"), publish),
    ] {
        assert_eq!(outcome(&world, Header { destination, capability, ..ask(1, token) }), None);
    }
}

#[test]
fn t_a43_without_a_token_that_this_link_showed_nothing_goes() {
    let (_, token) = World::with("ada", "read:logs");
    assert_eq!(outcome(&World::default(), ask(1, token)), UNAUTHORISED);
    let (world, _) = World::with("ada", "read:logs");
    assert_eq!(outcome(&world, ask(1, TokenId::new([0; 32]))), UNAUTHORISED);
}

#[test]
fn t_a43_somebody_elses_token_is_worth_nothing() {
    let (world, token) = World::with("bob", "read:logs");
    assert_eq!(outcome(&world, ask(1, token)), UNAUTHORISED);
    // The right name with another key, and the other way round.
    for holder in [
        testudo_wire::Holder { name: name("ada"), key: key_of("bob").public() },
        testudo_wire::Holder { name: name("bob"), key: key_of("ada").public() },
    ] {
        let mut world = World::default();
        let token = world.show(&signed(&Mint { holder, ..mint("ada", "read:logs") }));
        assert_eq!(outcome(&world, ask(1, token)), UNAUTHORISED);
    }
}

#[test]
fn t_a43_a_token_that_was_handed_on_is_the_last_holders_only() {
    let mut world = World::default();
    let token = delegated(&mut world);
    assert_eq!(outcome(&world, ask(1, token)), None);
    let header = Header { sender: name("cyd"), key: *key_of("cyd").public().as_bytes(), ..ask(1, token) };
    let bytes = bundle_by(&key_of("cyd"), &[header]).bytes().clone();
    assert_eq!(Link::of("cyd").outcomes(&world, bytes), Ok(vec![UNAUTHORISED]));
}

#[test]
fn a_token_of_another_swarm_is_worth_nothing() {
    let other = SecretKey::from_seed(&[0xbb; 32]);
    let swarm = SwarmId::of(&other.public());
    let mint = Mint { swarm, ..mint("ada", "read:logs") };
    let sealed = mint.sign(&other, fresh_seed(), &LIMITS).unwrap().seal().unwrap();
    let (sealed, meaning) = SealedToken::read(sealed.bytes(), &Trust::of(other.public()), &LIMITS).unwrap();
    let mut world = World::default();
    world.tokens.insert(sealed.id(), meaning);
    assert_eq!(outcome(&world, ask(1, sealed.id())), UNAUTHORISED);
}

#[test]
fn t_a45_a_capability_beyond_the_token_is_refused() {
    let mut world = World::default();
    let token = delegated(&mut world);
    for text in ["write:logs", "read:log", "read:logs/app", "publish:alerts"] {
        let header = Header { capability: Some(capability(text)), ..ask(1, token) };
        assert_eq!(outcome(&world, header), UNAUTHORISED, "{text}");
    }
}

#[test]
fn t_a45_a_destination_outside_to_is_refused_and_services_and_topics_with_it() {
    let mut world = World::default();
    let token = only_to_bob(&mut world);
    assert_eq!(outcome(&world, ask(1, token)), None);
    let base = ask(1, token);
    for header in [
        Header { destination: to("cyd"), ..base },
        Header { destination: Destination::Service, ..base },
        Header { destination: topic("alerts"), capability: Some(capability("publish:alerts")), ..base },
    ] {
        assert_eq!(outcome(&world, header), UNAUTHORISED, "{:?}", header.destination);
    }
}

#[test]
fn a_token_counts_through_its_last_second_and_then_is_expired() {
    let mut world = World::default();
    let token = world.show(&signed(&Mint { expires: NOW, ..mint("ada", "read:logs") }));
    world.open.insert((message(9), name("bob"), name("ada")));
    for (now, expected) in [(later(0), None), (later(999), None), (later(1000), Some(Refusal::ExpiredToken))]
    {
        for header in [ask(1, token), answer(1, token, "bob", message(9))] {
            let mut link = Link::of("ada");
            link.now = now;
            assert_eq!(link.outcomes(&world, bundle(&[header])), Ok(vec![expected]), "{now:?}");
        }
    }
}

#[test]
fn t_a39_a_revoked_holder_anywhere_in_the_chain_kills_the_token() {
    let mut world = World::default();
    let token = delegated(&mut world);
    world.revoked.insert(name("bob"));
    assert_eq!(outcome(&world, ask(1, token)), None, "Bob is not in the chain");
    world.revoked.insert(name("cyd"));
    assert_eq!(outcome(&world, ask(1, token)), Some(Refusal::Revoked));
}

#[test]
fn t_a39_a_revoked_id_of_any_block_kills_the_token() {
    for (id, expected) in [(1, Some(Refusal::Revoked)), (2, Some(Refusal::Revoked)), (3, None)] {
        let mut world = World::default();
        let token = delegated(&mut world);
        world.revoked_ids.insert(fact(id));
        assert_eq!(outcome(&world, ask(1, token)), expected, "id {id}");
    }
}

#[test]
fn t_a39_a_token_minted_before_valid_from_is_dead() {
    for who in ["ada", "cyd"] {
        for (from, expected) in [(MINTED.0, None), (MINTED.0 + 1, Some(Refusal::Revoked))] {
            let mut world = World::default();
            let token = delegated(&mut world);
            world.valid_from.insert(name(who), RegistrySequence(from));
            assert_eq!(outcome(&world, ask(1, token)), expected, "{who} from {from}");
        }
    }
}

#[test]
fn a_reply_needs_no_right_but_this_very_request_open_between_these_two() {
    let (mut world, token) = World::with("ada", "publish:nothing");
    let mut limited = World::default();
    let bob_only = only_to_bob(&mut limited);
    world.tokens.append(&mut limited.tokens);
    world.open.insert((message(9), name("bob"), name("ada")));
    world.open.insert((message(8), name("bob"), name("cyd")));
    world.open.insert((message(7), name("cyd"), name("ada")));
    for (n, header, expected) in [
        (0, answer(1, token, "bob", message(9)), None),
        (1, answer(1, token, "bob", message(1)), UNAUTHORISED),
        (2, answer(1, token, "cyd", message(9)), UNAUTHORISED),
        (3, answer(1, token, "bob", message(8)), UNAUTHORISED),
        (4, answer(1, bob_only, "cyd", message(7)), None),
        (5, answer(1, TokenId::new([0; 32]), "bob", message(9)), UNAUTHORISED),
    ] {
        assert_eq!(outcome(&world, header), expected, "case {n}");
    }
    world.revoked_ids.insert(fact(1));
    let reply = answer(1, token, "bob", message(9));
    assert_eq!(outcome(&world, reply), Some(Refusal::Revoked), "open, but under a dead token");
}

#[test]
fn an_open_request_opens_nothing_but_the_reply() {
    let (mut world, token) = World::with("ada", "publish:nothing");
    world.open.insert((message(9), name("bob"), name("ada")));
    let header = Header { message: message(9), ..ask(1, token) };
    assert_eq!(outcome(&world, header), UNAUTHORISED);
}

#[test]
fn an_agent_without_authority_of_its_own_acts_under_what_it_was_handed_and_nothing_else() {
    let mut world = World { delegated_only: [name("ada")].into(), ..World::default() };
    let own = handed_on(&mut world, "ada", &[]);
    let from_cyd = handed_on(&mut world, "cyd", &["ada"]);
    let through_two = handed_on(&mut world, "cyd", &["bob", "ada"]);
    for (which, token, expected) in
        [("own", own, UNAUTHORISED), ("from Cyd", from_cyd, None), ("through two", through_two, None)]
    {
        for header in every_way(token) {
            assert_eq!(outcome(&world, header), expected, "{which} to {:?}", header.destination);
        }
    }
    world.delegated_only.clear();
    assert!(every_way(own).iter().all(|header| outcome(&world, *header).is_none()), "her own token is sound");
}

#[test]
fn an_agent_without_authority_of_its_own_replies_under_its_own_token() {
    let mut world = World { delegated_only: [name("ada")].into(), ..World::default() };
    let own = handed_on(&mut world, "ada", &[]);
    world.open.insert((message(9), name("bob"), name("ada")));
    assert_eq!(outcome(&world, answer(1, own, "bob", message(9))), None);
    assert_eq!(outcome(&world, answer(1, own, "bob", message(8))), UNAUTHORISED, "still no reply unasked");
}

#[test]
fn t_a45_its_own_token_does_not_become_a_delegated_one_by_going_in_a_circle() {
    let mut world = World { delegated_only: [name("ada")].into(), ..World::default() };
    for through in [["ada"].as_slice(), &["bob", "ada"]] {
        let token = handed_on(&mut world, "ada", through);
        for header in every_way(token) {
            assert_eq!(outcome(&world, header), UNAUTHORISED, "{through:?} to {:?}", header.destination);
        }
    }
}

#[test]
fn t_a45_its_own_token_moves_nothing_in_an_accomplices_hands() {
    let mut world = World::default();
    let token = handed_on(&mut world, "cyd", &["ada"]);
    assert_eq!(outcome(&world, ask(1, token)), None);
    world.delegated_only.insert(name("cyd"));
    assert_eq!(outcome(&world, ask(1, token)), UNAUTHORISED, "Ada is free, but it is Cyd's authority");
}

/// The outcomes of one bundle of Ada's that mixes these.
fn mixed(world: &World, headers: &[Header]) -> Vec<Option<Refusal>> {
    Link::of("ada").outcomes(world, bundle(headers)).unwrap()
}

#[test]
fn a_decision_does_not_leak_to_another_capability() {
    let (world, token) = World::with("ada", "read:logs");
    let write = |n| Header { capability: Some(capability("write:logs")), ..ask(n, token) };
    let outcomes = mixed(&world, &[ask(1, token), write(2), write(3), ask(4, token), ask(5, token)]);
    assert_eq!(outcomes, [None, UNAUTHORISED, UNAUTHORISED, None, None]);
}

#[test]
fn a_decision_does_not_leak_to_another_destination() {
    let mut world = World::default();
    let token = only_to_bob(&mut world);
    let to_cyd = |n| Header { destination: to("cyd"), ..ask(n, token) };
    let service = |n| Header { destination: Destination::Service, ..ask(n, token) };
    let outcomes = mixed(&world, &[ask(1, token), to_cyd(2), ask(3, token), service(4), ask(5, token)]);
    assert_eq!(outcomes, [None, UNAUTHORISED, None, UNAUTHORISED, None]);
}

#[test]
fn a_decision_does_not_leak_to_another_token() {
    let (mut world, good) = World::with("ada", "read:logs");
    let weak = world.show(&signed(&Mint { id: fact(4), ..mint("ada", "write:logs") }));
    let others = world.show(&signed(&Mint { id: fact(5), ..mint("bob", "read:logs") }));
    let dead = world.show(&signed(&Mint { id: fact(6), ..mint("ada", "read:logs") }));
    world.revoked_ids.insert(fact(6));
    let tokens = [good, weak, good, others, good, TokenId::new([0; 32]), good, dead, good];
    let headers: Vec<_> = tokens.into_iter().zip(1..).map(|(token, n)| ask(n, token)).collect();
    let (no, revoked) = (UNAUTHORISED, Some(Refusal::Revoked));
    assert_eq!(mixed(&world, &headers), [None, no, None, no, None, no, None, revoked, None]);
}

#[test]
fn a_decision_about_one_reply_does_not_leak_to_another() {
    let (mut world, token) = World::with("ada", "read:logs");
    world.open.insert((message(9), name("bob"), name("ada")));
    let reply = |n, request| answer(n, token, "bob", message(request));
    let outcomes = mixed(&world, &[reply(1, 9), reply(2, 8), reply(3, 9), ask(4, token), reply(5, 8)]);
    assert_eq!(outcomes, [None, UNAUTHORISED, None, None, UNAUTHORISED]);
}

#[test]
fn f27_a_token_of_a_retired_authority_counts_as_little_as_a_revoked_one() {
    let (mut world, token) = World::with("ada", "read:logs");
    let delegated = delegated(&mut world);
    assert_eq!([token, delegated].map(|token| outcome(&world, ask(1, token))), [None; 2]);
    world.retired.insert(authority().public());
    let dead = Some(Refusal::Revoked);
    assert_eq!([token, delegated].map(|token| outcome(&world, ask(1, token))), [dead; 2]);
}
