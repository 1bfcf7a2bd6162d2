//! Length-prefixed frames on QUIC streams, read in chunks and written many at once (performance.md 5:
//! a write for every frame costs ten times as much).

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::time::{Instant, timeout, timeout_at};

/// A frame that has begun must end within this (threat A06).
const FRAME_TIME: Duration = Duration::from_secs(5);
/// Shorter frames are copied: a small message that waits for its receiver must not keep the whole buffer that
/// it came in.
const SHARED_MIN: usize = 64 * 1024;
/// Room is made for a frame once one byte in so many of it has come.
const BELIEVED: usize = 16;
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
    is_patient: bool,
}

impl FrameReader {
    /// Reads frames of at most so many bytes.
    #[must_use]
    pub fn new(stream: RecvStream, frame_bytes_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), frame_bytes_max, is_patient: false }
    }

    /// The same on a stream that goes behind the others of its link: what these have to say may hold up the rest of
    /// a frame for as long as they like. For short frames, which is all that a slow peer keeps.
    #[must_use]
    pub fn patient(stream: RecvStream, frame_bytes_max: usize) -> Self {
        Self { is_patient: true, ..Self::new(stream, frame_bytes_max) }
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
            let has_come = if self.buffer.is_empty() || self.is_patient {
                self.read().await?
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + FRAME_TIME);
                timeout_at(deadline, self.read()).await.map_err(|_| FrameError::Slow)??
            };
            if !has_come {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Cut) };
            }
        }
    }

    /// Takes in what comes; `false` at the end of the stream. Dropping the call loses nothing.
    async fn read(&mut self) -> Result<bool, ReadError> {
        poll_fn(|context| {
            // Not kept while it waits: each link has several streams, and most of them are still.
            let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
            let read = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(context))?;
            self.take_in(&chunks[..read.unwrap_or(0)]);
            Poll::Ready(Ok(read.is_some()))
        })
        .await
    }

    /// Puts what was read behind what is here, in room made once: for all of it, and for the rest of the frame that
    /// it ends in, as soon as there is enough of that to believe its length.
    fn take_in(&mut self, chunks: &[Bytes]) {
        let come = self.buffer.len() + chunks.iter().map(Bytes::len).sum::<usize>();
        let first =
            if self.buffer.is_empty() { chunks.first().map(AsRef::as_ref) } else { Some(&*self.buffer) };
        let open = first.and_then(|bytes| bytes.first_chunk::<4>());
        let open = open.map_or(0, |head| 4 + u32::from_be_bytes(*head) as usize);
        let is_believed = open <= 4 + self.frame_bytes_max && open / BELIEVED <= come;
        let room = if is_believed { come.max(open) } else { come };
        self.buffer.reserve(room - self.buffer.len());
        chunks.iter().for_each(|chunk| self.buffer.extend_from_slice(chunk));
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

/// Takes large frames off a stream: first the length, then just so many bytes, into room made once.
///
/// A frame may take five seconds, and four more for each MiB: 256 KiB a second. Dropping a call loses the frame.
#[derive(Debug)]
pub struct ExactReader {
    stream: RecvStream,
    frame_bytes_max: usize,
}

impl ExactReader {
    /// Reads frames of at most so many bytes.
    #[must_use]
    pub const fn new(stream: RecvStream, frame_bytes_max: usize) -> Self {
        Self { stream, frame_bytes_max }
    }

    /// The length of the next frame, or `None` at the end of the stream. [`ExactReader::body`] must follow.
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn length(&mut self) -> Result<Option<usize>, FrameError> {
        let mut head = [0; 4];
        // Silence before a frame is no offence; within its head it is.
        let Some(begun) = self.stream.read(&mut head).await? else { return Ok(None) };
        let rest = self.stream.read_exact(&mut head[begun..]);
        timeout(FRAME_TIME, rest).await.map_err(|_| FrameError::Slow)?.map_err(cut)?;
        let len = u32::from_be_bytes(head) as usize;
        if len > self.frame_bytes_max { Err(FrameError::TooLong(len)) } else { Ok(Some(len)) }
    }

    /// The bytes of the frame whose length was read.
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn body(&mut self, len: usize) -> Result<Bytes, FrameError> {
        let mut frame = BytesMut::zeroed(len);
        let time = FRAME_TIME + Duration::from_millis((len / 256) as u64);
        timeout(time, self.stream.read_exact(&mut frame))
            .await
            .map_err(|_| FrameError::Slow)?
            .map_err(cut)?;
        Ok(frame.freeze())
    }

    /// The next frame, or `None` at the end of the stream.
    ///
    /// # Errors
    /// [`FrameError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.length().await? {
            Some(len) => self.body(len).await.map(Some),
            None => Ok(None),
        }
    }
}

fn cut(error: ReadExactError) -> FrameError {
    match error {
        ReadExactError::FinishedEarly(_) => FrameError::Cut,
        ReadExactError::ReadError(error) => FrameError::Stream(error),
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
