//! The one question on a join port: which invitation, the proof of it, and the key to be certified.

use crate::{InvitationId, Signature};

/// Longest question, without its length prefix.
pub const REQUEST_BYTES_MAX: usize = 1024;
const VERSION: u8 = 1;
/// Version, id, signature.
const HEAD: usize = 1 + InvitationId::LEN + 64;

/// Why bytes are no question.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a join request")]
pub struct RequestError;

/// A newcomer's question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinRequest {
    /// Which invitation.
    pub id: InvitationId,
    /// The seed key's signature, see [`super::JoinToken::prove`].
    pub signature: Signature,
    /// A PKCS #10 request (RFC 2986) of the key of the connection's certificate, in DER.
    pub csr: Vec<u8>,
}

impl JoinRequest {
    /// The frame: version 1, id, signature, and the request to the end.
    ///
    /// # Errors
    /// [`RequestError`] when the request is empty, or too long for the frame.
    pub fn encode(&self) -> Result<Vec<u8>, RequestError> {
        if self.csr.is_empty() || HEAD + self.csr.len() > REQUEST_BYTES_MAX {
            return Err(RequestError);
        }
        Ok([&[VERSION][..], self.id.as_bytes(), self.signature.as_bytes(), &self.csr].concat())
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn decode(frame: &[u8]) -> Result<Self, RequestError> {
        if frame.len() > REQUEST_BYTES_MAX {
            return Err(RequestError);
        }
        let (version, rest) = frame.split_first().ok_or(RequestError)?;
        let (id, rest) = rest.split_first_chunk::<{ InvitationId::LEN }>().ok_or(RequestError)?;
        let (signature, csr) = rest.split_first_chunk::<64>().ok_or(RequestError)?;
        if *version != VERSION || csr.is_empty() {
            return Err(RequestError);
        }
        Ok(Self { id: InvitationId::new(*id), signature: Signature::new(*signature), csr: csr.to_vec() })
    }
}
