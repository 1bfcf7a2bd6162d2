//! The audit path of one leaf (RFC 6962, 2.1.1) from leaves that pass by one after the other.
//!
//! Keeps O(log n) hashes however long the log is; [`super::merkle`] needs all leaves at once.

use super::merkle::{Frontier, LogHash};

/// Makes the path of one leaf in a tree of a known size.
#[derive(Debug)]
pub struct PathBuilder {
    size: u64,
    /// All of the tree so far.
    tree: Frontier,
    /// The subtrees beside the way from the leaf to the root, the leaf's own sibling first.
    siblings: Vec<Sibling>,
}

#[derive(Debug)]
struct Sibling {
    leaves: std::ops::Range<u64>,
    tree: Frontier,
}

impl PathBuilder {
    /// For leaf `index` of a tree of `size` leaves; `None` when there is no such leaf.
    #[must_use]
    pub fn new(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let (mut from, mut to) = (0, size);
        let mut siblings = Vec::new();
        while to - from > 1 {
            // The largest power of two below the number of leaves.
            let split = from + (1 << (u64::BITS - 1 - (to - from - 1).leading_zeros()));
            let leaves = if index < split { split..to } else { from..split };
            if index < split {
                to = split;
            } else {
                from = split;
            }
            siblings.push(Sibling { leaves, tree: Frontier::new() });
        }
        siblings.reverse();
        Some(Self { size, tree: Frontier::new(), siblings })
    }

    /// Takes the next leaf, from index 0 on. What is behind the tree is ignored.
    pub fn append(&mut self, leaf: LogHash) {
        let at = self.tree.size();
        if at == self.size {
            return;
        }
        self.tree.append(leaf);
        if let Some(sibling) = self.siblings.iter_mut().find(|sibling| sibling.leaves.contains(&at)) {
            sibling.tree.append(leaf);
        }
    }

    /// How many leaves were taken.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.tree.size()
    }

    /// The root and the path; `None` while leaves are missing.
    #[must_use]
    pub fn finish(&self) -> Option<(LogHash, Vec<LogHash>)> {
        let path = || self.siblings.iter().map(|sibling| sibling.tree.root()).collect();
        (self.tree.size() == self.size).then(|| (self.tree.root(), path()))
    }
}
