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
    /// It has no authority of its own: tokens that the authority gives it are good for replies alone, and it
    /// acts only under tokens that came to it from another agent. Left out of the encoding unless true, so
    /// that grants stored before there was such a thing read, and are sealed, as ever.
    #[serde(default, skip_serializing_if = "is_false")]
    pub delegated_only: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Grant {
    /// Whether nothing in `self` goes beyond `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.right.is_subset(&other.right)
            && self.serve.is_subset(&other.serve)
            && self.delegatable.is_subset(&other.delegatable)
            && (self.delegated_only || !other.delegated_only)
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
    /// Its host gave up, the agent failed too often: `agent reinstate` brings it back, nothing else does.
    Failed,
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
    /// Whether what the authority gave this agent authorises nothing, in whosever hands
    /// ([`Grant::delegated_only`]). Grants are the registry's: a receiver is not told of them and says no.
    fn is_delegated_only(&self, name: &AgentName) -> bool;
    /// Whether tokens that this authority key vouches for count now: one that was retired is as good as revoked.
    fn is_authority(&self, key: &PublicKey) -> bool;
    /// Whether there is an agent of this name. A receiver is not told who else there is and says yes.
    fn knows(&self, _name: &AgentName) -> bool {
        true
    }
    /// The agent that is a part of the node that asks, if it has one. A receiver is not told and says none.
    fn resident(&self) -> Option<AgentName> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, canonical};

    fn grant(rights: &[&str], delegated_only: bool) -> Grant {
        let right = rights.iter().map(|text| text.parse().unwrap()).collect();
        Grant { right, delegated_only, ..Grant::default() }
    }

    #[test]
    fn to_act_only_under_delegated_tokens_is_less_than_to_act_freely() {
        let (free, bound) = (grant(&["read:logs"], false), grant(&["read:logs"], true));
        assert!(bound.is_within(&free) && bound.is_within(&bound) && free.is_within(&free));
        assert!(!free.is_within(&bound), "authority of its own is more");
        assert!(!grant(&[], false).is_within(&bound), "however little it may do");
        assert!(!grant(&["read:logs", "read:more"], true).is_within(&free), "other rights still count");
    }

    #[test]
    fn a_grant_of_before_is_read_as_one_with_authority_of_its_own_and_encoded_as_ever() {
        let lists = (["read:logs"], [(); 0], [(); 0]);
        let before = canonical::encode(&(lists.0, lists.1, lists.2, Quota::default())).unwrap();
        let read: Grant = canonical::decode(&before, &Limits::standard()).unwrap();
        assert_eq!(read, grant(&["read:logs"], false));
        assert_eq!(canonical::encode(&read).unwrap(), before);
        let bound = canonical::encode(&grant(&["read:logs"], true)).unwrap();
        assert_eq!((bound[0], bound.last()), (0x95, Some(&0xc3)), "five elements, the last true");
        assert_eq!(canonical::decode(&bound, &Limits::standard()), Ok(grant(&["read:logs"], true)));
        let mut spelled_out = before;
        spelled_out[0] = 0x95;
        spelled_out.push(0xc2);
        assert!(canonical::decode::<Grant>(&spelled_out, &Limits::standard()).is_err(), "one encoding");
    }
}
