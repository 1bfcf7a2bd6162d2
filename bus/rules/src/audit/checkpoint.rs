//! Signed statements of size and root: C2SP `tlog-checkpoint` (<https://c2sp.org/tlog-checkpoint>) in a C2SP
//! `signed-note` (<https://c2sp.org/signed-note>), Ed25519, the key's name being the origin.
//!
//! ```text
//! <origin>\n<size, decimal>\n<root, base64>\n\n— <origin> <base64(key id(4) || signature(64))>\n
//! ```
//!
//! Extension lines are not ours and are refused; signatures of other keys (witnesses) may stand beside the
//! log's own and are not looked at. A file of checkpoints is one note after the other.

use std::fmt;
use std::io::{self, BufRead, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use testudo_wire::{PublicKey, SecretKey, Signature, SwarmId};

use super::merkle::LogHash;

/// What a signature line starts with: U+2014 and a space.
const DASH: &str = "\u{2014} ";
/// Ed25519 of the signed-note specification.
const ALGORITHM: u8 = 0x01;
/// Longest line of a note in bytes.
const LINE_BYTES_MAX: usize = 512;
/// Signature lines of a note: the log's own and its witnesses'.
const SIGNATURES_MAX: usize = 16;

/// Why text is not a checkpoint of this log.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The end of the last one is missing.
    #[error("cut off")]
    Cut,
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not the form of a checkpoint.
    #[error("not a checkpoint")]
    Shape,
    /// The log's key did not sign it.
    #[error("not signed by the log's key")]
    Unauthentic,
    /// Of another log.
    #[error("of another log")]
    WrongOrigin,
}

/// The name of a log and of its key, e.g. `testudo/<swarm>`: no spaces, no `+`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin(String);

impl Origin {
    /// Longest name in bytes.
    pub const MAX: usize = 128;

    /// Takes a name; `None` when a signed note cannot carry it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good =
            (1..=Self::MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
        good.then(|| Self(text.to_owned()))
    }

    /// The log of a swarm: `testudo/` and the swarm's id in hex.
    #[must_use]
    pub fn of_swarm(swarm: &SwarmId) -> Self {
        Self(format!("testudo/{swarm}"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key id of a signed note: the first four bytes of `SHA-256(name || "\n" || 0x01 || key)`.
#[must_use]
pub fn key_id(origin: &Origin, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(origin.as_str())
        .chain_update([b'\n', ALGORITHM])
        .chain_update(key.as_bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The verifier key of a signed note, to be given to witnesses and other tools: `name+key id+key`.
#[must_use]
pub fn verifier_key(origin: &Origin, key: &PublicKey) -> String {
    let bytes = [&[ALGORITHM], key.as_bytes().as_slice()].concat();
    format!("{origin}+{}+{}", hex::encode(key_id(origin, key)), STANDARD.encode(bytes))
}

/// The state of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Number of records.
    pub size: u64,
    /// The root over them.
    pub root: LogHash,
}

impl Checkpoint {
    /// The signed note.
    #[must_use]
    pub fn sign(&self, origin: &Origin, key: &SecretKey) -> String {
        let text = format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.as_bytes()));
        let signature = key.sign_bytes(text.as_bytes());
        let blob = [key_id(origin, &key.public()).as_slice(), signature.as_bytes()].concat();
        format!("{text}\n{DASH}{origin} {}\n", STANDARD.encode(blob))
    }

    /// Reads one signed note and checks that the log's key signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(note: &str, origin: &Origin, key: &PublicKey) -> Result<Self, CheckpointError> {
        let (body, signatures) = note.split_once("\n\n").ok_or(CheckpointError::Shape)?;
        let signatures = signatures.strip_suffix('\n').ok_or(CheckpointError::Shape)?;
        let mut lines = body.split('\n');
        let (Some(name), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Shape);
        };
        if name != origin.as_str() {
            return Err(CheckpointError::WrongOrigin);
        }
        let checkpoint = Self { size: parse_size(size)?, root: LogHash::new(parse_base64(root)?) };
        let signature = own_signature(signatures, origin, key)?;
        // The text is what is before the blank line, with its last newline.
        let text = &note[..=body.len()];
        if key.verifies_bytes(text.as_bytes(), &signature) {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Unauthentic)
        }
    }
}

fn parse_size(text: &str) -> Result<u64, CheckpointError> {
    let size: u64 = text.parse().map_err(|_| CheckpointError::Shape)?;
    // Refuses a sign and leading zeros.
    if size.to_string() == text { Ok(size) } else { Err(CheckpointError::Shape) }
}

fn parse_base64<const N: usize>(text: &str) -> Result<[u8; N], CheckpointError> {
    let bytes = STANDARD.decode(text).map_err(|_| CheckpointError::Shape)?;
    bytes.try_into().map_err(|_| CheckpointError::Shape)
}

/// The signature of the log's key; lines of other keys are only held to their form.
fn own_signature(lines: &str, origin: &Origin, key: &PublicKey) -> Result<Signature, CheckpointError> {
    let id = key_id(origin, key);
    let mut own = None;
    for (n, line) in lines.split('\n').enumerate() {
        let (name, blob) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(CheckpointError::Shape)?;
        if n >= SIGNATURES_MAX || name.is_empty() {
            return Err(CheckpointError::Shape);
        }
        let blob = STANDARD.decode(blob).map_err(|_| CheckpointError::Shape)?;
        let (found, signature) = blob.split_at_checked(4).ok_or(CheckpointError::Shape)?;
        if name == origin.as_str() && found == id {
            let signature = signature.try_into().map_err(|_| CheckpointError::Shape)?;
            if own.replace(Signature::new(signature)).is_some() {
                return Err(CheckpointError::Shape);
            }
        }
    }
    own.ok_or(CheckpointError::Unauthentic)
}

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
