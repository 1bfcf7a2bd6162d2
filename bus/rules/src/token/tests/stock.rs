//! Tokens through a stock Biscuit library: its authorizer, given the facts that `shape` names, says what
//! our fold says.

use std::time::Duration;

use biscuit_auth::builder::{Term, bytes, date, fact, int, string};
use biscuit_auth::{
    Algorithm, AuthorizerBuilder, AuthorizerLimits, Biscuit, BiscuitBuilder, KeyPair, PrivateKey,
    UnverifiedBiscuit,
};
use proptest::prelude::*;
use testudo_wire::{PublicKey, SwarmId};

use super::fold::{any_mint, narrowing};
use super::*;
use crate::token::block::{Delegated, Narrowing};
use crate::token::shape;

/// Room for longer chains than the wire has.
const WIDE: Limits = Limits { token_bytes_max: 1 << 16, ..LIMITS };

/// What a verifier knows of a request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) here: SwarmId,
    pub(super) sender: Holder,
    pub(super) capability: Capability,
    pub(super) destination: Option<AgentName>,
    pub(super) now: Timestamp,
}

/// As anyone with a stock library would do it.
pub(super) fn stock_allows(token: &[u8], root: &PublicKey, request: &Request) -> bool {
    let root = biscuit_auth::PublicKey::from_bytes(root.as_bytes(), Algorithm::Ed25519).unwrap();
    let token = Biscuit::from(token, root).unwrap();
    let signers: Vec<_> = token.external_public_keys().into_iter().flatten().collect();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(request.now.as_secs());
    let facts: Vec<(&str, Vec<Term>)> = vec![
        ("here", vec![bytes(request.here.as_bytes())]),
        ("sender", vec![string(request.sender.name.as_str()), bytes(request.sender.key.as_bytes())]),
        ("time", vec![date(&time)]),
        ("request", vec![string(request.capability.verb()), string(request.capability.resource())]),
        ("delegations", vec![int(signers.len() as i64)]),
    ];
    let destination = request.destination.iter().map(|name| ("destination", vec![string(name.as_str())]));
    let signers =
        signers.iter().zip(1..).map(|(key, i)| ("delegation", vec![int(i), bytes(&key.to_bytes())]));
    let mut builder = AuthorizerBuilder::new()
        .set_limits(AuthorizerLimits {
            max_facts: 10_000,
            max_iterations: 100,
            max_time: Duration::from_secs(60),
        })
        .policy("allow if true")
        .unwrap();
    for (name, terms) in facts.into_iter().chain(destination).chain(signers) {
        builder = builder.fact(fact(name, &terms)).unwrap();
    }
    match builder.build(&token).unwrap().authorize() {
        Ok(_) => true,
        Err(biscuit_auth::error::Token::FailedLogic(_)) => false,
        Err(other) => panic!("the authorizer did not come to an answer: {other}"),
    }
}

fn we_allow(meaning: &Meaning, request: &Request) -> bool {
    meaning.swarm() == request.here
        && *meaning.holder() == request.sender
        && meaning.covers(&request.capability, request.destination.as_ref(), request.now).is_ok()
}

/// How to extend a token: masks and numbers are cut down to what the builder lets pass.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recipe {
    Narrow { only: Option<u8>, to: Option<u8>, until: Option<u64> },
    HandOn { to: usize, grant: u8, grant_on: u8, expires: u64, hops: u8 },
}

pub(super) fn recipe() -> impl Strategy<Value = Recipe> {
    let generous = || prop_oneof![Just(0xff), any::<u8>()];
    let narrow = (
        proptest::option::of(generous()),
        proptest::option::of(generous()),
        proptest::option::of(10_u64..20),
    )
        .prop_map(|(only, to, until)| Recipe::Narrow { only, to, until });
    let hand_on = (0..4_usize, generous(), generous(), 10_u64..20, 0_u8..4).prop_map(
        |(to, grant, grant_on, expires, hops)| Recipe::HandOn { to, grant, grant_on, expires, hops },
    );
    prop_oneof![narrow, hand_on.clone(), hand_on]
}

pub(super) fn minted(rights: u8, delegatable: u8, hops: u8) -> Token {
    let rights = picked(rights | 1);
    let delegatable = &rights & &picked(delegatable | 1);
    let mint = Mint { rights, delegatable, hops, expires: at(18), ..mint() };
    mint.sign(authority(), fresh(), &WIDE).unwrap()
}

