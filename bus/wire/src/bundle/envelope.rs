//! One message of a bundle: its bytes as signed, and what was read of them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::BundleError;
use crate::canonical::{Reader, Writer};
use crate::header::Marks;
use crate::{Digest, Header, Limits, tree};

/// A message as it stands among those that came with it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Where its bytes stand in those of all.
    at: Range<usize>,
    body_at: usize,
    header: Header,
    digest: Digest,
}

impl Message {
    /// Adds the message that stands there to those before it, and says where its header repeats. It is made where it will
    /// stay, of the one before: most differ in little. Its digest is still to be computed.
    pub(super) fn push(
        messages: &mut Vec<Self>,
        before: Option<Marks>,
        (all, at): (&[u8], Range<usize>),
        limits: &Limits,
    ) -> Result<Marks, BundleError> {
        let mut reader = Reader::new(all.get(at.clone()).ok_or(BundleError::Shape)?);
        let Some(before) = before else {
            let (header, marks) = Header::read_first(&mut reader, limits)?;
            messages.push(Self::of(header, at, &reader, limits)?);
            return Ok(marks);
        };
        messages.extend_from_within(messages.len().saturating_sub(1)..);
        let message = messages.last_mut().ok_or(BundleError::Shape)?;
        let marks = message.header.read_next(&mut reader, (before, message.bytes(all)), limits)?;
        message.body_at = body_at(&at, &reader, limits)?;
        message.at = at;
        Ok(marks)
    }

    fn of(
        header: Header,
        at: Range<usize>,
        reader: &Reader<'_>,
        limits: &Limits,
    ) -> Result<Self, BundleError> {
        let body_at = body_at(&at, reader, limits)?;
        Ok(Self { at, body_at, header, digest: Digest::new([0; Digest::LEN]) })
    }

    fn bytes<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        all.get(self.at.clone()).unwrap_or_default()
    }
}

/// Where the body of the message begins of which the header was read.
fn body_at(at: &Range<usize>, reader: &Reader<'_>, limits: &Limits) -> Result<usize, BundleError> {
    let body = reader.rest().len();
    if body > limits.body_bytes_max { Err(BundleError::TooLarge) } else { Ok(at.end - body) }
}

/// Messages that came together, and their bytes.
#[derive(Debug)]
struct Messages {
    bytes: Bytes,
    all: Vec<Message>,
}

/// One message: its bytes as signed, with the decoded header. Cheap to clone; keeps the messages that it was
/// decoded with.
#[derive(Clone, Debug)]
pub struct Envelope {
    messages: Arc<Messages>,
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
        let at = 0..bytes.len();
        Self::alone(bytes.into(), Message { at, body_at, header, digest })
    }

    /// Decodes the bytes of one envelope.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, BundleError> {
        let mut reader = Reader::new(&bytes);
        let header = Header::read(&mut reader, limits)?;
        let mut message = Message::of(header, 0..bytes.len(), &reader, limits)?;
        message.digest = tree::leaf(&bytes);
        Ok(Self::alone(bytes, message))
    }

    fn alone(bytes: Bytes, message: Message) -> Self {
        Self { messages: Arc::new(Messages { bytes, all: vec![message] }), at: 0 }
    }

    /// The messages of one bundle, of these bytes, with their digests.
    pub(super) fn all(bytes: Bytes, mut all: Vec<Message>) -> impl Iterator<Item = Self> {
        let each: Vec<&[u8]> = all.iter().map(|message| message.bytes(&bytes)).collect();
        let digests = tree::leaves(&each);
        for (message, digest) in all.iter_mut().zip(digests) {
            message.digest = digest;
        }
        let (count, messages) = (all.len(), Arc::new(Messages { bytes, all }));
        (0..count).map(move |at| Self { messages: messages.clone(), at })
    }

    fn message(&self) -> &Message {
        &self.messages.all[self.at]
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
        self.messages.bytes.slice(message.body_at..message.at.end)
    }

    /// How long the body is, in bytes.
    #[must_use]
    pub fn body_len(&self) -> usize {
        let message = self.message();
        message.at.end - message.body_at
    }

    /// The body, to be looked at.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        let message = self.message();
        self.messages.bytes.get(message.body_at..message.at.end).unwrap_or_default()
    }

    /// The whole envelope as signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.message().bytes(&self.messages.bytes)
    }

    /// The leaf digest: the only digest of a message.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.message().digest
    }
}
