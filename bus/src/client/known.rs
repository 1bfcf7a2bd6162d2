//! What an agent was told: revocations, and the tokens that it has read under its trusted authority keys.
//!
//! Both are bounded; what is forgotten here is refused, never waved through.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use testudo_rules::pipeline::Tokens;
use testudo_rules::token::{Meaning, SealedToken, TokenError, Trust};
use testudo_wire::frame::Notice;
use testudo_wire::standing::Standings;
use testudo_wire::{AgentName, Holder, Limits, PublicKey, RegistrySequence, TokenFactId, TokenId};

/// Tokens that a receiver keeps read. A node introduces a token again before 256 others have passed.
const TOKENS_MAX: usize = 1024;

/// Revocations that are kept.
const REVOCATIONS_MAX: usize = 200_000;

/// Revocations by a node's signed notices.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    agents: HashMap<PublicKey, RegistrySequence>,
    tokens: HashSet<TokenFactId>,
    /// The authority keys of the latest trust statement that came on a link; none as long as nothing was retired.
    authorities: Option<BTreeSet<PublicKey>>,
}

impl Known {
    /// Only tokens of these authorities count any more, also where they wait for their handler.
    pub(super) fn go_by(&mut self, trust: &Trust) {
        self.authorities = Some(trust.authorities.clone());
    }

    /// Adds a notice whose signature was verified. `false` when there are more than any swarm has: what cannot
    /// be kept must not be taken for good.
    #[must_use]
    pub(super) fn add(&mut self, notice: &Notice) -> bool {
        for (_, key, since) in &notice.agents {
            let known = self.agents.entry(*key).or_insert(*since);
            *known = (*known).max(*since);
        }
        self.tokens.extend(&notice.tokens);
        self.agents.len() + self.tokens.len() <= REVOCATIONS_MAX
    }
}

/// Since when agents' tokens count, and nothing else.
struct Grants<'a>(&'a Known);

impl Standings for Grants<'_> {
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool {
        self.0.is_good(holder, minted)
    }

    fn is_revoked(&self, _: &TokenFactId) -> bool {
        false
    }

    fn is_delegated_only(&self, _: &AgentName) -> bool {
        false
    }

    fn is_authority(&self, _: &PublicKey) -> bool {
        true
    }
}

impl Known {
    /// Whether a token was minted before the tokens of somebody in its chain began to count, whether or not it was also
    /// voided by its id.
    pub(super) fn outdates(&self, meaning: &Meaning) -> bool {
        meaning.standing(&Grants(self)).is_err()
    }
}

impl Standings for Known {
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool {
        self.agents.get(&holder.key).is_none_or(|since| minted >= *since)
    }

    fn is_revoked(&self, id: &TokenFactId) -> bool {
        self.tokens.contains(id)
    }

    /// Grants are the registry's and no node tells of them: it is the node that refuses.
    fn is_delegated_only(&self, _: &AgentName) -> bool {
        false
    }

    fn is_authority(&self, key: &PublicKey) -> bool {
        self.authorities.as_ref().is_none_or(|trusted| trusted.contains(key))
    }
}

/// Tokens read, oldest out first.
#[derive(Debug, Default)]
pub(super) struct ReadTokens {
    meanings: HashMap<TokenId, Arc<Meaning>>,
    order: VecDeque<TokenId>,
}

impl ReadTokens {
    /// Reads a sealed token under the trusted keys and keeps its meaning.
    pub(super) fn read(&mut self, bytes: &[u8], trust: &Trust, limits: &Limits) -> Result<(), TokenError> {
        let id = TokenId::of(bytes);
        if self.meanings.contains_key(&id) {
            // Introduced again: the node counts from now, and so must we.
            self.order.retain(|kept| *kept != id);
            self.order.push_back(id);
            return Ok(());
        }
        let (token, meaning) = SealedToken::read(bytes, trust, limits)?;
        if self.order.len() >= TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.meanings.remove(&oldest);
        }
        self.order.push_back(token.id());
        self.meanings.insert(token.id(), Arc::new(meaning));
        Ok(())
    }

    /// Only tokens of these authorities count any more.
    pub(super) fn retain(&mut self, trust: &Trust) {
        self.meanings.retain(|_, meaning| meaning.is_by(trust));
        self.order.retain(|id| self.meanings.contains_key(id));
    }

    /// A token's meaning, to be kept beyond the cache.
    pub(super) fn get(&self, id: &TokenId) -> Option<Arc<Meaning>> {
        self.meanings.get(id).cloned()
    }
}

impl Tokens for ReadTokens {
    fn meaning(&self, id: &TokenId) -> Option<&Meaning> {
        self.meanings.get(id).map(AsRef::as_ref)
    }
}
