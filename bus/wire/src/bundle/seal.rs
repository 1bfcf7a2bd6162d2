//! Making a bundle in one piece: every message is written where it will stand, and hashed there.

use bytes::Bytes;

use super::{BundleError, PREAMBLE, SUBTREE, signed_parts};
use crate::canonical::Writer;
use crate::header::Marks;
use crate::{Digest, Header, Limits, Purpose, SecretKey, tree};

/// A bundle about to be signed. Whoever makes one sees to it that its messages belong together: one swarm, sender,
/// key, session and lane, and sequences that rise. A node refuses any other.
#[derive(Debug)]
pub struct Sealer {
    out: Writer,
    ends: Vec<usize>,
    first: Option<Header>,
    /// A header that the next one may repeat, and where it stands.
    last: Option<(Header, Marks, usize)>,
}

/// A signed bundle and the digest of each of its messages.
#[derive(Debug)]
pub struct Sealed {
    /// As it goes on the wire.
    pub bytes: Bytes,
    /// By position.
    pub digests: Vec<Digest>,
}

impl Sealer {
    /// With room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Writer::with_capacity(PREAMBLE + bytes);
        out.raw(&[0; PREAMBLE]);
        Self { out, ends: Vec::new(), first: None, last: None }
    }

    /// Adds a message.
    pub fn push(&mut self, header: &Header, body: &[u8]) {
        let at = self.out.len();
        self.out.raw(&[0; 4]);
        let begin = self.out.len();
        let last = self.last.as_ref().map(|(last, marks, at)| (last, marks, *at));
        if let Some(marks) = header.write_after(last, &mut self.out) {
            self.last = Some((*header, marks, begin));
        }
        self.out.raw(body);
        let len = u32::try_from(self.out.len() - at - 4).unwrap_or(SUBTREE - 1);
        self.out.patch(at, &len.to_be_bytes());
        self.ends.push(self.out.len());
        self.first.get_or_insert(*header);
    }

    /// Signs what was added.
    ///
    /// # Errors
    /// [`BundleError`] when that is nothing, or too much.
    pub fn sign(mut self, key: &SecretKey, limits: &Limits) -> Result<Sealed, BundleError> {
        let first = self.first.ok_or(BundleError::Shape)?;
        let leaves = u16::try_from(self.ends.len()).map_err(|_| BundleError::TooLarge)?;
        if leaves > limits.bundle_envelopes_max || self.out.len() > limits.bundle_bytes_max {
            return Err(BundleError::TooLarge);
        }
        let starts = std::iter::once(PREAMBLE).chain(self.ends.iter().copied());
        let bytes = self.out.bytes();
        let messages: Vec<_> = starts.zip(&self.ends).map(|(start, end)| &bytes[start + 4..*end]).collect();
        let digests = tree::leaves(&messages);
        let root = tree::root(&digests).ok_or(BundleError::Shape)?;
        let count = leaves.to_be_bytes();
        let signature = key.sign(Purpose::Bundle, &signed_parts(&first, &count, &root));
        self.out.patch(0, &count);
        self.out.patch(count.len(), signature.as_bytes());
        Ok(Sealed { bytes: self.out.into_bytes().into(), digests })
    }
}
