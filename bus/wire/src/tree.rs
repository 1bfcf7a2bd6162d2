//! The Merkle tree over a bundle: BLAKE3 keyed hashes in the shape of RFC 6962, section 2.1.
//!
//! leaf = BLAKE3(K_leaf, envelope bytes); node = BLAKE3(K_node, left || right); left holds the largest
//! power of two of leaves that is smaller than all. K_x = derive_key("testudo/1 bundle leaf" | "... node").

mod lanes;

use std::sync::LazyLock;

use crate::Digest;
use lanes::Key;

static LEAF_KEY: LazyLock<Key> = LazyLock::new(|| Key::new(blake3::derive_key("testudo/1 bundle leaf", b"")));
static NODE_KEY: LazyLock<Key> = LazyLock::new(|| Key::new(blake3::derive_key("testudo/1 bundle node", b"")));

/// The digest of one envelope's bytes.
#[must_use]
pub fn leaf(envelope: &[u8]) -> Digest {
    Digest::new(LEAF_KEY.hash(envelope))
}

/// The digests of many envelopes' bytes, in their order: the same as of each alone, in a fraction of the time.
#[must_use]
pub fn leaves(envelopes: &[&[u8]]) -> Vec<Digest> {
    LEAF_KEY.hash_all(envelopes).into_iter().map(Digest::new).collect()
}

/// The digest of an inner node.
#[must_use]
pub fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::new(NODE_KEY.hash(&pair(left, right)))
}

fn pair(left: &Digest, right: &Digest) -> [u8; 64] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left.as_bytes());
    both[32..].copy_from_slice(right.as_bytes());
    both
}

/// How many of `n` leaves go left; `n` is at least two.
#[must_use]
pub const fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The root over leaf digests; `None` for no leaves.
///
/// Level by level, neighbours in pairs, the last of an odd number going up as it is: the same tree.
#[must_use]
pub fn root(leaves: &[Digest]) -> Option<Digest> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied()
}

/// The same tree, all of it: leaves first, the root alone at the end.
pub(crate) fn levels(leaves: Vec<Digest>) -> Vec<Vec<Digest>> {
    let mut levels = vec![leaves];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        levels.push(above(level));
    }
    levels
}

fn above(level: &[Digest]) -> Vec<Digest> {
    let pairs: Vec<_> = level.chunks_exact(2).map(|two| pair(&two[0], &two[1])).collect();
    let pairs: Vec<_> = pairs.iter().collect();
    let odd = level.chunks_exact(2).remainder().first().copied();
    NODE_KEY.hash_pairs(&pairs).into_iter().map(Digest::new).chain(odd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_that_of_rfc_6962() {
        assert_eq!([2, 3, 4, 5, 7, 8, 9, 256].map(split), [1, 2, 2, 4, 4, 4, 8, 128]);
        let d: Vec<_> = (0..3_u8).map(|i| leaf(&[i])).collect();
        assert_eq!(root(&d), Some(node(&node(&d[0], &d[1]), &d[2])));
        assert_ne!(root(&d[..2]), root(&[d[0], d[1], d[1]]), "no leaf is ever duplicated");
        assert_eq!(root(&[]), None);
    }

    /// The definition of the RFC, word for word.
    fn by_definition(leaves: &[Digest]) -> Digest {
        match leaves {
            [one] => *one,
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn level_by_level_is_the_definition() {
        let bytes = [5; 300];
        let all: Vec<_> = (1..=256).map(|n| &bytes[..n]).collect();
        let all = leaves(&all);
        for n in 1..=256 {
            assert_eq!(root(&all[..n]), Some(by_definition(&all[..n])), "{n}");
        }
    }

    #[test]
    fn leaves_and_nodes_never_collide() {
        let (a, b) = (leaf(b"a"), leaf(b"b"));
        let both = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_ne!(node(&a, &b), leaf(&both));
    }
}
