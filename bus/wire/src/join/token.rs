//! An invitation as one line of text: where to join, whom to find there, and the seed that proves the invitation.
//!
//! `testudo-join:` and the base64url of fixed fields. A secret: whoever has it first becomes the agent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{Exporter, spki};
use crate::{CaFingerprint, InvitationId, PublicKey, Purpose, SecretKey, Signature, SwarmId, Timestamp};

const PREFIX: &str = "testudo-join:";
const VERSION: u8 = 1;
/// Bytes of the checksum: it finds slips of copying, it is no protection.
const CHECK: usize = 4;
/// Version, family, address, port, swarm, CA, id, end, seed, checksum.
const fn length(address: usize) -> usize {
    1 + 1 + address + 2 + 32 + 32 + 16 + 8 + 32 + CHECK
}

/// Longest text of an invitation, white space around it included.
pub const TOKEN_TEXT_MAX: usize = 512;

/// Why a text is no invitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinTokenError {
    /// Other text, or more than one line.
    #[error("not an invitation; paste the one line that `testudo agent invite` printed")]
    NotOne,
    /// Characters are missing or changed.
    #[error("a damaged invitation; copy the whole line that `testudo agent invite` printed")]
    Damaged,
    /// Of a later version.
    #[error("an invitation of version {0}, this program knows 1; update testudo")]
    Version(u8),
}

/// An invitation to join a swarm.
#[derive(Clone)]
pub struct JoinToken {
    /// The join port.
    pub address: SocketAddr,
    /// The fingerprint of the authority's key, which is the swarm.
    pub swarm: SwarmId,
    /// The fingerprint of the CA's certificate.
    pub ca: CaFingerprint,
    /// Which invitation it is.
    pub id: InvitationId,
    /// Until when it can be used, on the node's clock.
    pub until: Timestamp,
    /// The key of its seed; the node knows only the public half.
    pub key: SecretKey,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("address", &self.address)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl JoinToken {
    /// The text: a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(length(16)));
        bytes.push(VERSION);
        match self.address.ip() {
            IpAddr::V4(ip) => {
                bytes.push(4);
                bytes.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(6);
                bytes.extend(ip.octets());
            }
        }
        bytes.extend(self.address.port().to_be_bytes());
        bytes.extend(self.swarm.as_bytes());
        bytes.extend(self.ca.as_bytes());
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.until.as_millis().to_be_bytes());
        bytes.extend(*self.key.seed());
        let check = check(&bytes);
        bytes.extend(check);
        let coded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes));
        Zeroizing::new(format!("{PREFIX}{}", *coded))
    }

    /// Reads the text; white space around it is ignored.
    ///
    /// # Errors
    /// [`JoinTokenError`].
    pub fn parse(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim();
        if text.len() > TOKEN_TEXT_MAX || text.contains(char::is_whitespace) {
            return Err(JoinTokenError::NotOne);
        }
        let coded = text.strip_prefix(PREFIX).ok_or(JoinTokenError::NotOne)?;
        let bytes = URL_SAFE_NO_PAD.decode(coded).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| JoinTokenError::Damaged)?;
        let (said, sum) = bytes.split_last_chunk::<CHECK>().ok_or(JoinTokenError::Damaged)?;
        if check(said) != *sum {
            return Err(JoinTokenError::Damaged);
        }
        if said.first() != Some(&VERSION) {
            return Err(JoinTokenError::Version(said.first().copied().unwrap_or_default()));
        }
        Fields(&said[1..]).read().ok_or(JoinTokenError::Damaged)
    }

    /// The proof that the holder of `key` has this invitation, on the connection of this keying material.
    #[must_use]
    pub fn prove(&self, exporter: &Exporter, key: &PublicKey) -> Signature {
        self.key.sign(Purpose::Join, &[exporter, &spki(key)])
    }
}

fn check(said: &[u8]) -> [u8; CHECK] {
    let digest = blake3::derive_key("testudo/1 invitation checksum", said);
    std::array::from_fn(|at| digest[at])
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn ip(&mut self) -> Option<IpAddr> {
        match self.take::<1>()? {
            [4] => Some(Ipv4Addr::from(self.take::<4>()?).into()),
            [6] => Some(Ipv6Addr::from(self.take::<16>()?).into()),
            _ => None,
        }
    }

    fn read(mut self) -> Option<JoinToken> {
        let token = JoinToken {
            address: SocketAddr::new(self.ip()?, u16::from_be_bytes(self.take()?)),
            swarm: SwarmId::new(self.take()?),
            ca: CaFingerprint::new(self.take()?),
            id: InvitationId::new(self.take()?),
            until: Timestamp::from_millis(u64::from_be_bytes(self.take()?)),
            key: SecretKey::from_seed(&Zeroizing::new(self.take()?)),
        };
        self.0.is_empty().then_some(token)
    }
}