/// `None` when nothing is left that the builder would take.
pub(super) fn extend(token: &Token, recipe: Recipe) -> Option<Token> {
    let parent = meaning(token);
    match recipe {
        Recipe::Narrow { only, to, until } => {
            let only = only.map(|mask| parent.rights() & &picked(mask)).filter(|only| !only.is_empty());
            let to =
                to.map(agents).map(|to| parent.destinations().map_or_else(|| to.clone(), |old| old & &to));
            let to = to.filter(|to| !to.is_empty());
            let until = until.map(|until| at(until).min(parent.expires()));
            let attenuation = Attenuation { only, to, until };
            (attenuation != Attenuation::default()).then(|| token.attenuate(&attenuation, fresh()).unwrap())
        }
        Recipe::HandOn { to, grant, grant_on, expires, hops } => {
            let left = parent.hops().checked_sub(1)?;
            let grant = parent.delegatable() & &picked(grant);
            let delegation = Delegation {
                id: id(9),
                to: agent(NAMES[to]),
                grant_on: &grant & &picked(grant_on),
                grant,
                expires: at(expires).min(parent.expires()),
                hops: hops.min(left),
            };
            let key = key_of(parent.holder().name.as_str());
            (!delegation.grant.is_empty()).then(|| token.delegate(&delegation, key, fresh()).unwrap())
        }
    }
}

fn request(meaning: &Meaning) -> impl Strategy<Value = Request> + use<> {
    let holder = *meaning.holder();
    let sender = prop_oneof![6 => Just(holder), 1 => (0..4_usize).prop_map(|n| agent(NAMES[n]))];
    let here = prop_oneof![9 => Just(trust().swarm), 1 => Just(SwarmId::new([3; 32]))];
    let likely: Vec<_> = meaning.rights().iter().copied().chain(picked(1)).collect();
    let capability = prop_oneof![
        2 => prop::sample::select(likely),
        1 => prop::sample::select(picked(0xff).into_iter().collect::<Vec<_>>())
    ];
    let likely = agents(0b1111).into_iter().collect::<Vec<_>>();
    let destination = proptest::option::weighted(0.8, prop::sample::select(likely));
    (here, sender, capability, destination, 5_000_u64..20_000).prop_map(
        |(here, sender, capability, destination, ms)| Request {
            here,
            sender,
            capability,
            destination,
            now: Timestamp::from_millis(ms),
        },
    )
}

pub(super) fn pair(key: &SecretKey) -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&*key.seed(), Algorithm::Ed25519).unwrap())
}

/// Blocks of our shape that no builder of ours would make, well signed by whoever they name.
pub(super) fn blindly_built(mint: &Mint, narrowings: &[Narrowing], signer: &SecretKey) -> Vec<u8> {
    let authority = BiscuitBuilder::new().merge(shape::authority(mint)).build(&pair(signer)).unwrap();
    let mut token = UnverifiedBiscuit::from(authority.to_vec().unwrap()).unwrap();
    let mut delegations = 0;
    for narrowing in narrowings {
        token = match narrowing {
            Narrowing::Attenuated(attenuation) => token.append(shape::attenuation(attenuation)).unwrap(),
            Narrowing::Delegated(delegated) => {
                let Delegated { by, delegation } = &**delegated;
                delegations += 1;
                let block = shape::delegation(delegation, delegations);
                let signer = pair(KEYS.iter().find(|key| key.public() == *by).unwrap()).private();
                let signed = token.third_party_request().unwrap().create_block(&signer, block).unwrap();
                token.append_third_party(&signed.serialize().unwrap()).unwrap()
            }
        };
    }
    token.to_vec().unwrap()
}

/// Half of the delegations by whoever holds the token then, so that longer chains hold together.
fn mended(mint: &Mint, mut narrowings: Vec<Narrowing>, mend: u8) -> Vec<Narrowing> {
    let mut holder = mint.holder.key;
    for (n, narrowing) in narrowings.iter_mut().enumerate() {
        if let Narrowing::Delegated(delegated) = narrowing {
            if mend & (1 << n) != 0 || mend > 0x7f {
                delegated.by = holder;
            }
            holder = delegated.delegation.to.key;
        }
    }
    narrowings
}

/// Whom the last block that names a holder names, whether or not that counts.
fn last_named(mint: &Mint, narrowings: &[Narrowing]) -> Holder {
    let named = |narrowing: &Narrowing| match narrowing {
        Narrowing::Attenuated(_) => None,
        Narrowing::Delegated(delegated) => Some(delegated.delegation.to),
    };
    narrowings.iter().rev().find_map(named).unwrap_or(mint.holder)
}

/// What a block may not leave out, whoever writes it.
pub(super) fn says_something(narrowing: &Narrowing) -> bool {
    match narrowing {
        Narrowing::Attenuated(Attenuation { only, to, until }) => {
            let empty =
                only.as_ref().is_some_and(BTreeSet::is_empty) || to.as_ref().is_some_and(BTreeSet::is_empty);
            !empty && (only.is_some() || to.is_some() || until.is_some())
        }
        Narrowing::Delegated(delegated) => !delegated.delegation.grant.is_empty(),
    }
}

type Asked = (Vec<u8>, Meaning, Vec<Request>);

