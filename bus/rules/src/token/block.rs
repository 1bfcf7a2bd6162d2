//! What the three kinds of block say, as plain values. How they are written down is not known here.

use std::collections::BTreeSet;

use testudo_wire::{
    AgentName, Capability, Holder, PublicKey, RegistrySequence, SwarmId, Timestamp, TokenFactId,
};

/// What an authority block says: who may do what, until when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mint {
    /// The swarm in which it counts.
    pub swarm: SwarmId,
    /// 16 fresh random bytes: what a revocation list names.
    pub id: TokenFactId,
    /// Who may use it.
    pub holder: Holder,
    /// What the holder may exercise.
    pub rights: BTreeSet<Capability>,
    /// What the holder may hand on; a subset of `rights`.
    pub delegatable: BTreeSet<Capability>,
    /// The last second in which it counts; milliseconds are dropped.
    pub expires: Timestamp,
    /// The registry's sequence when it was minted.
    pub minted: RegistrySequence,
    /// How many delegations may follow one another.
    pub hops: u8,
}

/// What an attenuation says: a narrowing that anyone with the unsealed token may add, for good. What is
/// `None` does not restrict; a set is never empty, and not everything is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Attenuation {
    /// Only these capabilities.
    pub only: Option<BTreeSet<Capability>>,
    /// Only messages to these agents: neither services nor topics.
    pub to: Option<BTreeSet<AgentName>>,
    /// The last second in which it counts; milliseconds are dropped.
    pub until: Option<Timestamp>,
}

/// What a delegation says: the holder hands part of what it may do to somebody else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delegation {
    /// 16 fresh random bytes: what a revocation list names.
    pub id: TokenFactId,
    /// The new holder.
    pub to: Holder,
    /// What is handed on; at least one.
    pub grant: BTreeSet<Capability>,
    /// The part of it that the new holder may hand on.
    pub grant_on: BTreeSet<Capability>,
    /// The last second in which it counts; milliseconds are dropped.
    pub expires: Timestamp,
    /// How many delegations may follow this one.
    pub hops: u8,
}

/// All blocks of a token, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Chain {
    pub(crate) mint: Mint,
    pub(crate) narrowings: Vec<Narrowing>,
}

/// A block after the first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Narrowing {
    Attenuated(Attenuation),
    Delegated(Box<Delegated>),
}

/// A delegation and the key that signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Delegated {
    pub(crate) by: PublicKey,
    pub(crate) delegation: Delegation,
}

/// The whole second that holds `time`: the resolution of Biscuit dates.
pub(crate) const fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_secs() * 1000)
}

/// The first of `inner` that `outer` lacks.
pub(crate) fn first_outside<'a, T: Ord>(inner: &'a BTreeSet<T>, outer: &BTreeSet<T>) -> Option<&'a T> {
    inner.iter().find(|item| !outer.contains(item))
}
