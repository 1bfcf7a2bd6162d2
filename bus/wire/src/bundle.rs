//! Bundles: what is signed. A Merkle tree over 1 to 256 envelopes of one sender, one signature over its
//! root; whole as agents send it, or pruned by a node to what one receiver may see.
//!
//! Knows bytes and shape, not whose key is right or which sequence is fresh: that is decided in rules.
//!
//! ```text
//! bundle   = n(u16) signature(64) item+
//! item     = envelope | subtree            word = u32, big-endian
//! envelope = word(length)                  bytes, highest bit of the word clear
//! subtree  = word(0x8000_0000 | leaves)    digest(32)
//! ```

mod envelope;
mod prune;
mod seal;

use bytes::Bytes;

use crate::canonical::CanonicalError;
pub use envelope::Envelope;
use envelope::Message;
pub use prune::Pruner;
pub use seal::{Sealed, Sealer};

use crate::{Digest, Header, Limits, PublicKey, Purpose, SecretKey, Signature, tree};

const SUBTREE: u32 = 0x8000_0000;
/// Bytes before the first item: n and signature.
const PREAMBLE: usize = 2 + Signature::LEN;
/// No message is shorter: ids, keys and session alone take more.
const MESSAGE_MIN: usize = 128;

/// Why bytes are not a bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// A header is not canonical.
    #[error("header: {0}")]
    Header(#[from] CanonicalError),
    /// Counts, lengths or the tree's shape are wrong, or bytes are left over.
    #[error("not the one encoding of a bundle")]
    Shape,
    /// Envelopes of different senders, keys, sessions or lanes, or sequences that do not rise.
    #[error("envelopes that do not belong together")]
    Mixed,
    /// Beyond a size limit.
    #[error("too large")]
    TooLarge,
}

/// A piece of a bundle, in depth-first order.
#[derive(Clone, Debug)]
pub enum Item {
    /// A message.
    Envelope(Envelope),
    /// So many leaves that this copy does not carry.
    Pruned {
        /// How many.
        leaves: u16,
        /// Their subtree's digest.
        digest: Digest,
    },
}

/// A decoded bundle with its computed root. Nothing of it is authentic before
/// [`Bundle::is_signed_by`] said so.
#[derive(Clone, Debug)]
pub struct Bundle {
    bytes: Bytes,
    leaves: u16,
    signature: Signature,
    items: Vec<Item>,
    root: Digest,
}

impl Bundle {
    /// Signs envelopes of one sender, session and lane as a whole bundle.
    ///
    /// # Errors
    /// [`BundleError`] when they do not belong together, or are none or too many.
    pub fn sign(envelopes: Vec<Envelope>, key: &SecretKey, limits: &Limits) -> Result<Self, BundleError> {
        let items: Vec<_> = envelopes.into_iter().map(Item::Envelope).collect();
        let first = *check_together(&items)?;
        let leaves = u16::try_from(items.len()).map_err(|_| BundleError::TooLarge)?;
        if leaves > limits.bundle_envelopes_max {
            return Err(BundleError::TooLarge);
        }
        let digests: Vec<_> = items.iter().map(item_digest).collect();
        let root = tree::root(&digests).ok_or(BundleError::Shape)?;
        let signature = key.sign(Purpose::Bundle, &signed_parts(&first, &leaves.to_be_bytes(), &root));
        let bytes = encode(leaves, &signature, &items);
        if bytes.len() > limits.bundle_bytes_max {
            return Err(BundleError::TooLarge);
        }
        Ok(Self { bytes, leaves, signature, items, root })
    }