/// A token of our builder and requests to it.
fn asked() -> impl Strategy<Value = Asked> {
    (any::<[u8; 2]>(), 0_u8..6, prop::collection::vec(recipe(), 0..6))
        .prop_map(|([rights, delegatable], hops, recipes)| {
            let start = minted(rights | 0b111, delegatable | 0b11, hops);
            recipes.into_iter().fold(start, |token, recipe| extend(&token, recipe).unwrap_or(token))
        })
        .prop_flat_map(|token| {
            let meaning = meaning(&token);
            let bytes = token.seal().unwrap().bytes().to_vec();
            let requests = prop::collection::vec(request(&meaning), 8);
            (Just(bytes), Just(meaning), requests)
        })
}

proptest! {
    #![proptest_config(cases(160))]

    #[test]
    fn t_a46_our_fold_agrees_with_the_stock_authorizer((bytes, meaning, requests) in asked()) {
        for request in &requests {
            let stock = stock_allows(&bytes, &authority().public(), request);
            prop_assert_eq!(we_allow(&meaning, request), stock, "{:?} of {:?}", request, meaning);
        }
    }

    /// Also on what our builder would never make: blocks wider than what they narrow, delegations by
    /// others than the holder, more of them than there are hops.
    #[test]
    fn t_a46_our_fold_agrees_on_wide_blocks_too(
        mut mint in any_mint(),
        narrowings in prop::collection::vec(narrowing(), 0..5),
        mend in any::<u8>(),
    ) {
        mint.rights.extend(picked(1));
        mint.delegatable = &mint.delegatable & &mint.rights;
        let narrowings = mended(&mint, narrowings.into_iter().filter(says_something).collect(), mend);
        let bytes = blindly_built(&mint, &narrowings, authority());
        let read = Meaning::of(&bytes, &trust(), &WIDE);
        let sender = last_named(&mint, &narrowings);
        if let Ok(meaning) = &read {
            prop_assert_eq!(*meaning.holder(), sender);
        }
        let void = matches!(read, Err(TokenError::NotByHolder { .. } | TokenError::HopsExhausted { .. }));
        prop_assert!(void || read.is_ok(), "{:?}", read);
        for capability in picked(0xff) {
            for destination in [None, Some(name("ada")), Some(name("cyd"))] {
                let here = trust().swarm;
                let request = Request { here, sender, capability, destination, now: at(5) };
                let ours = read.as_ref().is_ok_and(|meaning| we_allow(meaning, &request));
                let stock = stock_allows(&bytes, &authority().public(), &request);
                prop_assert_eq!(ours, stock, "{:?} of {:?}", request, read);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn t_a45_t_a46_real_tokens_never_widen(
        [rights, delegatable] in any::<[u8; 2]>(),
        recipes in prop::collection::vec(recipe(), 1..5),
    ) {
        let mut token = minted(rights, delegatable, 4);
        for recipe in recipes {
            if let Some(child) = extend(&token, recipe) {
                super::fold::never_wider(&meaning(&child), &meaning(&token))?;
                token = child;
            }
        }
    }
}

/// One change at a time from a request that both allow, so that every check is seen to bite.
#[test]
fn every_check_of_a_stock_library_bites() {
    let narrow = Attenuation {
        only: Some(capabilities("read:logs publish:alerts")),
        to: Some(agents(0b110)),
        until: Some(at(40)),
    };
    let token = token().attenuate(&narrow, fresh()).unwrap();
    let token = token.delegate(&Delegation { expires: at(30), ..to_bob() }, key_of("ada"), fresh()).unwrap();
    let meaning = meaning(&token);
    let good = Request {
        here: trust().swarm,
        sender: agent("bob"),
        capability: capability("read:logs"),
        destination: Some(name("cyd")),
        now: Timestamp::from_millis(30_999),
    };
    let asks = |request: &Request| {
        let stock = stock_allows(token.bytes(), &authority().public(), request);
        assert_eq!(we_allow(&meaning, request), stock, "{request:?}");
        stock
    };
    assert!(asks(&good));
    assert!(!asks(&Request { here: SwarmId::new([1; 32]), ..good.clone() }));
    assert!(!asks(&Request { sender: agent("ada"), ..good.clone() }));
    assert!(!asks(&Request { sender: Holder { name: name("ada"), ..agent("bob") }, ..good.clone() }));
    assert!(!asks(&Request { sender: Holder { key: agent("ada").key, ..agent("bob") }, ..good.clone() }));
    assert!(!asks(&Request { capability: capability("publish:alerts"), ..good.clone() }));
    assert!(!asks(&Request { destination: Some(name("ada")), ..good.clone() }));
    assert!(!asks(&Request { destination: None, ..good.clone() }));
    assert!(!asks(&Request { now: at(31), ..good }));
}
