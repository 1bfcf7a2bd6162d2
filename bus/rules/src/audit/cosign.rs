//! Cosignatures of witnesses: C2SP `tlog-cosignature` (<https://c2sp.org/tlog-cosignature>), `cosignature/v1`, Ed25519.
//!
//! ```text
//! — <witness> <base64(key id(4) || POSIX seconds u64 || signature(64))>\n
//! ```
//!
//! over `cosignature/v1\ntime <seconds>\n` and the checkpoint's text. A witness says by it: at that time this was
//! the largest head of the log that it had seen, and it extends all that it had seen before.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testudo_wire::{PublicKey, SecretKey, Signature};

use super::checkpoint::{CheckpointError, DASH, Origin, key_id_of, only_signature, split_note};
use super::note::Note;
use super::verifier::VerifierKeyError;

/// Ed25519 cosignature of the signed-note specification.
const ALGORITHM: u8 = 0x04;

/// The name of a witness and the key that it cosigns with; as text the verifier key of a signed note,
/// `<name>+<key id, hex>+<base64(0x04 || key)>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WitnessKey {
    /// The name.
    pub name: Origin,
    /// The key.
    pub key: PublicKey,
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[ALGORITHM], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(bytes))
    }
}

impl FromStr for WitnessKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let (name, id, key) =
            super::verifier::parts(text, ALGORITHM).ok_or(VerifierKeyError::WitnessShape)?;
        if !Self::takes(&name) {
            return Err(VerifierKeyError::WitnessName);
        }
        let key = Self { name, key };
        if hex::encode(key.id()) == id { Ok(key) } else { Err(VerifierKeyError::Mismatch) }
    }
}

impl WitnessKey {
    /// Whether a witness may have this name: a log says it in a note, which must hold it whole.
    #[must_use]
    pub fn takes(name: &Origin) -> bool {
        name.as_str().len() + name.as_str().matches('\\').count() <= Note::MAX
    }

    fn id(&self) -> [u8; 4] {
        key_id_of(&self.name, ALGORITHM, &self.key)
    }
}

/// What a witness said of a checkpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cosigned {
    /// When, in seconds since the Unix epoch, by its clock.
    pub at: u64,
}

fn message(text: &str, at: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {at}\n{text}").into_bytes()
}

/// The signature line of a witness for a checkpoint; what it takes to say so is [`super::witness`]'s to decide.
///
/// # Errors
/// [`CheckpointError::Shape`] for what is no note.
pub fn cosign(note: &str, name: &Origin, key: &SecretKey, at: u64) -> Result<String, CheckpointError> {
    let (text, _) = split_note(note)?;
    let id = key_id_of(name, ALGORITHM, &key.public());
    let signature = key.sign_bytes(&message(text, at));
    let blob = [id.as_slice(), &at.to_be_bytes(), signature.as_bytes()].concat();
    Ok(format!("{DASH}{name} {}\n", STANDARD.encode(blob)))
}

/// The note with one more signature line; a line that it has already is not added.
#[must_use]
pub fn with_cosignature(note: &str, line: &str) -> String {
    if note.contains(line) { note.to_owned() } else { format!("{note}{line}") }
}

/// The note with the log's own signature and no other.
///
/// # Errors
/// [`CheckpointError`] when that is not there, or not good.
pub fn only_signed_by(note: &str, origin: &Origin, key: &PublicKey) -> Result<String, CheckpointError> {
    let text = super::checkpoint::signed_text(note, origin, key)?;
    let id = super::checkpoint::key_id(origin, key);
    let signature = only_signature(split_note(note)?.1, origin, id)?;
    let blob = [id.as_slice(), &signature].concat();
    Ok(format!("{text}\n{DASH}{origin} {}\n", STANDARD.encode(blob)))
}

/// What this witness said of a checkpoint.
///
/// # Errors
/// [`CheckpointError::Unauthentic`] when it said nothing, or somebody else did.
pub fn cosigned(note: &str, by: &WitnessKey) -> Result<Cosigned, CheckpointError> {
    let (text, signatures) = split_note(note)?;
    let blob = only_signature(signatures, &by.name, by.id())?;
    let (at, signature) = blob.split_first_chunk::<8>().ok_or(CheckpointError::Shape)?;
    let (at, signature) =
        (u64::from_be_bytes(*at), Signature::new(signature.try_into().map_err(|_| CheckpointError::Shape)?));
    let valid = i64::try_from(at).is_ok() && by.key.verifies_bytes(&message(text, at), &signature);
    if valid { Ok(Cosigned { at }) } else { Err(CheckpointError::Unauthentic) }
}
