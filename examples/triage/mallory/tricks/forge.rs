//! Bytes that no honest encoder writes, and the honest signature over them: what is refused of these is refused
//! for what it says, not for who signed it.

use testudo::wire::{Envelope, Header, Purpose, SecretKey, tree};

use super::super::mishap::Mishap;

/// Bytes before the first item of a bundle (docs/protocol.md): n, signature, the item's length word.
const BEFORE_ENVELOPE: usize = 2 + 64 + 4;

/// The bytes with the first `from` in them made `to`.
pub(super) fn swap(bytes: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>, Mishap> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .ok_or(Mishap::Forgery("the bytes to change are not there"))?;
    Ok([&bytes[..at], to, &bytes[at + from.len()..]].concat())
}

/// A bundle of one envelope, whatever its bytes, signed as an honest agent would sign it.
pub(super) fn sign(header: &Header, envelope: &[u8], key: &SecretKey) -> Result<Vec<u8>, Mishap> {
    let (leaves, root) = (1_u16.to_be_bytes(), tree::leaf(envelope));
    let parts: [&[u8]; 5] =
        [header.swarm.as_bytes(), &header.key, header.session.as_bytes(), &leaves, root.as_bytes()];
    let signature = key.sign(Purpose::Bundle, &parts);
    let len = u32::try_from(envelope.len()).map_err(|_| Mishap::Forgery("too long"))?;
    Ok([&leaves[..], signature.as_bytes(), &len.to_be_bytes(), envelope].concat())
}

/// The envelope of a message.
pub(super) fn envelope(header: &Header, body: &[u8]) -> Vec<u8> {
    Envelope::encode(*header, body).bytes().to_vec()
}

/// The same bundle of one with the envelope changed after it was signed, to one of the same length.
pub(super) fn tamper(bundle: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>, Mishap> {
    let (head, envelope) =
        bundle.split_at_checked(BEFORE_ENVELOPE).ok_or(Mishap::Forgery("no envelope to change"))?;
    Ok([head, &swap(envelope, from, to)?].concat())
}
