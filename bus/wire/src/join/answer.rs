//! The one answer on a join port: everything that an identity file needs besides the key, or a named refusal.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::canonical::{self, CanonicalError};
use crate::{AgentName, Limits, PublicKey};

/// Longest answer, without its length prefix: four certificates and a token, and all trust statements.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

const JOINED: u8 = 0;
const REFUSED: u8 = 1;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// Neither of the two, or too long.
    #[error("not an answer to a join request")]
    Shape,
    /// A refusal that this program does not know.
    #[error("a refusal of a later version ({0}); update testudo")]
    Refusal(u8),
    /// The fields.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Why a newcomer was not let in.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[repr(u8)]
pub enum JoinRefusal {
    /// The question is not of the one shape, or its request is not of the connection's key.
    #[error("the node does not understand the question; are both of one version?")]
    Malformed = 1,
    /// No such invitation.
    #[error("the node does not know this invitation: it was cancelled, or ended long ago; ask for a new one")]
    Unknown = 2,
    /// Its time is over.
    #[error("the invitation has expired; ask for a new one")]
    Expired = 3,
    /// Another key has joined with it.
    #[error(
        "the invitation has been used, with another key; if that was not you, tell the operator: somebody else \
         may have joined under this name"
    )]
    Used = 4,
    /// Too many wrong signatures.
    #[error("the invitation is void after too many wrong signatures; ask for a new one")]
    Void = 5,
    /// The signature is not the invitation's for this key on this connection.
    #[error("the invitation's signature is wrong; copy the whole line that `testudo agent invite` printed")]
    WrongSignature = 6,
    /// The key was this agent's and is revoked, or it is in use under another name.
    #[error("the key is revoked or in use; ask for a new invitation and join with a new key")]
    Key = 7,
    /// The registry takes nobody more.
    #[error("the registry is full; ask the operator to raise its limit of agents")]
    Full = 8,
    /// The node could not do it now.
    #[error("the node cannot enrol at the moment; ask again with the same invitation")]
    Unavailable = 9,
}

impl JoinRefusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Unknown,
        Self::Expired,
        Self::Used,
        Self::Void,
        Self::WrongSignature,
        Self::Key,
        Self::Full,
        Self::Unavailable,
    ];

    /// The byte on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The refusal of a byte.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }

    /// The name, for people and the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown invitation",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Void => "void",
            Self::WrongSignature => "wrong signature",
            Self::Key => "revoked key",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the same question may be answered otherwise a little later.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Full | Self::Unavailable => true,
            Self::Malformed
            | Self::Unknown
            | Self::Expired
            | Self::Used
            | Self::Void
            | Self::WrongSignature
            | Self::Key => false,
        }
    }
}

/// What a newcomer is given. Holds an unsealed token: never printed.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Joined {
    /// The name of the invitation.
    pub name: AgentName,
    /// Where to dial from now on; an unspecified address means the host of the join port.
    #[serde(with = "text")]
    pub node: SocketAddr,
    /// The authority's key.
    pub authority: PublicKey,
    /// The CA's certificate, in DER.
    pub ca: ByteBuf,
    /// The agent's certificate and what is between it and the CA, in DER.
    pub chain: Vec<ByteBuf>,
    /// The unsealed token's bytes.
    pub token: ByteBuf,
    /// Every signed trust statement from the first; not written in a swarm that has made none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<ByteBuf>,
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("name", &self.name).field("node", &self.node).finish_non_exhaustive()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.token);
    }
}

/// Addresses as people write them.
mod text {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The node's answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JoinAnswer {
    /// Come in.
    Joined(Box<Joined>),
    /// Stay out.
    Refused(JoinRefusal),
}

impl JoinAnswer {
    /// The frame: 0 and the fields, or 1 and the refusal's code.
    ///
    /// # Errors
    /// [`AnswerError`] when it would be too long.
    pub fn encode(&self) -> Result<Vec<u8>, AnswerError> {
        let frame = match self {
            Self::Joined(joined) => {
                let fields = zeroize::Zeroizing::new(canonical::encode(&**joined)?);
                [&[JOINED][..], &fields].concat()
            }
            Self::Refused(refusal) => vec![REFUSED, refusal.code()],
        };
        if frame.len() > ANSWER_BYTES_MAX { Err(AnswerError::Shape) } else { Ok(frame) }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn decode(frame: &[u8]) -> Result<Self, AnswerError> {
        if frame.len() > ANSWER_BYTES_MAX {
            return Err(AnswerError::Shape);
        }
        match frame {
            [JOINED, fields @ ..] => {
                Ok(Self::Joined(Box::new(canonical::decode(fields, &Limits::standard())?)))
            }
            [REFUSED, code] => {
                JoinRefusal::from_code(*code).map(Self::Refused).ok_or(AnswerError::Refusal(*code))
            }
            _ => Err(AnswerError::Shape),
        }
    }
}