    /// Decodes a whole or pruned bundle and computes its root.
    ///
    /// # Errors
    /// [`BundleError`] for anything but the one encoding.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, BundleError> {
        if bytes.len() > limits.bundle_bytes_max {
            return Err(BundleError::TooLarge);
        }
        let (head, _) = bytes.split_at_checked(PREAMBLE).ok_or(BundleError::Shape)?;
        let leaves = u16::from_be_bytes([head[0], head[1]]);
        if leaves == 0 || leaves > limits.bundle_envelopes_max {
            return Err(BundleError::Shape);
        }
        let signature = Signature::new(head[2..].try_into().map_err(|_| BundleError::Shape)?);
        let items = decode_items(&bytes, usize::from(leaves), limits)?;
        check_together(&items)?;
        let root = root(usize::from(leaves), &items)?;
        Ok(Self { bytes, leaves, signature, items, root })
    }

    /// Whether `key` signed this root for these leaves, this swarm and session.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Some(first) = self.envelopes().next() else { return false };
        let leaves = self.leaves.to_be_bytes();
        first.header().key == *key.as_bytes()
            && key.verifies(
                Purpose::Bundle,
                &signed_parts(first.header(), &leaves, &self.root),
                &self.signature,
            )
    }

    /// Names the question whether `key` signed this: another key, statement or signature gives another digest.
    ///
    /// # Errors
    /// [`BundleError::Mixed`] for a key that is not the one which the messages name: it did not.
    pub fn question(&self, key: &PublicKey) -> Result<Digest, BundleError> {
        let first = self.first()?;
        if first.key != *key.as_bytes() {
            return Err(BundleError::Mixed);
        }
        // Every part has a fixed length.
        let mut hasher = blake3::Hasher::new_derive_key("testudo/1 question of a signature");
        for part in signed_parts(first, &self.leaves.to_be_bytes(), &self.root) {
            hasher.update(part);
        }
        hasher.update(self.signature.as_bytes());
        Ok(Digest::new(*hasher.finalize().as_bytes()))
    }

    /// The encoded form.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The root of the tree.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Its pieces, in order.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The messages it carries.
    pub fn envelopes(&self) -> impl Iterator<Item = &Envelope> {
        self.items.iter().filter_map(|item| match item {
            Item::Envelope(envelope) => Some(envelope),
            Item::Pruned { .. } => None,
        })
    }

    /// The header of its first message: sender, key, session and lane are the same in all.
    ///
    /// # Errors
    /// [`BundleError::Shape`], which no decoded bundle gives.
    pub fn first(&self) -> Result<&Header, BundleError> {
        self.envelopes().next().map(Envelope::header).ok_or(BundleError::Shape)
    }

    /// Whether every message is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.items.len() == usize::from(self.leaves)
            && self.items.iter().all(|item| matches!(item, Item::Envelope(_)))
    }
}

/// `swarm(32) || key(32) || session(16) || n(u16) || root(32)`: fixed lengths, so joining is unambiguous.
fn signed_parts<'a>(header: &'a Header, leaves: &'a [u8; 2], root: &'a Digest) -> [&'a [u8]; 5] {
    [header.swarm.as_bytes(), &header.key, header.session.as_bytes(), leaves, root.as_bytes()]
}

fn item_digest(item: &Item) -> Digest {
    match item {
        Item::Envelope(envelope) => envelope.digest(),
        Item::Pruned { digest, .. } => *digest,
    }
}

fn encode(leaves: u16, signature: &Signature, items: &[Item]) -> Bytes {
    let size: usize = items
        .iter()
        .map(|item| match item {
            Item::Envelope(envelope) => 4 + envelope.bytes().len(),
            Item::Pruned { .. } => 4 + Digest::LEN,
        })
        .sum();
    let mut out = Vec::with_capacity(PREAMBLE + size);
    out.extend_from_slice(&leaves.to_be_bytes());
    out.extend_from_slice(signature.as_bytes());
    for item in items {
        match item {
            Item::Envelope(envelope) => {
                let len = u32::try_from(envelope.bytes().len()).unwrap_or(SUBTREE - 1);
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(envelope.bytes());
            }
            Item::Pruned { leaves, digest } => {
                out.extend_from_slice(&(SUBTREE | u32::from(*leaves)).to_be_bytes());
                out.extend_from_slice(digest.as_bytes());
            }
        }
    }
    out.into()
}

/// A piece before the messages are hashed.
enum Piece {
    Message,
    Pruned(u16, Digest),
}

