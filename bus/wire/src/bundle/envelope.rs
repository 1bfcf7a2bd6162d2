//! One message of a bundle: its bytes as signed, and what was read of them.

use std::sync::Arc;

use bytes::Bytes;

use super::BundleError;
use crate::canonical::{Reader, Writer};
use crate::{Digest, Header, Limits, tree};

/// A message as it stands among those that came with it.
#[derive(Debug)]
pub(super) struct Message {
    bytes: Bytes,
    body_at: usize,
    header: Header,
    digest: Digest,
}

impl Message {
    /// Reads a message, of which `before` is the one before it. Its digest is still to be computed.
    pub(super) fn read(bytes: Bytes, before: Option<&Self>, limits: &Limits) -> Result<Self, BundleError> {
        let mut reader = Reader::new(&bytes);
        let header = Header::read_after(&mut reader, before.map(|before| &before.header), limits)?;
        let body = reader.rest().len();
        if body > limits.body_bytes_max {
            return Err(BundleError::TooLarge);
        }
        let body_at = bytes.len() - body;
        Ok(Self { bytes, body_at, header, digest: Digest::new([0; Digest::LEN]) })
    }
}

/// One message: its bytes as signed, with the decoded header. Cheap to clone; keeps the messages that it was
/// decoded with.
#[derive(Clone, Debug)]
pub struct Envelope {
    all: Arc<Vec<Message>>,
    at: usize,
}

impl Envelope {
    /// Encodes a message.
    #[must_use]
    pub fn encode(header: Header, body: &[u8]) -> Self {
        let mut out = Writer::with_capacity(512 + body.len());
        header.write(&mut out);
        let mut bytes = out.into_bytes();
        let body_at = bytes.len();
        bytes.extend_from_slice(body);
        let digest = tree::leaf(&bytes);
        Self { all: Arc::new(vec![Message { bytes: bytes.into(), body_at, header, digest }]), at: 0 }
    }

    /// Decodes the bytes of one envelope.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, BundleError> {
        let mut message = Message::read(bytes, None, limits)?;
        message.digest = tree::leaf(&message.bytes);
        Ok(Self { all: Arc::new(vec![message]), at: 0 })
    }

    /// The messages of one bundle, with their digests.
    pub(super) fn all(mut messages: Vec<Message>) -> impl Iterator<Item = Self> {
        let bytes: Vec<&[u8]> = messages.iter().map(|message| &message.bytes[..]).collect();
        let digests = tree::leaves(&bytes);
        for (message, digest) in messages.iter_mut().zip(digests) {
            message.digest = digest;
        }
        let (count, all) = (messages.len(), Arc::new(messages));
        (0..count).map(move |at| Self { all: all.clone(), at })
    }

    fn message(&self) -> &Message {
        &self.all[self.at]
    }

    /// The decoded header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.message().header
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let message = self.message();
        message.bytes.slice(message.body_at..)
    }

    /// How long the body is, in bytes.
    #[must_use]
    pub fn body_len(&self) -> usize {
        let message = self.message();
        message.bytes.len() - message.body_at
    }

    /// The body, to be looked at.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        let message = self.message();
        &message.bytes[message.body_at..]
    }

    /// The whole envelope as signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.message().bytes
    }

    /// The leaf digest: the only digest of a message.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.message().digest
    }
}
