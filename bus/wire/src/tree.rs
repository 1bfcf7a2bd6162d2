//! The Merkle tree over a bundle: BLAKE3 keyed hashes in the shape of RFC 6962, section 2.1.
//!
//! leaf = BLAKE3(K_leaf, envelope bytes); node = BLAKE3(K_node, left || right); left holds the largest
//! power of two of leaves that is smaller than all. K_x = derive_key("testudo/1 bundle leaf" | "... node").

use std::sync::LazyLock;

use crate::Digest;

static LEAF_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("testudo/1 bundle leaf", b""));
static NODE_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("testudo/1 bundle node", b""));

/// The digest of one envelope's bytes.
#[must_use]
pub fn leaf(envelope: &[u8]) -> Digest {
    Digest::new(*blake3::keyed_hash(&LEAF_KEY, envelope).as_bytes())
}

/// The digest of an inner node.
#[must_use]
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left.as_bytes());
    both[32..].copy_from_slice(right.as_bytes());
    Digest::new(*blake3::keyed_hash(&NODE_KEY, &both).as_bytes())
}

/// How many of `n` leaves go left; `n` is at least two.
#[must_use]
pub const fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The root over leaf digests; `None` for no leaves.
#[must_use]
pub fn root(leaves: &[Digest]) -> Option<Digest> {
    match leaves {
        [] => None,
        [one] => Some(*one),
        many => {
            let (left, right) = many.split_at(split(many.len()));
            Some(node(&root(left)?, &root(right)?))
        }
    }
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

    #[test]
    fn leaves_and_nodes_never_collide() {
        let (a, b) = (leaf(b"a"), leaf(b"b"));
        let both = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_ne!(node(&a, &b), leaf(&both));
    }
}
