//! A file of checkpoints: one signed note after the other, its last whole one, its torn end.
//!
//! Knows the form of notes, and no key.

use std::io::{self, BufRead, Read};

use super::checkpoint::{CheckpointError, DASH, Origin, SIGNATURES_MAX};

/// Longest line of a note in bytes.
const LINE_BYTES_MAX: usize = 512;

/// Cuts a file of checkpoints into notes.
#[derive(Debug)]
pub struct Notes<R> {
    inner: R,
    /// The first line of the next note, read while looking for the end of the last one.
    ahead: String,
}

impl<R: BufRead> Notes<R> {
    /// Starts at the front.
    pub const fn new(inner: R) -> Self {
        Self { inner, ahead: String::new() }
    }

    /// The next note, unverified; `None` at the end.
    ///
    /// # Errors
    /// [`CheckpointError`]: `Cut` when the last one is not whole, `Shape` for what cannot be a note.
    pub fn next_note(&mut self) -> Result<Option<String>, CheckpointError> {
        let mut note = std::mem::take(&mut self.ahead);
        let (mut lines, mut signatures) = (usize::from(!note.is_empty()), 0);
        loop {
            let mut line = String::new();
            (&mut self.inner).take(LINE_BYTES_MAX as u64).read_line(&mut line).map_err(read_error)?;
            match line.as_str() {
                "" if note.is_empty() => return Ok(None),
                "" if signatures > 0 => return Ok(Some(note)),
                "" => return Err(CheckpointError::Cut),
                line if !line.ends_with('\n') && line.len() < LINE_BYTES_MAX => {
                    return Err(CheckpointError::Cut);
                }
                line if !line.ends_with('\n') => return Err(CheckpointError::Shape),
                line if line.starts_with(DASH) => signatures += 1,
                _ if signatures > 0 => {
                    self.ahead = line;
                    return Ok(Some(note));
                }
                _ => lines += 1,
            }
            if lines > 4 || signatures > SIGNATURES_MAX {
                return Err(CheckpointError::Shape);
            }
            note.push_str(&line);
        }
    }
}

/// Bytes that are no text are no checkpoint; all else is the reader's own trouble.
fn read_error(error: io::Error) -> CheckpointError {
    if error.kind() == io::ErrorKind::InvalidData {
        CheckpointError::Shape
    } else {
        CheckpointError::Read(error)
    }
}

/// The last whole note of a file's end, as a range of `tail`. What is behind it is a torn write.
#[must_use]
pub fn last_whole(tail: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut end = tail.iter().rposition(|b| *b == b'\n')? + 1;
    loop {
        let start = line_start(tail, end)?;
        if tail[start..end].starts_with(DASH.as_bytes()) {
            break;
        }
        end = start;
    }
    let mut start = end;
    while tail[line_start(tail, start)?..start].starts_with(DASH.as_bytes()) {
        start = line_start(tail, start)?;
    }
    for _ in 0..4 {
        start = line_start(tail, start)?;
    }
    Some(start..end)
}

/// Whether what is behind the last whole note can be the start of another: all that a write which was cut off
/// leaves. A whole note that was damaged cannot.
#[must_use]
pub fn is_torn(rest: &[u8], origin: &Origin) -> bool {
    /// Stands for any one character of a root or signature.
    const ANY: char = '\0';
    let any = |len| std::iter::repeat_n(ANY, len).collect::<String>();
    let from = (origin.as_str().len() + 1).min(rest.len());
    let digits: String =
        rest[from..].iter().map_while(|b| b.is_ascii_digit().then_some(char::from(*b))).collect();
    // 44 and 92 characters are the base64 of a root and of a key id with a signature.
    let whole = format!("{origin}\n{digits}\n{}\n\n{DASH}{origin} {}\n", any(44), any(92));
    let fits = |(byte, shape): (&u8, u8)| *byte == shape || shape == 0 && byte.is_ascii_graphic();
    digits.len() <= 20 && rest.len() < whole.len() && rest.iter().zip(whole.bytes()).all(fits)
}

/// The start of the line that ends, newline included, before `end`.
fn line_start(bytes: &[u8], end: usize) -> Option<usize> {
    let before = bytes.get(..end.checked_sub(1)?)?;
    Some(before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1))
}
