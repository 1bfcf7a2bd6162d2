//! Trust statements: which authority keys and CAs a swarm trusts from now on, numbered, signed by an authority key
//! that the statement before named.
//!
//! Only the words; what may follow what is decided in `testudo_rules::trust`.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::canonical::{self, CanonicalError};
use crate::{Digest, Limits, PublicKey, Purpose, SecretKey, Signature, SwarmId, Timestamp, tree};

/// Most authority keys in one statement.
pub const AUTHORITIES_MAX: usize = 4;
/// Most CAs in one statement.
pub const CAS_MAX: usize = 4;
/// Longest certificate of a CA, in DER.
pub const CA_BYTES_MAX: usize = 4096;
/// Longest signed statement.
pub const STATEMENT_BYTES_MAX: usize = CAS_MAX * CA_BYTES_MAX + 1024;

/// What a swarm trusts, from this statement to the next.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Statement {
    /// The swarm: the fingerprint of its first authority key, which never changes.
    pub swarm: SwarmId,
    /// One more than the statement before; the first is 1. What a swarm begins with is number 0, and unsigned.
    pub number: u64,
    /// When it was made; never before the statement before.
    pub time: Timestamp,
    /// Authority keys, oldest first: tokens are minted under the last.
    pub authorities: Vec<PublicKey>,
    /// CAs in DER, oldest first: certificates are issued under the last.
    pub cas: Vec<ByteBuf>,
}

impl Statement {
    /// The bytes that are signed.
    ///
    /// # Errors
    /// [`CanonicalError`], which no statement gives.
    pub fn bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(self)
    }

    /// Signs it.
    ///
    /// # Errors
    /// [`CanonicalError`], which no statement gives.
    pub fn sign(self, authority: &SecretKey) -> Result<SignedStatement, CanonicalError> {
        let signature = authority.sign(Purpose::Trust, &[&self.bytes()?]);
        Ok(SignedStatement { statement: self, by: authority.public(), signature })
    }
}

/// A statement, and which key says so.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignedStatement {
    /// What is said.
    pub statement: Statement,
    /// The authority key that signed.
    pub by: PublicKey,
    /// `sign(trust, canonical bytes of the statement)`.
    pub signature: Signature,
}

impl SignedStatement {
    /// Whether the key that it names has signed it. Whether that key may is another question.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.statement.bytes().is_ok_and(|bytes| self.by.verifies(Purpose::Trust, &[&bytes], &self.signature))
    }

    /// What tells two statements of one number apart.
    ///
    /// # Errors
    /// [`CanonicalError`], which no statement gives.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Ok(tree::leaf(&self.statement.bytes()?))
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which no statement gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(self)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CanonicalError> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(CanonicalError::Limit);
        }
        canonical::decode(bytes, &Limits::standard())
    }
}
