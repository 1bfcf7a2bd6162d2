//! Chains of agents that act for each other, on made-up blocks and on real bytes: rights only shrink, only the
//! holder hands on, another swarm's token counts for nothing, and no wrapping hides what is revoked.

use biscuit_auth::format::schema;
use biscuit_auth::{KeyPair, UnverifiedBiscuit};
use proptest::prelude::*;
use prost::Message;
use testudo_wire::{Refusal, SwarmId};

use super::asking::sound;
use super::fold::{any_mint, narrowing};
use super::revocation::{NONE_REVOKED, Revoked};
use super::stock::{blindly_built, extend, minted, recipe};
use super::*;
use crate::token::block::{Chain, Delegated, Narrowing};

/// What each prefix of a chain means, from the authority block alone to the whole.
fn prefixes(chain: &Chain) -> Vec<Meaning> {
    (0..=chain.narrowings.len())
        .map(|blocks| {
            let narrowings = chain.narrowings[..blocks].to_vec();
            Meaning::fold(&Chain { mint: chain.mint.clone(), narrowings }).unwrap()
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(10_000))]

    /// Whoever acts at the end may do it only if everyone before could have done it, and could hand it on.
    #[test]
    fn t_a52_rights_never_grow_along_a_chain_of_agents_acting_for_each_other(
        mint in any_mint(),
        narrowings in prop::collection::vec(narrowing(), 0..7),
        to in prop::option::of(0..NAMES.len()),
        now in 0_u64..20,
    ) {
        let chain = sound(Mint { hops: mint.hops + 3, ..mint }, narrowings);
        let meanings = prefixes(&chain);
        let last = meanings.last().unwrap();
        let to = to.map(|n| name(NAMES[n]));
        for capability in picked(0xff) {
            if last.covers(&capability, to.as_ref(), at(now)).is_err() {
                continue;
            }
            for (meaning, next) in meanings.iter().zip(&chain.narrowings) {
                prop_assert_eq!(meaning.covers(&capability, to.as_ref(), at(now)), Ok(()));
                if matches!(next, Narrowing::Delegated(_)) {
                    prop_assert!(meaning.delegatable().contains(&capability));
                }
            }
        }
        for pair in meanings.windows(2) {
            prop_assert!(pair[1].expires() <= pair[0].expires() && pair[1].hops() <= pair[0].hops());
            prop_assert!(pair[1].delegatable().is_subset(pair[0].delegatable()));
        }
        // Whose authority it carries never changes hands: it cannot be laundered through an accomplice.
        prop_assert_eq!(last.origin(), meanings[0].holder());
    }

    /// One signer changed anywhere in a chain that holds together: void, and it says at which block.
    #[test]
    fn t_a43_one_delegation_by_anybody_but_the_holder_voids_the_chain(
        mint in any_mint(),
        narrowings in prop::collection::vec(narrowing(), 0..6),
        which in any::<prop::sample::Index>(),
        thief in 1..KEYS.len(),
    ) {
        let last = Narrowing::Delegated(Box::new(Delegated { by: agent("ada").key, delegation: to_bob() }));
        let narrowings = narrowings.into_iter().chain([last]).collect();
        let mut chain = sound(Mint { hops: mint.hops + 3, ..mint }, narrowings);
        let delegations: Vec<_> = (0..chain.narrowings.len())
            .filter(|n| matches!(chain.narrowings[*n], Narrowing::Delegated(_)))
            .collect();
        let place = *which.get(&delegations);
        let Narrowing::Delegated(delegated) = &mut chain.narrowings[place] else { unreachable!() };
        let holder = KEYS.iter().position(|key| key.public() == delegated.by).unwrap();
        delegated.by = KEYS[(holder + thief) % KEYS.len()].public();
        prop_assert_eq!(Meaning::fold(&chain), Err(TokenError::NotByHolder { block: place + 2 }));
    }
}

