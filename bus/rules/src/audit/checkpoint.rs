//! Signed statements of size and root: C2SP `tlog-checkpoint` (<https://c2sp.org/tlog-checkpoint>) in a C2SP
//! `signed-note` (<https://c2sp.org/signed-note>), Ed25519, the key's name being the origin.
//!
//! ```text
//! <origin>\n<size, decimal>\n<root, base64>\n\n— <origin> <base64(key id(4) || signature(64))>\n
//! ```
//!
//! Extension lines are not ours and are refused; signatures of other keys (witnesses) may stand beside the
//! log's own and are looked at by [`super::cosigned`] only. A file of checkpoints is one note after the other: [`Notes`].

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use testudo_wire::{PublicKey, SecretKey, Signature, SwarmId};

use super::merkle::LogHash;
pub use super::notes::{Notes, is_torn, last_whole};

/// What a signature line starts with: U+2014 and a space.
pub(super) const DASH: &str = "\u{2014} ";
/// Ed25519 of the signed-note specification.
const ALGORITHM: u8 = 0x01;
/// Signature lines of a note: the log's own and its witnesses'.
pub(super) const SIGNATURES_MAX: usize = 16;

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
    key_id_of(origin, ALGORITHM, key)
}

/// The key id for another kind of signature.
pub(super) fn key_id_of(name: &Origin, algorithm: u8, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name.as_str())
        .chain_update([b'\n', algorithm])
        .chain_update(key.as_bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A signed note over `text`, which ends with a newline.
pub(super) fn sign_note(text: &str, origin: &Origin, key: &SecretKey) -> String {
    note_of(text, origin, &key.public(), &key.sign_bytes(text.as_bytes()))
}

/// The note over `text` with this signature.
pub(super) fn note_of(text: &str, origin: &Origin, key: &PublicKey, signature: &Signature) -> String {
    let blob = [key_id(origin, key).as_slice(), signature.as_bytes()].concat();
    format!("{text}\n{DASH}{origin} {}\n", STANDARD.encode(blob))
}

/// The text of a note that this key signed under this name, with its last newline.
pub(super) fn signed_text<'a>(
    note: &'a str,
    origin: &Origin,
    key: &PublicKey,
) -> Result<&'a str, CheckpointError> {
    let (text, signature) = claimed(note, origin, key)?;
    if key.verifies_bytes(text.as_bytes(), &signature) { Ok(text) } else { Err(CheckpointError::Unauthentic) }
}

/// The text of a note, with its last newline, and the signature that it says is this key's.
pub(super) fn claimed<'a>(
    note: &'a str,
    origin: &Origin,
    key: &PublicKey,
) -> Result<(&'a str, Signature), CheckpointError> {
    let (text, signatures) = split_note(note)?;
    let signature = only_signature(signatures, origin, key_id(origin, key))?;
    Ok((text, Signature::new(signature.try_into().map_err(|_| CheckpointError::Shape)?)))
}

/// The text of a note, with its last newline, and its signature lines without theirs.
pub(super) fn split_note(note: &str) -> Result<(&str, &str), CheckpointError> {
    let end = note.find("\n\n").ok_or(CheckpointError::Shape)?;
    let signatures = note[end + 2..].strip_suffix('\n').ok_or(CheckpointError::Shape)?;
    Ok((&note[..=end], signatures))
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
        sign_note(&self.text(origin), origin, key)
    }

    /// What is signed.
    pub(super) fn text(&self, origin: &Origin) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads one signed note and checks that the log's key signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(note: &str, origin: &Origin, key: &PublicKey) -> Result<Self, CheckpointError> {
        let (name, checkpoint) = Self::read(note)?;
        if name != origin.as_str() {
            return Err(CheckpointError::WrongOrigin);
        }
        signed_text(note, origin, key).map(|_| checkpoint)
    }

    /// What a note says, and of which log, whoever signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Shape`].
    pub fn read(note: &str) -> Result<(&str, Self), CheckpointError> {
        let (text, _) = split_note(note)?;
        let mut lines = text.lines();
        let (Some(name), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Shape);
        };
        Ok((name, Self { size: parse_size(size)?, root: LogHash::new(parse_base64(root)?) }))
    }
}

pub(super) fn parse_size(text: &str) -> Result<u64, CheckpointError> {
    let size: u64 = text.parse().map_err(|_| CheckpointError::Shape)?;
    // Refuses a sign and leading zeros.
    if size.to_string() == text { Ok(size) } else { Err(CheckpointError::Shape) }
}

pub(super) fn parse_base64<const N: usize>(text: &str) -> Result<[u8; N], CheckpointError> {
    let bytes = STANDARD.decode(text).map_err(|_| CheckpointError::Shape)?;
    bytes.try_into().map_err(|_| CheckpointError::Shape)
}

/// The signature of one key; lines of other keys are only held to their form.
pub(super) fn only_signature(lines: &str, name: &Origin, id: [u8; 4]) -> Result<Vec<u8>, CheckpointError> {
    let mut own = None;
    for (n, line) in lines.split('\n').enumerate() {
        let (by, blob) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(CheckpointError::Shape)?;
        if n >= SIGNATURES_MAX || by.is_empty() {
            return Err(CheckpointError::Shape);
        }
        let blob = STANDARD.decode(blob).map_err(|_| CheckpointError::Shape)?;
        let (found, signature) = blob.split_at_checked(4).ok_or(CheckpointError::Shape)?;
        if by == name.as_str() && found == id && own.replace(signature.to_vec()).is_some() {
            return Err(CheckpointError::Shape);
        }
    }
    own.ok_or(CheckpointError::Unauthentic)
}
