//! The public key of a log as others are given it: the verifier key of C2SP `signed-note`,
//! `<origin>+<key id, hex>+<base64(0x01 || key)>`. It binds the key to the log's name.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testudo_wire::PublicKey;

use super::checkpoint::{Origin, key_id, verifier_key};

/// Ed25519 of the signed-note specification.
const ALGORITHM: u8 = 0x01;

/// The name of a log and the key that signs its checkpoints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    /// The name.
    pub origin: Origin,
    /// The key.
    pub key: PublicKey,
}

/// Why text is not a verifier key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifierKeyError {
    /// The key id is that of another name or key: some of it was changed.
    #[error("not a log's key: its name, its id and its key do not belong together; copy it whole")]
    Mismatch,
    /// Not the form.
    #[error("not a log's key; it reads NAME+ID+KEY, as `testudo audit key` prints it")]
    Shape,
    /// A witness's name does not fit what a log says of it.
    #[error(
        "the witness's name is too long: 128 characters at most, of which a backslash counts two; give it a shorter one"
    )]
    WitnessName,
    /// Not the form of a witness's key.
    #[error("not a witness's key; it reads NAME+ID+KEY, as `testudo audit witness` prints it")]
    WitnessShape,
}

/// Name, key id and key of a verifier key for one kind of signature; the id is not looked at.
pub(super) fn parts(text: &str, algorithm: u8) -> Option<(Origin, &str, PublicKey)> {
    // The base64 may hold a plus sign, the name may not.
    let mut parts = text.splitn(3, '+');
    let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = STANDARD.decode(key).ok()?;
    let key = bytes.strip_prefix(&[algorithm])?.try_into().ok()?;
    Some((Origin::parse(name)?, id, PublicKey::parse(key).ok()?))
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&verifier_key(&self.origin, &self.key))
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let (origin, id, key) = parts(text, ALGORITHM).ok_or(VerifierKeyError::Shape)?;
        if hex::encode(key_id(&origin, &key)) == id {
            Ok(Self { origin, key })
        } else {
            Err(VerifierKeyError::Mismatch)
        }
    }
}
