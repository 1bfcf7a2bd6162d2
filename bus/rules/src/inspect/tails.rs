//! The tails of many pairs within a fixed room, shared fairly between those who speak: whoever talks to very many makes
//! room out of its own oldest, and nobody else's talk is forgotten for it.

use std::collections::BTreeSet;
use std::hash::Hash;

use lru::LruCache;

use super::context::PAIRS_MAX;

/// Who speaks to whom.
pub trait Talk: Clone + Eq + Hash {
    /// Who speaks.
    type Sender: Copy + Eq + Hash + Ord;

    /// Who speaks.
    fn sender(&self) -> Self::Sender;
}

impl<S: Copy + Eq + Hash + Ord, R: Clone + Eq + Hash> Talk for (S, R) {
    type Sender = S;

    fn sender(&self) -> S {
        self.0
    }
}

/// What is kept of one sender, the least recent first to go.
type Own<K, T> = LruCache<K, T>;

/// At most [`PAIRS_MAX`] values, each of one pair.
pub(super) struct Fair<K: Talk, T> {
    /// By sender; the least recent of those who keep equally many goes first.
    senders: LruCache<K::Sender, Own<K, T>>,
    /// How many each keeps that keeps more than one.
    many: BTreeSet<(usize, K::Sender)>,
    pairs: usize,
}

impl<K: Talk, T> Default for Fair<K, T> {
    fn default() -> Self {
        Self { senders: LruCache::unbounded(), many: BTreeSet::new(), pairs: 0 }
    }
}

impl<K: Talk, T: Default> Fair<K, T> {
    /// What is kept of a pair: nothing yet, if it was not known.
    pub(super) fn get(&mut self, pair: &K) -> &mut T {
        let sender = pair.sender();
        let is_known = self.senders.peek(&sender).is_some_and(|own| own.contains(pair));
        if !is_known && self.pairs == PAIRS_MAX {
            self.make_room(sender);
        }
        if !is_known {
            self.pairs += 1;
            let kept = self.senders.peek(&sender).map_or(0, LruCache::len);
            self.recount(sender, kept, kept + 1);
        }
        let own = self.senders.get_or_insert_mut(sender, LruCache::unbounded);
        own.get_or_insert_mut(pair.clone(), T::default)
    }

    /// Drops the oldest pair of this sender if it keeps its share, else that of whoever keeps most.
    fn make_room(&mut self, sender: K::Sender) {
        let share = PAIRS_MAX / self.senders.len().max(1);
        let own = self.senders.peek(&sender).map_or(0, LruCache::len);
        let gives = match self.many.last() {
            _ if own >= share.max(1) => Some(sender),
            Some((_, greedy)) => Some(*greedy),
            None => self.senders.peek_lru().map(|(oldest, _)| *oldest),
        };
        let Some(gives) = gives else { return };
        let Some(own) = self.senders.peek_mut(&gives) else { return };
        if own.pop_lru().is_some() {
            self.pairs -= 1;
            let kept = own.len();
            if kept == 0 {
                self.senders.pop(&gives);
            }
            self.recount(gives, kept + 1, kept);
        }
    }

    fn recount(&mut self, sender: K::Sender, before: usize, kept: usize) {
        self.many.remove(&(before, sender));
        if kept > 1 {
            self.many.insert((kept, sender));
        }
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.senders.iter_mut().flat_map(|(_, own)| own.iter_mut().map(|(_, value)| value))
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.pairs
    }
}