/// A real token of our builder, extended at random.
fn real() -> impl Strategy<Value = Token> {
    (any::<[u8; 2]>(), prop::collection::vec(recipe(), 0..4)).prop_map(|([rights, delegatable], recipes)| {
        let start = minted(rights, delegatable, 4);
        recipes.into_iter().fold(start, |token, recipe| extend(&token, recipe).unwrap_or(token))
    })
}

/// The last block wrapped again, as whoever saw the unsealed parent can: under a key of its own.
fn rewrapped(parent: &Token, child: &Token) -> Token {
    let block = schema::Biscuit::decode(child.bytes()).unwrap().blocks.pop().unwrap();
    let contents = schema::ThirdPartyBlockContents {
        payload: block.block,
        external_signature: block.external_signature.unwrap(),
    };
    let again = UnverifiedBiscuit::from(parent.bytes())
        .unwrap()
        .append_third_party_with_keypair(&contents.encode_to_vec(), KeyPair::new())
        .unwrap();
    Token::from_bytes(&again.to_vec().unwrap(), &WIDE).unwrap()
}

const WIDE: Limits = Limits { token_bytes_max: 1 << 16, ..LIMITS };

proptest! {
    #![proptest_config(cases(10_000))]

    /// The swarm that a token names and the key that signed it must both be ours, whatever else it says.
    #[test]
    fn t_a44_no_token_of_another_swarm_counts(
        mint in any_mint(),
        narrowings in prop::collection::vec(narrowing(), 0..3),
        signer in 0..KEYS.len(),
        ours in any::<bool>(),
        stranger in any::<[u8; 32]>(),
    ) {
        let says = |narrowing: &Narrowing| super::stock::says_something(narrowing);
        let mut chain = sound(mint, narrowings.into_iter().filter(says).collect());
        chain.mint.delegatable = &chain.mint.delegatable & &chain.mint.rights;
        chain.mint.swarm = if ours { trust().swarm } else { SwarmId::new(stranger) };
        let bytes = blindly_built(&chain.mint, &chain.narrowings, &KEYS[signer]);
        let expected = match (chain.mint.swarm == trust().swarm, signer) {
            (false, _) => Err(TokenError::WrongSwarm),
            (true, 0) => Ok(Meaning::fold(&chain).unwrap().vouched(KEYS[0].public())),
            (true, _) => Err(TokenError::Unauthentic),
        };
        prop_assert_eq!(Meaning::of(&bytes, &trust(), &WIDE), expected);
    }

    /// Wrapped again as often as one likes, and narrowed on top: what is revoked stays revoked.
    #[test]
    fn t_a39_no_rewrapping_of_real_tokens_hides_what_is_revoked(
        parent in real(),
        times in 1..4_usize,
        narrower in any::<bool>(),
        victim in any::<prop::sample::Index>(),
        how in 0..3_u8,
    ) {
        let spent = meaning(&parent).delegatable().is_empty() || meaning(&parent).hops() == 0;
        let parent = if spent { minted(0xff, 0xff, 1) } else { parent };
        let (holder, grant) = (meaning(&parent).holder().name, meaning(&parent).delegatable().clone());
        let delegation =
            Delegation { id: id(77), to: agent("dan"), grant, grant_on: BTreeSet::new(), expires: at(5), hops: 0 };
        let child = parent.delegate(&delegation, key_of(holder.as_str()), fresh()).unwrap();
        let mut again = (0..times).fold(child.clone(), |child, _| rewrapped(&parent, &child));
        if narrower {
            let narrow = Attenuation { until: Some(at(4)), ..Attenuation::default() };
            again = again.attenuate(&narrow, fresh()).unwrap();
        }
        let (before, after) = (meaning(&child), again.seal().unwrap().verify(&trust(), &WIDE).unwrap());
        prop_assert!(before.chain().eq(after.chain()));
        let links: Vec<_> = before.chain().copied().collect();
        let victim = victim.get(&links);
        let mut revoked = Revoked::default();
        revoked.add(victim, how);
        prop_assert_eq!(after.standing(&NONE_REVOKED), Ok(()));
        prop_assert_eq!(after.standing(&revoked), Err(Refusal::Revoked));
    }
}
