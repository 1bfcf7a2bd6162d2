//! Joining: what an invitation says, and the one question and one answer on the join port.
//!
//! Knows bytes, not QUIC: the keying material of the connection (RFC 8446, 7.5; RFC 5705) is an argument. Whether an
//! invitation is good is the registry's to say.

mod answer;
mod request;
mod token;

use crate::PublicKey;

pub use answer::{ANSWER_BYTES_MAX, AnswerError, JoinAnswer, JoinRefusal, Joined};
pub use request::{JoinRequest, REQUEST_BYTES_MAX, RequestError};
pub use token::{JoinToken, JoinTokenError, TOKEN_TEXT_MAX};

/// The only ALPN of a join port (RFC 7301).
pub const JOIN_ALPN: &[u8] = b"testudo-join/1";

/// The label under which both ends take keying material from the connection; the context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-testudo-join";

/// The keying material of one connection that a join signature is bound to.
pub type Exporter = [u8; 32];

/// What an Ed25519 key's `SubjectPublicKeyInfo` starts with (RFC 8410, 10.1).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key as certificates hold it: the DER `SubjectPublicKeyInfo` (RFC 8410, 4).
#[must_use]
pub fn spki(key: &PublicKey) -> [u8; 44] {
    let mut spki = [0; 44];
    let (head, rest) = spki.split_at_mut(SPKI_HEAD.len());
    head.copy_from_slice(&SPKI_HEAD);
    rest.copy_from_slice(key.as_bytes());
    spki
}

#[cfg(test)]
mod tests;
