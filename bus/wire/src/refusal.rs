//! The named reasons why a message is not delivered: one exhaustive list for node, receiver, log and
//! sender.
//!
//! The code is what travels and what the audit log holds; nothing of the message's content does.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        /// Why a message was not delivered.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(into = "u8", try_from = "u8")]
        #[repr(u8)]
        pub enum Refusal { $($(#[$doc])* $name = $code,)+ }

        impl Refusal {
            /// Every refusal, in the order of the pipeline.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The words people read, e.g. `wrong peer`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }
        }

        impl TryFrom<u8> for Refusal {
            type Error = UnknownRefusal;
            fn try_from(code: u8) -> Result<Self, UnknownRefusal> {
                match code { $($code => Ok(Self::$name),)+ other => Err(UnknownRefusal(other)) }
            }
        }
    };
}

/// A code of no refusal of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown refusal code {0}")]
pub struct UnknownRefusal(u8);

refusals! {
    /// Not the one encoding of a bundle, or a pruned bundle from an agent.
    Malformed = 1, "malformed";
    /// Beyond a size limit.
    Oversized = 2, "oversized";
    /// Sender or key is not the link's certificate.
    WrongPeer = 3, "wrong peer";
    /// Made for another session: another link, node, or before a restart.
    WrongSession = 4, "wrong session";
    /// The swarm has no such agent.
    UnknownAgent = 5, "unknown agent";
    /// The agent, or somebody in its token's chain, is revoked.
    Revoked = 6, "revoked";
    /// More bundles or bytes a second than the grant allows.
    OverQuota = 7, "over quota";
    /// Dated outside five minutes of the judge's clock.
    Stale = 8, "stale";
    /// The signature does not verify.
    Unauthentic = 9, "unauthentic";
    /// This sequence was seen before, or is too old to tell.
    Replayed = 10, "replayed";
    /// The token does not cover the capability or the destination.
    Unauthorised = 11, "unauthorised";
    /// The token holds a block that is not of our shapes.
    ForeignBlock = 12, "foreign block";
    /// The token has run out.
    ExpiredToken = 13, "expired token";
    /// The content guard found something of severity high.
    Poisoned = 14, "poisoned";
    /// Nobody of that name is connected, or it does not serve the capability.
    Unroutable = 15, "unroutable";
    /// The receiver's queue or a table of the node is full.
    Overloaded = 16, "overloaded";
    /// The time to live ran out before hand-over.
    Expired = 17, "expired";
    /// The audit log could not be written, so nothing is delivered.
    AuditUnavailable = 18, "audit unavailable";
    /// The guard itself failed on this message: it fails closed.
    GuardFault = 19, "guard fault";
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Refusal> for u8 {
    fn from(refusal: Refusal) -> Self {
        refusal.code()
    }
}

impl Refusal {
    /// Whether it refuses the whole bundle rather than one envelope of it.
    #[must_use]
    pub const fn is_of_bundle(self) -> bool {
        match self {
            Self::Malformed
            | Self::Oversized
            | Self::WrongPeer
            | Self::WrongSession
            | Self::UnknownAgent
            | Self::OverQuota
            | Self::Unauthentic
            | Self::GuardFault => true,
            Self::Revoked
            | Self::Stale
            | Self::Replayed
            | Self::Unauthorised
            | Self::ForeignBlock
            | Self::ExpiredToken
            | Self::Poisoned
            | Self::Unroutable
            | Self::Overloaded
            | Self::Expired
            | Self::AuditUnavailable => false,
        }
    }

    /// What the sender can do about it, as one line.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Malformed => "encode it as docs/protocol.md says",
            Self::Oversized => "send a smaller body, or split it",
            Self::WrongPeer => "send under the identity of this link",
            Self::WrongSession => "sign with the session of the latest welcome",
            Self::UnknownAgent => "have the operator run `testudo agent add`",
            Self::Revoked => "ask the operator why, and for a new identity or token",
            Self::OverQuota => "send fewer, larger bundles, or ask for a higher quota",
            Self::Stale => "set the clock: it must be within five minutes of the node's",
            Self::Unauthentic => "sign with the key of this link's certificate",
            Self::Replayed => "give every envelope a sequence of its own",
            Self::Unauthorised => {
                "ask for a token that covers this capability and destination; a body that is neither text, JSON nor MessagePack needs opaque:<resource> as well"
            }
            Self::ForeignBlock => "make tokens with `testudo token`, nothing else is accepted",
            Self::ExpiredToken => "ask for a new token",
            Self::Poisoned => "the content guard refused the body; see `testudo audit tail` for its rules",
            Self::Unroutable => "check the receiver's name, that it runs, and that it serves the capability",
            Self::Overloaded => "wait and send again, more slowly",
            Self::Expired => "send again with a longer time to live",
            Self::AuditUnavailable => "tell the operator: the audit log cannot be written",
            Self::GuardFault => "tell the operator: the guard failed on this message",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways_and_are_distinct() {
        for code in 0..=u8::MAX {
            match Refusal::try_from(code) {
                Ok(refusal) => assert_eq!(refusal.code(), code),
                Err(error) => assert!(!Refusal::ALL.iter().any(|r| r.code() == code), "{error}"),
            }
        }
        let mut words: Vec<_> = Refusal::ALL.iter().map(|r| r.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Refusal::ALL.len());
    }
}
