//! Length-prefixed frames on QUIC streams, read in chunks and written many at once (performance.md 5:
//! a write for every frame costs ten times as much).

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::time::{Instant, timeout_at};

/// A frame that has begun must end within this (threat A06).
const FRAME_TIME: Duration = Duration::from_secs(5);
/// Shorter frames are copied: a small message that waits for its receiver must not keep the whole buffer that
/// it came in.
const SHARED_MIN: usize = 64 * 1024;
/// Chunks taken from the stream at once.
const CHUNKS: usize = 32;

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed.
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    /// It began and did not end in time.
    #[error("a frame that does not end")]
    Slow,
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Cut,
    /// The stream failed.
    #[error(transparent)]
    Stream(#[from] ReadError),
}

/// Takes frames off a stream. Dropping a call of [`FrameReader::next`] loses nothing.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl FrameReader {
    /// Reads frames of at most so many bytes.
    #[must_use]
    pub fn new(stream: RecvStream, frame_bytes_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), frame_bytes_max }
    }

    /// The next frame, or `None` at the end of the stream.
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        // Counted from the first byte that is waited on, not from each: a drip is as slow as silence. Time
        // that the caller takes between two frames is not the peer's.
        let mut deadline = None;
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
            let read = if self.buffer.is_empty() {
                self.stream.read_chunks(&mut chunks).await?
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + FRAME_TIME);
                let read = timeout_at(deadline, self.stream.read_chunks(&mut chunks));
                read.await.map_err(|_| FrameError::Slow)??
            };
            let Some(read) = read else {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Cut) };
            };
            for chunk in &chunks[..read] {
                self.buffer.extend_from_slice(chunk);
            }
        }
    }

    /// A frame that is already here.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn buffered(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*head) as usize;
        if len > self.frame_bytes_max {
            return Err(FrameError::TooLong(len));
        }
        if self.buffer.len() < 4 + len {
            return Ok(None);
        }
        if len < SHARED_MIN {
            let frame = Bytes::copy_from_slice(&self.buffer[4..4 + len]);
            self.buffer.advance(4 + len);
            return Ok(Some(frame));
        }
        let mut frame = self.buffer.split_to(4 + len);
        Ok(Some(frame.split_off(4).freeze()))
    }
}

/// The length that goes before a frame.
#[must_use]
pub fn prefix(len: usize) -> Bytes {
    Bytes::copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes())
}

/// Writes one frame.
///
/// # Errors
/// The stream's.
pub async fn write_frame(stream: &mut SendStream, frame: Vec<u8>) -> Result<(), WriteError> {
    stream.write_all_chunks(&mut [prefix(frame.len()), frame.into()]).await
}
