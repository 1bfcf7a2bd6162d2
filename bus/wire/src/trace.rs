//! W3C Trace Context as text, level 1: what other tools write, and what they are given. Knows nothing of who traces.
//!
//! Strict: lower-case hex, no zero ids, version ff never. A later version is read for the part that version 00 has, as
//! the specification says, and goes on as 00.

use std::fmt;
use std::str::FromStr;

use crate::header::TraceParent;

/// Length of version 00: version, trace id, parent id, flags, with dashes.
const TEXT_BYTES: usize = 55;

/// Not a `traceparent`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a W3C traceparent; write 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct TraceError;

/// Lower-case hex alone: what the specification allows.
fn hex<const N: usize>(text: &[u8]) -> Result<[u8; N], TraceError> {
    let lower = text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().filter(|()| lower).ok_or(TraceError)?;
    Ok(bytes)
}

impl FromStr for TraceParent {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let (known, rest) = text.as_bytes().split_at_checked(TEXT_BYTES).ok_or(TraceError)?;
        let [version] = hex::<1>(&known[..2])?;
        let may_go_on = version > 0 && rest.first() == Some(&b'-');
        if version == 0xff || !(rest.is_empty() || may_go_on) {
            return Err(TraceError);
        }
        if [2, 35, 52].iter().any(|dash| known[*dash] != b'-') {
            return Err(TraceError);
        }
        let (trace, parent) = (hex::<16>(&known[3..35])?, hex::<8>(&known[36..52])?);
        let [flags] = hex::<1>(&known[53..])?;
        if trace == [0; 16] || parent == [0; 8] {
            return Err(TraceError);
        }
        let mut bytes = [flags; 25];
        bytes[..16].copy_from_slice(&trace);
        bytes[16..24].copy_from_slice(&parent);
        Ok(Self(bytes))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, rest) = self.0.split_at(16);
        let (parent, flags) = rest.split_at(8);
        write!(f, "00-{}-{}-{}", hex::encode(trace), hex::encode(parent), hex::encode(flags))
    }
}
