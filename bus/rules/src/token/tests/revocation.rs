//! Revocation goes by our ids, names and keys, and takes every descendant with it.

use biscuit_auth::format::schema;
use biscuit_auth::{Biscuit, KeyPair, UnverifiedBiscuit};
use proptest::prelude::*;
use prost::Message;
use testudo_wire::standing::Standings;
use testudo_wire::{PublicKey, Refusal};

use super::*;
use crate::token::block::Delegated;

/// What is revoked; a key may also be good only from some registry sequence on.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    ids: BTreeSet<TokenFactId>,
    names: BTreeSet<AgentName>,
    keys: BTreeSet<PublicKey>,
    authorities: BTreeSet<PublicKey>,
    valid_from: RegistrySequence,
}

impl Revoked {
    /// Revokes one link of a chain, by its id, its name or its key.
    pub(super) fn add(&mut self, victim: &Link, how: u8) {
        match how {
            0 => _ = self.ids.insert(victim.id),
            1 => _ = self.names.insert(victim.holder.name),
            _ => _ = self.keys.insert(victim.holder.key),
        }
    }
}

impl Standings for Revoked {
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool {
        !self.names.contains(&holder.name) && !self.keys.contains(&holder.key) && minted >= self.valid_from
    }
    fn is_revoked(&self, id: &TokenFactId) -> bool {
        self.ids.contains(id)
    }
    fn is_delegated_only(&self, _: &AgentName) -> bool {
        false
    }
    fn is_authority(&self, key: &PublicKey) -> bool {
        !self.authorities.contains(key)
    }
}

pub(super) const NONE_REVOKED: Revoked = Revoked {
    ids: BTreeSet::new(),
    names: BTreeSet::new(),
    keys: BTreeSet::new(),
    authorities: BTreeSet::new(),
    valid_from: RegistrySequence(0),
};

/// A tree of delegations: node 0 is minted, node n was delegated by its parent, an earlier node.
fn tree() -> impl Strategy<Value = Vec<usize>> {
    (1..14_usize).prop_flat_map(|size| (0..size).map(|n| 0..n.max(1)).collect::<Vec<_>>())
}

/// Names and keys repeat, ids do not; node n's key may go with several names.
fn node(n: usize, salt: u8) -> Link {
    let [name, key] = [n * 7 + usize::from(salt), n * 5 + usize::from(salt / 4)].map(|k| agent(NAMES[k % 4]));
    Link { holder: Holder { name: name.name, key: key.key }, id: id(u8::try_from(n).unwrap()) }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn t_a39_revoking_an_id_name_or_key_kills_every_descendant(
        parents in tree(),
        salt in any::<u8>(),
        victim in any::<prop::sample::Index>(),
        how in 0..3_u8,
        narrowed in any::<u16>(),
    ) {
        let grant = || capabilities("read:logs");
        let links: Vec<_> = (0..parents.len()).map(|n| node(n, salt)).collect();
        let first = Mint { holder: links[0].holder, id: links[0].id, hops: 200, ..mint() };
        let mut meanings = vec![Meaning::minted_as(&first).vouched(authority().public())];
        for (n, parent) in parents.iter().enumerate().skip(1) {
            let mut meaning = meanings[*parent].clone();
            let Link { holder: to, id } = links[n];
            let delegation = Delegation { id, to, grant: grant(), grant_on: grant(), expires: at(9), hops: 200 };
            if narrowed & (1 << n) != 0 {
                meaning.attenuate(&Attenuation { until: Some(at(9)), ..Attenuation::default() });
            }
            meaning.delegate(&Delegated { by: links[*parent].holder.key, delegation }, 2).unwrap();
            meanings.push(meaning);
        }
        let victim = links[victim.index(links.len())];
        let mut revoked = Revoked::default();
        revoked.add(&victim, how);
        // The model: a node is dead if it or its parent is.
        let mut dead = Vec::new();
        for (n, link) in links.iter().enumerate() {
            let hit = match how {
                0 => link.id == victim.id,
                1 => link.holder.name == victim.holder.name,
                _ => link.holder.key == victim.holder.key,
            };
            dead.push(hit || (n > 0 && dead[parents[n]]));
        }
        for (meaning, dead) in meanings.iter().zip(dead) {
            prop_assert_eq!(meaning.standing(&NONE_REVOKED), Ok(()));
            prop_assert_eq!(meaning.standing(&revoked) == Err(Refusal::Revoked), dead);
        }
    }
}

#[test]
fn t_a39_a_later_valid_from_kills_old_tokens() {
    let meaning = meaning(&token());
    let from = |sequence| Revoked { valid_from: RegistrySequence(sequence), ..Revoked::default() };
    assert_eq!(meaning.standing(&from(7)), Ok(()));
    assert_eq!(meaning.standing(&from(8)), Err(Refusal::Revoked));
}

#[test]
fn blocks_that_nobody_vouches_for_stand_nowhere() {
    assert_eq!(Meaning::minted_as(&mint()).standing(&NONE_REVOKED), Err(Refusal::Revoked));
}

#[test]
fn f27_a_retired_authority_takes_every_token_with_it() {
    let token = token();
    let child = token.delegate(&to_bob(), key_of("ada"), fresh()).unwrap();
    let retired = Revoked { authorities: [authority().public()].into(), ..Revoked::default() };
    let other = Revoked { authorities: [key_of("ada").public()].into(), ..Revoked::default() };
    for meaning in [meaning(&token), meaning(&child)] {
        assert_eq!(meaning.standing(&other), Ok(()));
        assert_eq!(meaning.standing(&retired), Err(Refusal::Revoked));
    }
}

/// Whoever sees the unsealed parent can put the delegation into it again under a fresh next key: Biscuit's
/// own revocation id changes, ours does not.
#[test]
fn t_a50_a_rewrapped_delegation_cannot_escape_its_revocation() {
    let parent = token();
    let child = parent.delegate(&to_bob(), key_of("ada"), fresh()).unwrap();
    let block = schema::Biscuit::decode(child.bytes()).unwrap().blocks.remove(0);
    let contents = schema::ThirdPartyBlockContents {
        payload: block.block,
        external_signature: block.external_signature.unwrap(),
    };
    let again = UnverifiedBiscuit::from(parent.bytes())
        .unwrap()
        .append_third_party_with_keypair(&contents.encode_to_vec(), KeyPair::new())
        .unwrap();
    let again = Token::from_bytes(&again.to_vec().unwrap(), &LIMITS).unwrap();

    let root = biscuit_auth::PublicKey::from_bytes(
        authority().public().as_bytes(),
        biscuit_auth::Algorithm::Ed25519,
    )
    .unwrap();
    let ids = |token: &Token| Biscuit::from(token.bytes(), root).unwrap().revocation_identifiers();
    assert_eq!(ids(&child)[0], ids(&again)[0]);
    assert_ne!(ids(&child)[1], ids(&again)[1]);
    assert_eq!(meaning(&child), meaning(&again));
    let revoked = Revoked { ids: BTreeSet::from([id(2)]), ..Revoked::default() };
    assert_eq!(meaning(&again).standing(&revoked), Err(Refusal::Revoked));
}
