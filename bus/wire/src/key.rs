//! Ed25519 keys (RFC 8032), strict verification only (measured fact M2).
//!
//! Signing needs a [`Purpose`]; there is no way to sign or verify bare bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::id::{deserialize_bytes, serialize_bytes};
use crate::{Purpose, strict};

/// Why bytes are not a usable key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Not a point of the curve.
    #[error("not an Ed25519 public key")]
    Invalid,
    /// A point of small order: anyone could forge its signatures (threat A30).
    #[error("a weak Ed25519 public key")]
    Weak,
    /// Text that is not 64 hex digits.
    #[error("expected a key of 64 hex digits")]
    Text,
}

/// A public key, parsed once and known not to be weak.
#[derive(Clone, Copy)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Parses 32 bytes.
    ///
    /// # Errors
    /// [`KeyError`] when they are no point, or one of small order.
    pub fn parse(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Invalid)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Self(key)) }
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` is this key's over the purpose's tag and the parts, by the strict rule.
    #[must_use]
    pub fn verifies(&self, purpose: Purpose, parts: &[&[u8]], signature: &Signature) -> bool {
        self.verifies_bytes(&preimage(purpose, parts), signature)
    }

    /// The strict rule over exactly `message`: for formats of others (audit checkpoints are C2SP signed
    /// notes), never for Testudo's own statements.
    #[must_use]
    pub fn verifies_bytes(&self, message: &[u8], signature: &Signature) -> bool {
        strict::verifies(&self.0, message, &signature.0)
    }

    /// The first eight hex digits, for people and logs.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.as_bytes()[..4])
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for PublicKey {}
impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}..)", self.short())
    }
}
impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::Text)?;
        Self::parse(&bytes)
    }
}
impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_bytes(self.as_bytes(), serializer)
    }
}
impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&deserialize_bytes(deserializer)?).map_err(de::Error::custom)
    }
}

/// A signing key. Wiped when dropped, never printed.
///
/// Held twice: aws-lc signs in half the time, and ed25519-dalek where it ever should not. A signature of RFC 8032
/// has no choice in it, so that nobody can tell which one it was.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    fast: Option<Arc<Ed25519KeyPair>>,
}

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032, 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let fast = Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Arc::new);
        Self { key: SigningKey::from_bytes(seed), fast }
    }

    /// The seed, to be stored or handed to a library that signs with it.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The PKCS #8 form that certificate and TLS libraries take (RFC 8410).
    ///
    /// # Errors
    /// [`KeyError::Invalid`] when the encoder fails, which it does only out of memory.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = self.key.to_pkcs8_der().map_err(|_| KeyError::Invalid)?;
        Ok(Zeroizing::new(document.as_bytes().to_vec()))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// Signs the purpose's tag and then the parts, joined. Parts must be of fixed length, or hold their
    /// own lengths: joining must be unambiguous.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, parts: &[&[u8]]) -> Signature {
        self.sign_bytes(&preimage(purpose, parts))
    }

    /// Signs exactly `message`: for formats of others, see [`PublicKey::verifies_bytes`].
    #[must_use]
    pub fn sign_bytes(&self, message: &[u8]) -> Signature {
        let fast = self.fast.as_ref().and_then(|fast| fast.try_sign(message).ok());
        let fast = fast.and_then(|signature| signature.as_ref().try_into().ok());
        Signature(fast.unwrap_or_else(|| self.key.sign(message).to_bytes()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().short())
    }
}

fn preimage(purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = purpose.tag().to_vec();
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// An Ed25519 signature, not yet verified.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// Takes the raw bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}..)", hex::encode(&self.0[..4]))
    }
}
impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_bytes(&self.0, serializer)
    }
}
impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_bytes(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_purpose_one_message_one_key() {
        let key = SecretKey::from_seed(&[7; 32]);
        let signature = key.sign(Purpose::Heartbeat, &[b"ab", b"c"]);
        assert!(key.public().verifies(Purpose::Heartbeat, &[b"abc"], &signature));
        assert!(!key.public().verifies(Purpose::Heartbeat, &[b"abd"], &signature));
        for other in Purpose::ALL.into_iter().filter(|p| *p != Purpose::Heartbeat) {
            assert!(!key.public().verifies(other, &[b"abc"], &signature));
        }
        assert!(!SecretKey::from_seed(&[8; 32]).public().verifies(Purpose::Heartbeat, &[b"abc"], &signature));
    }

    #[test]
    fn both_libraries_make_the_same_signature() {
        for n in 0..200_u8 {
            let key = SecretKey::from_seed(&[n; 32]);
            assert!(key.fast.is_some());
            let message = vec![n; usize::from(n) * 3];
            assert_eq!(key.sign_bytes(&message).0, key.key.sign(&message).to_bytes());
        }
    }

    #[test]
    fn t_a30_weak_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::parse(&identity).unwrap_err(), KeyError::Weak);
        assert_eq!(PublicKey::parse(&[0; 32]).unwrap_err(), KeyError::Weak);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SecretKey::from_seed(&[9; 32]);
        assert!(!format!("{key:?}").contains(&hex::encode([9; 4])));
    }
}
