//! What the registry knows of an agent, as words: grants, holders, states.
//!
//! The registry writes them and everyone else reads them; how they are stored is not known here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{AgentName, Capability, PublicKey, RegistrySequence, TokenFactId};

/// A name and the key that goes with it: the holder of a token, the sender of a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Holder {
    /// The agent's name.
    pub name: AgentName,
    /// Its key, which is its certificate's and signs its envelopes.
    pub key: PublicKey,
}

/// What the registry lets an agent do.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// Capabilities it may exercise, and be given tokens for.
    pub right: BTreeSet<Capability>,
    /// Capabilities for which others may ask it.
    pub serve: BTreeSet<Capability>,
    /// The part of `right` that it may hand on.
    pub delegatable: BTreeSet<Capability>,
    /// How fast it may send.
    pub quota: Quota,
}

impl Grant {
    /// Whether nothing in `self` goes beyond `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.right.is_subset(&other.right)
            && self.serve.is_subset(&other.serve)
            && self.delegatable.is_subset(&other.delegatable)
    }
}

/// A token bucket's rate; the bucket holds one second of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Quota {
    /// Bundles a second: each costs the node one signature check.
    pub bundles_per_second: u32,
    /// Bytes a second.
    pub bytes_per_second: u64,
}

impl Default for Quota {
    /// 5,000 bundles and 512 MiB a second.
    fn default() -> Self {
        Self { bundles_per_second: 5_000, bytes_per_second: 512 * 1024 * 1024 }
    }
}

/// Why an agent was revoked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RevocationCause {
    /// The key is in the wrong hands: it is burnt for ever.
    Compromised,
    /// An operator said so: the key is burnt for ever.
    Operator,
    /// No heartbeat for two intervals: `agent reinstate` brings it back.
    Silent,
}

/// Where an agent is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Has a link.
    Active,
    /// Known, but has not connected yet.
    Enrolled,
    /// Said goodbye or lost its link; its lease may still run.
    Offline,
    /// Out.
    Revoked(RevocationCause),
}

impl State {
    /// Whether the agent's tokens and links are good.
    #[must_use]
    pub const fn is_good(self) -> bool {
        match self {
            Self::Active | Self::Enrolled | Self::Offline => true,
            Self::Revoked(_) => false,
        }
    }
}

/// What a judge of tokens must be able to ask about holders. The node asks its registry; a receiver asks
/// what it was told of revocations.
pub trait Standings {
    /// Whether this holder is in good standing with this key, for a token minted at `minted`.
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool;
    /// Whether a token block with this id is revoked.
    fn is_revoked(&self, id: &TokenFactId) -> bool;
}