fn decode_items(bytes: &Bytes, leaves: usize, limits: &Limits) -> Result<Vec<Item>, BundleError> {
    // Whatever it claims, no more room than its bytes can fill.
    let room = leaves.min(bytes.len() / MESSAGE_MIN + 1);
    let (mut pieces, mut messages) = (Vec::with_capacity(room), Vec::<Message>::with_capacity(room));
    let (mut at, mut marks) = (PREAMBLE, None);
    while at < bytes.len() {
        // Every piece stands for at least one leaf.
        if pieces.len() == leaves {
            return Err(BundleError::Shape);
        }
        let word = bytes.get(at..at + 4).and_then(|w| w.try_into().ok()).ok_or(BundleError::Shape)?;
        let word = u32::from_be_bytes(word);
        at += 4;
        let len = if word & SUBTREE == 0 { word as usize } else { Digest::LEN };
        let end = at.checked_add(len).filter(|end| *end <= bytes.len()).ok_or(BundleError::Shape)?;
        pieces.push(if word & SUBTREE == 0 {
            marks = Some(Message::push(&mut messages, marks, (bytes, at..end), limits)?);
            Piece::Message
        } else {
            let leaves = u16::try_from(word & !SUBTREE).map_err(|_| BundleError::Shape)?;
            Piece::Pruned(leaves, Digest::new(bytes[at..end].try_into().map_err(|_| BundleError::Shape)?))
        });
        at = end;
    }
    let mut envelopes = Envelope::all(bytes.clone(), messages);
    let item = |piece| match piece {
        Piece::Message => envelopes.next().map(Item::Envelope).ok_or(BundleError::Shape),
        Piece::Pruned(leaves, digest) => Ok(Item::Pruned { leaves, digest }),
    };
    pieces.into_iter().map(item).collect()
}

/// One sender, key, swarm, session, lane; sequences strictly increasing; at least one message.
fn check_together(items: &[Item]) -> Result<&Header, BundleError> {
    let mut first: Option<&Header> = None;
    let mut last = None;
    for item in items {
        let Item::Envelope(envelope) = item else { continue };
        let header = envelope.header();
        let lead = *first.get_or_insert(header);
        let same = header.sender == lead.sender
            && header.key == lead.key
            && header.swarm == lead.swarm
            && header.session == lead.session
            && header.lane == lead.lane;
        if !same || last.is_some_and(|last| last >= header.sequence) {
            return Err(BundleError::Mixed);
        }
        last = Some(header.sequence);
    }
    first.ok_or(BundleError::Shape)
}

/// The root over all leaves, whole or pruned.
fn root(leaves: usize, items: &[Item]) -> Result<Digest, BundleError> {
    let digests: Option<Vec<_>> = items.iter().map(leaf_digest).collect();
    if let Some(digests) = digests.filter(|digests| digests.len() == leaves) {
        return tree::root(&digests).ok_or(BundleError::Shape);
    }
    let mut rest = items.iter();
    let (root, _) = fold(leaves, &mut rest)?;
    if rest.next().is_some() { Err(BundleError::Shape) } else { Ok(root) }
}

fn leaf_digest(item: &Item) -> Option<Digest> {
    match item {
        Item::Envelope(envelope) => Some(envelope.digest()),
        Item::Pruned { .. } => None,
    }
}

/// The digest of the next `leaves` leaves, and whether it was carried as one subtree. Two pruned children
/// must have been one: subtrees are maximal, so there is one encoding only.
fn fold(leaves: usize, items: &mut std::slice::Iter<'_, Item>) -> Result<(Digest, bool), BundleError> {
    match items.as_slice().first().ok_or(BundleError::Shape)? {
        Item::Pruned { leaves: pruned, digest } if usize::from(*pruned) == leaves => {
            items.next();
            return Ok((*digest, true));
        }
        Item::Pruned { leaves: pruned, .. } if usize::from(*pruned) > leaves || *pruned == 0 => {
            return Err(BundleError::Shape);
        }
        Item::Envelope(envelope) if leaves == 1 => {
            items.next();
            return Ok((envelope.digest(), false));
        }
        Item::Pruned { .. } | Item::Envelope(_) => {}
    }
    let left = tree::split(leaves);
    let (left_digest, left_pruned) = fold(left, items)?;
    let (right_digest, right_pruned) = fold(leaves - left, items)?;
    if left_pruned && right_pruned {
        return Err(BundleError::Shape);
    }
    Ok((tree::node(&left_digest, &right_digest), false))
}

#[cfg(test)]
mod tests;
