//! Cutting a whole bundle to what its receivers may see: its tree is made once, however many get a part of it.

use bytes::Bytes;

use super::{Bundle, BundleError, Envelope, Item, PREAMBLE, SUBTREE, item_digest};
use crate::{Digest, tree};

/// A whole bundle with every digest of its tree.
#[derive(Debug)]
pub struct Pruner<'a> {
    bundle: &'a Bundle,
    levels: Vec<Vec<Digest>>,
}

/// A piece of what is kept: the message of a position, or so many leaves that are not.
enum Part {
    Kept(usize),
    Pruned(u16, Digest),
}

impl Bundle {
    /// Makes ready to be cut.
    ///
    /// # Errors
    /// [`BundleError::Shape`] when this is not whole.
    pub fn pruner(&self) -> Result<Pruner<'_>, BundleError> {
        if !self.is_whole() {
            return Err(BundleError::Shape);
        }
        let leaves = self.items.iter().map(item_digest).collect();
        Ok(Pruner { bundle: self, levels: tree::levels(leaves) })
    }

    /// The same bundle with only those messages of a whole one that `keep` names by position. The
    /// signature still holds.
    ///
    /// # Errors
    /// [`BundleError::Shape`] when this is not whole or nothing is kept.
    pub fn prune(&self, keep: &dyn Fn(usize) -> bool) -> Result<Self, BundleError> {
        let kept: Vec<_> = (0..self.items.len()).filter(|at| keep(*at)).collect();
        let (bytes, items) = self.pruner()?.cut_items(&kept)?;
        Ok(Self { bytes, leaves: self.leaves, signature: self.signature, items, root: self.root })
    }
}

impl Pruner<'_> {
    /// The encoded form of the bundle with only the messages at these positions, in their order. The signature still
    /// holds.
    ///
    /// # Errors
    /// [`BundleError::Shape`] when nothing is kept, or positions do not rise or are beyond the last.
    pub fn cut(&self, kept: &[usize]) -> Result<Bytes, BundleError> {
        let rises = kept.windows(2).all(|two| two[0] < two[1]);
        if !rises || kept.last().is_none_or(|last| *last >= self.bundle.items.len()) {
            return Err(BundleError::Shape);
        }
        let mut size = PREAMBLE;
        self.walk(kept, &mut |part| {
            size += 4 + match part {
                Part::Kept(at) => self.message(at).len(),
                Part::Pruned(..) => Digest::LEN,
            };
        });
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(&self.bundle.leaves.to_be_bytes());
        out.extend_from_slice(self.bundle.signature.as_bytes());
        self.walk(kept, &mut |part| match part {
            Part::Kept(at) => {
                let message = self.message(at);
                let len = u32::try_from(message.len()).unwrap_or(SUBTREE - 1);
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(message);
            }
            Part::Pruned(leaves, digest) => {
                out.extend_from_slice(&(SUBTREE | u32::from(leaves)).to_be_bytes());
                out.extend_from_slice(digest.as_bytes());
            }
        });
        Ok(out.into())
    }

    fn cut_items(&self, kept: &[usize]) -> Result<(Bytes, Vec<Item>), BundleError> {
        let (bytes, mut items) = (self.cut(kept)?, Vec::new());
        self.walk(kept, &mut |part| {
            items.extend(match part {
                Part::Kept(at) => self.bundle.items.get(at).cloned(),
                Part::Pruned(leaves, digest) => Some(Item::Pruned { leaves, digest }),
            });
        });
        Ok((bytes, items))
    }

    fn message(&self, at: usize) -> &[u8] {
        let envelope = match self.bundle.items.get(at) {
            Some(Item::Envelope(envelope)) => Some(envelope),
            // A whole bundle has none.
            Some(Item::Pruned { .. }) | None => None,
        };
        envelope.map(Envelope::bytes).map_or(&[], |bytes| bytes)
    }

    /// The pieces in depth-first order, subtrees as large as they can be.
    fn walk(&self, kept: &[usize], each: &mut dyn FnMut(Part)) {
        self.walk_in(0, self.bundle.items.len(), kept, each);
    }

    /// The same of `len` leaves from `from` on, a subtree; `kept` are the positions within it.
    fn walk_in(&self, from: usize, len: usize, kept: &[usize], each: &mut dyn FnMut(Part)) {
        if kept.is_empty() {
            // A subtree stands on the level that is just high enough for it.
            let level = len.next_power_of_two().trailing_zeros();
            let digest = self.levels.get(level as usize).and_then(|digests| digests.get(from >> level));
            if let (Some(digest), Ok(leaves)) = (digest, u16::try_from(len)) {
                each(Part::Pruned(leaves, *digest));
            }
        } else if kept.len() == len {
            kept.iter().for_each(|at| each(Part::Kept(*at)));
        } else {
            let left = tree::split(len);
            let (first, second) = kept.split_at(kept.partition_point(|at| *at < from + left));
            self.walk_in(from, left, first, each);
            self.walk_in(from + left, len - left, second, each);
        }
    }
}
