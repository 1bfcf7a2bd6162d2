//! What a token lets its holder do: a pure fold over its blocks, left to right.
//!
//! Every step intersects, takes the earlier of two ends or the smaller of two counts, so that no block
//! can widen what the blocks before it allow (threats A45, A46).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use testudo_wire::standing::Standings;
use testudo_wire::{
    AgentName, Capability, Holder, Limits, PublicKey, Refusal, RegistrySequence, SwarmId, Timestamp,
    TokenFactId,
};

use super::block::{Attenuation, Chain, Delegated, Mint, Narrowing, whole_second};
use super::error::TokenError;
use super::read::{self, Trust};

/// One holder of the chain, and the `id` of the block that made it one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Link {
    /// Who got the token.
    pub holder: Holder,
    /// What a revocation list names.
    pub id: TokenFactId,
}

/// What a token that an authority vouches for lets its last holder do. Immutable; whether those who
/// handed it on are still in good standing is asked anew each time, see [`Meaning::standing`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Meaning {
    swarm: SwarmId,
    first: Link,
    later: Vec<Link>,
    rights: BTreeSet<Capability>,
    delegatable: BTreeSet<Capability>,
    destinations: Option<BTreeSet<AgentName>>,
    expires: Timestamp,
    hops: u8,
    minted: RegistrySequence,
    /// The authority key that signed it; none for blocks that nobody vouches for.
    authority: Option<PublicKey>,
}

impl Meaning {
    /// Reads a token, sealed or not: size, encoding, keys and shape first, then the signatures, then what
    /// the blocks say. No Datalog runs.
    ///
    /// # Errors
    /// The first [`TokenError`] found, in that order.
    pub fn of(bytes: &[u8], trust: &Trust, limits: &Limits) -> Result<Self, TokenError> {
        let parsed = read::parse(bytes, limits)?;
        let authority = read::verify(bytes, &parsed.chain, trust)?;
        Ok(Self::fold(&parsed.chain)?.vouched(authority))
    }

    /// The same, of a chain that was verified under this key.
    pub(crate) fn vouched(self, authority: PublicKey) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// What the blocks say, whoever signed them. Only callers that have verified the chain, or that say
    /// so, may show it to anyone.
    pub(crate) fn fold(chain: &Chain) -> Result<Self, TokenError> {
        let mut meaning = Self::minted_as(&chain.mint);
        for (narrowing, block) in chain.narrowings.iter().zip(2..) {
            match narrowing {
                Narrowing::Attenuated(attenuation) => meaning.attenuate(attenuation),
                Narrowing::Delegated(delegated) => meaning.delegate(delegated, block)?,
            }
        }
        Ok(meaning)
    }

    pub(crate) fn minted_as(mint: &Mint) -> Self {
        Self {
            swarm: mint.swarm,
            first: Link { holder: mint.holder, id: mint.id },
            later: Vec::new(),
            rights: mint.rights.clone(),
            delegatable: &mint.delegatable & &mint.rights,
            destinations: None,
            expires: whole_second(mint.expires),
            hops: mint.hops,
            minted: mint.minted,
            authority: None,
        }
    }

    pub(crate) fn attenuate(&mut self, attenuation: &Attenuation) {
        if let Some(only) = &attenuation.only {
            self.rights = &self.rights & only;
            self.delegatable = &self.delegatable & only;
        }
        if let Some(to) = &attenuation.to {
            self.destinations = Some(self.destinations.as_ref().map_or_else(|| to.clone(), |old| old & to));
        }
        if let Some(until) = attenuation.until {
            self.expires = self.expires.min(whole_second(until));
        }
    }

    pub(crate) fn delegate(&mut self, delegated: &Delegated, block: usize) -> Result<(), TokenError> {
        let Delegated { by, delegation } = delegated;
        if *by != self.holder().key {
            return Err(TokenError::NotByHolder { block });
        }
        let left = self.hops.checked_sub(1).ok_or(TokenError::HopsExhausted { block })?;
        self.later.push(Link { holder: delegation.to, id: delegation.id });
        self.rights = &(&self.rights & &self.delegatable) & &delegation.grant;
        self.delegatable = &self.rights & &delegation.grant_on;
        self.expires = self.expires.min(whole_second(delegation.expires));
        self.hops = left.min(delegation.hops);
        Ok(())
    }

    /// Whether the token may still be used: through the whole of the second in which it expires.
    ///
    /// # Errors
    /// [`Refusal::ExpiredToken`].
    pub const fn alive(&self, now: Timestamp) -> Result<(), Refusal> {
        if now.as_secs() > self.expires.as_secs() { Err(Refusal::ExpiredToken) } else { Ok(()) }
    }

    /// Whether the holder may do this now. `destination` is the agent that is addressed by name, `None`
    /// for services and topics, which a token that is limited to certain agents does not cover.
    ///
    /// # Errors
    /// [`Refusal::ExpiredToken`], then [`Refusal::Unauthorised`].
    pub fn covers(
        &self,
        capability: &Capability,
        destination: Option<&AgentName>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.alive(now)?;
        let reachable = self
            .destinations
            .as_ref()
            .is_none_or(|allowed| destination.is_some_and(|to| allowed.contains(to)));
        if reachable && self.rights.contains(capability) { Ok(()) } else { Err(Refusal::Unauthorised) }
    }

    /// Whether everyone in the chain is in good standing with the key it had, no block is revoked (threat A39), and the
    /// authority that vouches for it counts still.
    ///
    /// # Errors
    /// [`Refusal::Revoked`].
    pub fn standing(&self, standings: &dyn Standings) -> Result<(), Refusal> {
        let good =
            |link: &Link| !standings.is_revoked(&link.id) && standings.is_good(&link.holder, self.minted);
        let vouched = self.authority.is_some_and(|key| standings.is_authority(&key));
        if vouched && self.chain().all(good) { Ok(()) } else { Err(Refusal::Revoked) }
    }

    /// The authority key that vouches for it, if anybody has checked that.
    #[must_use]
    pub const fn authority(&self) -> Option<&PublicKey> {
        self.authority.as_ref()
    }

    /// Whether the authority that vouches for it is one of these.
    #[must_use]
    pub fn is_by(&self, trust: &Trust) -> bool {
        self.authority.is_some_and(|authority| trust.authorities.contains(&authority))
    }

    /// The swarm in which it counts.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// Who may use it: the last holder.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.later.last().unwrap_or(&self.first).holder
    }

    /// Whose authority it carries: whom the authority gave it to, whoever holds it now.
    #[must_use]
    pub const fn origin(&self) -> &Holder {
        &self.first.holder
    }

    /// All holders, from whom the authority gave it to the last.
    pub fn chain(&self) -> impl Iterator<Item = &Link> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// What the holder may exercise.
    #[must_use]
    pub const fn rights(&self) -> &BTreeSet<Capability> {
        &self.rights
    }

    /// What the holder may hand on, if hops are left.
    #[must_use]
    pub const fn delegatable(&self) -> &BTreeSet<Capability> {
        &self.delegatable
    }

    /// The agents to which it is limited; `None` when it is not.
    #[must_use]
    pub const fn destinations(&self) -> Option<&BTreeSet<AgentName>> {
        self.destinations.as_ref()
    }

    /// The last second in which it counts.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// How many more delegations may follow.
    #[must_use]
    pub const fn hops(&self) -> u8 {
        self.hops
    }

    /// The registry's sequence when it was minted.
    #[must_use]
    pub const fn minted(&self) -> RegistrySequence {
        self.minted
    }
}
