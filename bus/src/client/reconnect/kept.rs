//! What a member keeps from link to link: the newest welcome, tokens, topics, counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use testudo_rules::token::SealedToken;
use testudo_wire::frame::Seen;
use testudo_wire::{Refusal, Resource, SessionId, TokenId};

use crate::client::Client;

/// Tokens that are shown again. A node keeps 31 beside the identity's own: it must know every one that is taken for
/// shown here, even if some that were shown at once came to it in another order.
const TOKENS_MAX: usize = 24;

/// What became of messages that nobody waited for, over links that have ended.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) refused: BTreeMap<Refusal, u64>,
    pub(super) copies: BTreeMap<Refusal, u64>,
    pub(super) lost: u64,
}

impl Counts {
    /// A link's counts, once it has ended.
    pub(super) fn add(&mut self, client: &Client) {
        self.refused = sum(&self.refused, &client.refused());
        self.copies = sum(&self.copies, &client.copies_refused());
        self.lost += client.lost();
    }
}

/// Both together, by reason.
pub(super) fn sum(one: &BTreeMap<Refusal, u64>, other: &BTreeMap<Refusal, u64>) -> BTreeMap<Refusal, u64> {
    let mut sum = one.clone();
    for (refusal, count) in other {
        *sum.entry(*refusal).or_default() += count;
    }
    sum
}

/// What outlives a link.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) seen: Option<Seen>,
    pub(super) topics: BTreeSet<Resource>,
    pub(super) counts: Counts,
    /// Each with the session of the link that took it last.
    tokens: VecDeque<(SealedToken, SessionId)>,
}

impl Kept {
    /// Nothing but what was seen before.
    pub(super) fn new(seen: Option<Seen>) -> Self {
        Self { seen, ..Self::default() }
    }

    /// A node's statement; the newest counts.
    pub(super) fn saw(&mut self, seen: Seen) {
        if self.seen.is_none_or(|before| seen.registry >= before.registry) {
            self.seen = Some(seen);
        }
    }

    /// A token that the node took on this link; the longest unshown goes first.
    pub(super) fn token(&mut self, token: SealedToken, on: SessionId) {
        self.forget_token(&token.id());
        if self.tokens.len() >= TOKENS_MAX {
            self.tokens.pop_front();
        }
        self.tokens.push_back((token, on));
    }

    /// Whether the node took a token on this link: it need not be shown there again.
    pub(super) fn has_shown(&self, id: &TokenId, on: SessionId) -> bool {
        self.tokens.iter().any(|(token, session)| token.id() == *id && *session == on)
    }

    /// A token is of no use any more.
    pub(super) fn forget_token(&mut self, id: &TokenId) {
        self.tokens.retain(|(token, _)| token.id() != *id);
    }

    /// What a new link is to be shown.
    pub(super) fn shown(&self) -> (Vec<SealedToken>, Vec<Resource>) {
        (self.tokens.iter().map(|(token, _)| token.clone()).collect(), self.topics.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testudo_wire::{PublicKey, RegistrySequence, SecretKey, SwarmId, Timestamp};

    fn seen(registry: u64, session: u8) -> Seen {
        let key = SecretKey::from_seed(&[1; 32]);
        let agent: PublicKey = key.public();
        let (session, time) = (SessionId::new([session; 16]), Timestamp::from_millis(1));
        Seen::sign(&key, &SwarmId::new([0; 32]), &agent, session, RegistrySequence(registry), time)
    }

    #[test]
    fn the_newest_welcome_is_the_one_to_show() {
        let mut kept = Kept::new(None);
        kept.saw(seen(5, 1));
        kept.saw(seen(4, 2));
        assert_eq!(kept.seen, Some(seen(5, 1)), "an older registry proves nothing");
        kept.saw(seen(5, 3));
        assert_eq!(kept.seen, Some(seen(5, 3)));
    }

    #[test]
    fn counts_add_up_by_reason() {
        let one = BTreeMap::from([(Refusal::Stale, 2), (Refusal::Expired, 1)]);
        let other = BTreeMap::from([(Refusal::Stale, 3)]);
        let both = BTreeMap::from([(Refusal::Stale, 5), (Refusal::Expired, 1)]);
        assert_eq!(sum(&one, &other), both);
    }
}
