//! Proofs from leaves that pass by one after the other: the audit path of one leaf (RFC 6962, 2.1.1), and the proof
//! that a tree extends an older one (2.1.2).
//!
//! Keeps O(log n) hashes however long the log is; [`super::merkle`] needs all leaves at once. Leaves that were cut
//! off ([`super::Cut`]) need not pass by: what is left of them is enough.

use std::ops::Range;

use super::merkle::{Frontier, LogHash};

/// Makes a proof about a tree of a known size while its leaves pass by: the path of a leaf, or that it extends an
/// older tree.
#[derive(Debug)]
pub struct ProofBuilder {
    size: u64,
    /// All of the tree so far.
    tree: Frontier,
    /// The subtrees whose roots are the proof.
    wanted: Vec<(Range<u64>, Frontier)>,
}

impl ProofBuilder {
    /// The path of leaf `index` in a tree of `size` leaves; `None` when there is no such leaf.
    #[must_use]
    pub fn path(index: u64, size: u64) -> Option<Self> {
        Self::path_behind(&Frontier::new(), index, size)
    }

    /// The same where the leaves of `base` do not pass by; `None` also when the leaf is one of those.
    #[must_use]
    pub fn path_behind(base: &Frontier, index: u64, size: u64) -> Option<Self> {
        if index >= size || index < base.size() {
            return None;
        }
        let (mut from, mut to) = (0, size);
        let mut beside = Vec::new();
        while to - from > 1 {
            let middle = split(from, to);
            if index < middle {
                beside.push(middle..to);
                to = middle;
            } else {
                beside.push(from..middle);
                from = middle;
            }
        }
        // The leaf's own sibling first.
        beside.reverse();
        Some(Self::new(size, base, beside))
    }

    /// That a tree of `size` leaves extends one of `old`, where the leaves of `base` do not pass by. From nothing the proof is empty, and
    /// proves nothing. `None` when `old` is more than `size`, or when `base` is more than `old`: what a cut left
    /// says nothing of the trees within it.
    #[must_use]
    pub fn extension_behind(base: &Frontier, old: u64, size: u64) -> Option<Self> {
        if old > size || base.size() > size || (old > 0 && base.size() > old) {
            return None;
        }
        let (mut from, mut to, mut known) = (0, size, true);
        let mut beside = Vec::new();
        while old > 0 && old != to {
            let middle = split(from, to);
            if old <= middle {
                beside.push(middle..to);
                to = middle;
            } else {
                beside.push(from..middle);
                from = middle;
                known = false;
            }
        }
        if old > 0 && !known {
            beside.push(from..to);
        }
        beside.reverse();
        Some(Self::new(size, base, beside))
    }

    /// Goes on behind the leaves of `base`.
    fn new(size: u64, base: &Frontier, wanted: Vec<Range<u64>>) -> Self {
        let seeded = |range: Range<u64>| (range.clone(), base.within(range.start, range.end));
        Self { size, tree: base.clone(), wanted: wanted.into_iter().map(seeded).collect() }
    }

    /// Takes the next leaf. What is behind the tree is ignored.
    pub fn append(&mut self, leaf: LogHash) {
        let at = self.tree.size();
        if at == self.size {
            return;
        }
        self.tree.append(leaf);
        for (_, subtree) in self.wanted.iter_mut().filter(|(leaves, _)| leaves.contains(&at)) {
            subtree.append(leaf);
        }
    }

    /// How many leaves were taken, those of the base among them.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.tree.size()
    }

    /// The root and the proof; `None` while leaves are missing.
    #[must_use]
    pub fn finish(&self) -> Option<(LogHash, Vec<LogHash>)> {
        let hashes = || self.wanted.iter().map(|(_, subtree)| subtree.root()).collect();
        (self.tree.size() == self.size).then(|| (self.tree.root(), hashes()))
    }
}

/// Where a tree over `from..to` splits: the largest power of two below the number of leaves, of which there are two
/// at least.
const fn split(from: u64, to: u64) -> u64 {
    from + (1 << (u64::BITS - 1 - (to - from - 1).leading_zeros()))
}
