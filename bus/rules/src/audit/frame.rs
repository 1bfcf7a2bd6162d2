//! How a record lies in a segment: `len u32 | index u64 | leaf hash 32 | payload`, big-endian.
//!
//! The leaf hash makes every flipped bit visible without a checkpoint; the index makes gaps, repeats and
//! exchanges visible. Knows bytes and hashes, not records.

use std::io::{self, Read};

use super::merkle::{LogHash, leaf_hash};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 4 + 8 + LogHash::LEN;
/// Largest payload: more is refused when written and taken for damage when read.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The payload does not hash to the leaf.
    #[error("its bytes do not match its hash")]
    Hash,
    /// Not a length that a frame can have.
    #[error("a length of {0} bytes")]
    Length(u32),
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The bytes end before the frame does.
    #[error("only {bytes} bytes of it are there")]
    Torn {
        /// How many there are, at least one.
        bytes: u64,
    },
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Bytes of the payload, 1 to [`PAYLOAD_BYTES_MAX`].
    pub len: usize,
    /// The record's index.
    pub index: u64,
    /// The hash of the payload as a leaf.
    pub leaf: LogHash,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`FrameError::Length`] when no frame has such a length.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let (head, leaf) = bytes.split_at(12);
        let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let len = u32::try_from(word(&head[..4])).unwrap_or(u32::MAX);
        let mut hash = [0; LogHash::LEN];
        hash.copy_from_slice(leaf);
        let leaf = LogHash::new(hash);
        match usize::try_from(len) {
            Ok(bytes @ 1..=PAYLOAD_BYTES_MAX) => Ok(Self { len: bytes, index: word(&head[4..]), leaf }),
            Ok(_) | Err(_) => Err(FrameError::Length(len)),
        }
    }

    /// Whether this is the payload.
    ///
    /// # Errors
    /// [`FrameError::Hash`] when it is not.
    pub fn check(&self, payload: &[u8]) -> Result<(), FrameError> {
        if leaf_hash(payload) == self.leaf { Ok(()) } else { Err(FrameError::Hash) }
    }
}

/// Appends a frame to `out` and returns its leaf hash; `None`, with nothing appended, for an empty payload or
/// one above [`PAYLOAD_BYTES_MAX`].
#[must_use]
pub fn encode(index: u64, payload: &[u8], out: &mut Vec<u8>) -> Option<LogHash> {
    let at = begin(out);
    out.extend_from_slice(payload);
    let leaf = finish(index, at, out);
    if leaf.is_none() {
        out.truncate(at);
    }
    leaf
}

/// Leaves room for a header at the end of `out`, behind which the payload is to be written; where it is.
pub fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    at
}

/// Writes the header of the frame that was begun at `at`, all that is behind it being its payload, and returns its
/// leaf hash; `None` as for [`encode`].
#[must_use]
pub fn finish(index: u64, at: usize, out: &mut [u8]) -> Option<LogHash> {
    let leaf = seal(at, out)?;
    number(index, at, out);
    Some(leaf)
}

/// As [`finish`], but for the index, which [`number`] writes: who makes records beside each other does not know it yet.
#[must_use]
pub fn seal(at: usize, out: &mut [u8]) -> Option<LogHash> {
    let (head, payload) = out.get_mut(at..)?.split_first_chunk_mut::<HEADER_BYTES>()?;
    if !(1..=PAYLOAD_BYTES_MAX).contains(&payload.len()) {
        return None;
    }
    let leaf = leaf_hash(payload);
    head[..4].copy_from_slice(&u32::try_from(payload.len()).ok()?.to_be_bytes());
    head[12..].copy_from_slice(leaf.as_bytes());
    Some(leaf)
}

/// Writes the index of the frame that was begun at `at`.
pub fn number(index: u64, at: usize, out: &mut [u8]) {
    if let Some(place) = out.get_mut(at + 4..at + 12) {
        place.copy_from_slice(&index.to_be_bytes());
    }
}

/// Reads frames one after the other, with one buffer.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    payload: Vec<u8>,
    read: u64,
}

impl<R: Read> FrameReader<R> {
    /// Starts at the front.
    pub const fn new(inner: R) -> Self {
        Self { inner, payload: Vec::new(), read: 0 }
    }

    /// The offset behind the last whole frame.
    pub const fn offset(&self) -> u64 {
        self.read
    }

    /// The next whole frame with a matching hash; `None` at the end. Whether its index is right is for the
    /// caller to say.
    ///
    /// # Errors
    /// [`FrameError`]; nothing can be read after one.
    pub fn next_frame(&mut self) -> Result<Option<(Header, &[u8])>, FrameError> {
        let mut head = [0; HEADER_BYTES];
        match fill(&mut self.inner, &mut head)? {
            0 => return Ok(None),
            HEADER_BYTES => {}
            bytes => return Err(FrameError::Torn { bytes: bytes as u64 }),
        }
        let header = Header::parse(&head)?;
        self.payload.resize(header.len, 0);
        let bytes = fill(&mut self.inner, &mut self.payload)?;
        if bytes < header.len {
            return Err(FrameError::Torn { bytes: (HEADER_BYTES + bytes) as u64 });
        }
        header.check(&self.payload)?;
        self.read += (HEADER_BYTES + header.len) as u64;
        Ok(Some((header, &self.payload)))
    }
}

/// Reads until the buffer is full or the end is there; how many bytes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a whole frame with an index of at least `index` lies anywhere in `bytes`. Tells damage within a
/// log, which must be refused, from a torn tail, behind which nothing can be.
#[must_use]
pub fn any_frame_from(bytes: &[u8], index: u64) -> bool {
    // Only so many frames fit: a random index is out of this range but once in 2^40.
    let indices = index..=index.saturating_add((bytes.len() / (HEADER_BYTES + 1)) as u64);
    bytes.windows(HEADER_BYTES).enumerate().any(|(at, window)| {
        let Some(head) = window.first_chunk() else { return false };
        let Ok(header) = Header::parse(head) else { return false };
        let payload = bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + header.len);
        indices.contains(&header.index) && payload.is_some_and(|payload| header.check(payload).is_ok())
    })
}
