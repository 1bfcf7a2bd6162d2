//! The Merkle tree of the log: SHA-256, RFC 6962 section 2.1; proofs are verified as in RFC 9162.
//!
//! Knows hashes only, not what a leaf means. An empty log is consistent with everything, so a proof from
//! size 0 proves nothing and is refused (measured fact M19).

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The hash of a leaf, an inner node or the whole tree.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogHash([u8; 32]);

impl LogHash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes the raw bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LogHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogHash({}..)", hex::encode(&self.0[..4]))
    }
}

/// `SHA-256(0x00 || data)`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> LogHash {
    LogHash(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &LogHash, right: &LogHash) -> LogHash {
    LogHash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the empty tree: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> LogHash {
    LogHash(Sha256::digest([]).into())
}

/// The right edge of a growing tree: enough to append and to know the root, O(log n) hashes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees, largest first: one for each set bit of `size`.
    peaks: Vec<LogHash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The tree of `size` leaves whose perfect subtrees these are, largest first; `None` when there cannot be so
    /// many.
    #[must_use]
    pub fn restore(size: u64, peaks: Vec<LogHash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first: with the size all that is needed to go on.
    #[must_use]
    pub fn peaks(&self) -> &[LogHash] {
        &self.peaks
    }

    /// What the tree holds of the leaves `from..to`, as a tree of its own: `from` is where one of its perfect
    /// subtrees starts, or behind its end.
    #[must_use]
    pub(super) fn within(&self, from: u64, to: u64) -> Self {
        let (mut start, mut part) = (0, Self::new());
        for (bit, peak) in (0..u64::BITS).rev().filter(|bit| self.size >> bit & 1 == 1).zip(&self.peaks) {
            let end = start + (1_u64 << bit);
            if start >= from && end <= to {
                part.size += end - start;
                part.peaks.push(*peak);
            }
            start = end;
        }
        part
    }

    /// Adds a leaf at index `size`.
    pub fn append(&mut self, leaf: LogHash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree so far.
    #[must_use]
    pub fn root(&self) -> LogHash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root over leaf hashes.
#[must_use]
pub fn root(leaves: &[LogHash]) -> LogHash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `n`, for `n >= 2`.
const fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The index or size lies outside the tree, or the older tree is empty.
    #[error("outside the tree")]
    Range,
    /// Too many or too few hashes for these sizes.
    #[error("a proof of the wrong length")]
    Length,
    /// The hashes lead to another root.
    #[error("another root")]
    Root,
}

/// The audit path of leaf `index` (RFC 6962, 2.1.1).
///
/// # Errors
/// [`ProofError::Range`] when there is no such leaf.
pub fn prove_inclusion(leaves: &[LogHash], index: usize) -> Result<Vec<LogHash>, ProofError> {
    if index >= leaves.len() {
        return Err(ProofError::Range);
    }
    let mut proof = Vec::new();
    path(leaves, index, &mut proof);
    Ok(proof)
}

fn path(leaves: &[LogHash], index: usize, out: &mut Vec<LogHash>) {
    if leaves.len() < 2 {
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if index < left.len() {
        path(left, index, out);
        out.push(root(right));
    } else {
        path(right, index - left.len(), out);
        out.push(root(left));
    }
}

/// The proof that the tree of the first `old` leaves was extended to all of them (RFC 6962, 2.1.2).
///
/// # Errors
/// [`ProofError::Range`] when `old` is 0 or more than there are.
pub fn prove_consistency(leaves: &[LogHash], old: usize) -> Result<Vec<LogHash>, ProofError> {
    if old == 0 || old > leaves.len() {
        return Err(ProofError::Range);
    }
    let mut proof = Vec::new();
    subproof(leaves, old, Known::Yes, &mut proof);
    Ok(proof)
}

/// Whether the verifier knows the root of the subtree: it is the old tree's own.
#[derive(Clone, Copy)]
enum Known {
    No,
    Yes,
}

fn subproof(leaves: &[LogHash], old: usize, known: Known, out: &mut Vec<LogHash>) {
    if old == leaves.len() {
        match known {
            Known::Yes => {}
            Known::No => out.push(root(leaves)),
        }
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if old <= left.len() {
        subproof(left, old, known, out);
        out.push(root(right));
    } else {
        subproof(right, old - left.len(), Known::No, out);
        out.push(root(left));
    }
}

/// Checks an audit path (RFC 9162, 2.1.3.2).
///
/// # Errors
/// [`ProofError`] when `leaf` is not shown to stand at `index` of the tree.
pub fn verify_inclusion(
    leaf: &LogHash,
    index: u64,
    size: u64,
    proof: &[LogHash],
    root: &LogHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    match last {
        0 if hash == *root => Ok(()),
        0 => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// Checks that the tree `new` extends the tree `old` (RFC 9162, 2.1.4.2), each given as size and root.
///
/// # Errors
/// [`ProofError`]; always for an `old` of size 0, from which nothing can be proved.
pub fn verify_consistency(
    old: (u64, &LogHash),
    new: (u64, &LogHash),
    proof: &[LogHash],
) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size > new_size {
        return Err(ProofError::Range);
    }
    if old_size == new_size {
        return match proof {
            [] if old_root == new_root => Ok(()),
            [] => Err(ProofError::Root),
            _ => Err(ProofError::Length),
        };
    }
    let (first, rest) = match proof {
        all if old_size.is_power_of_two() => (old_root, all),
        [first, rest @ ..] => (first, rest),
        [] => return Err(ProofError::Length),
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut at, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    match last {
        0 if old_hash == *old_root && new_hash == *new_root => Ok(()),
        0 => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}
