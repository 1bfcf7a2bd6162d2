//! Why links end, as the QUIC application error code says it.

use serde::{Deserialize, Serialize};

use crate::standing::RevocationCause;

/// Why a node closes a link.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The certificate has run out.
    CertificateExpired,
    /// A newer link of the same identity took over.
    Displaced,
    /// More than three displacements of one identity within a minute: somebody has a copy of it.
    DisplacedTooOften,
    /// The receiver reads too slowly.
    Lagging,
    /// The peer broke the protocol.
    Protocol,
    /// The agent carries on on the link that renewed this one.
    Renewed,
    /// The registry revoked this agent.
    Revoked(RevocationCause),
    /// The CA of the certificate is not trusted any more.
    CaRetired,
    /// The node shuts down.
    Shutdown,
    /// The agent was shown two logs under one key, or one that went back: it says so, and leaves.
    SplitView,
    /// The node was shown a registry sequence above its own: its disk is an old copy.
    StaleRegistry,
}

impl CloseReason {
    /// The QUIC application error code.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Shutdown => 1,
            Self::Protocol => 2,
            Self::Displaced => 3,
            Self::DisplacedTooOften => 4,
            Self::Lagging => 5,
            Self::CertificateExpired => 6,
            Self::StaleRegistry => 7,
            Self::Renewed => 8,
            Self::CaRetired => 9,
            Self::SplitView => 10,
            Self::Revoked(RevocationCause::Silent) => 16,
            Self::Revoked(RevocationCause::Operator) => 17,
            Self::Revoked(RevocationCause::Compromised) => 18,
            Self::Revoked(RevocationCause::Failed) => 19,
        }
    }

    /// The reason of a QUIC application error code.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(reason.code()) == code)
    }

    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::CaRetired,
        Self::CertificateExpired,
        Self::Displaced,
        Self::DisplacedTooOften,
        Self::Lagging,
        Self::Protocol,
        Self::Renewed,
        Self::Revoked(RevocationCause::Silent),
        Self::Revoked(RevocationCause::Operator),
        Self::Revoked(RevocationCause::Compromised),
        Self::Revoked(RevocationCause::Failed),
        Self::Shutdown,
        Self::SplitView,
        Self::StaleRegistry,
    ];

    /// Whether dialling again can help.
    #[must_use]
    pub const fn may_reconnect(self) -> bool {
        match self {
            Self::Lagging | Self::Renewed | Self::Shutdown | Self::StaleRegistry => true,
            Self::CaRetired
            | Self::CertificateExpired
            | Self::Displaced
            | Self::DisplacedTooOften
            | Self::Protocol
            | Self::Revoked(_)
            | Self::SplitView => false,
        }
    }

    /// The words people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CaRetired => "the CA of the certificate was retired",
            Self::CertificateExpired => "certificate expired",
            Self::Displaced => "displaced by a newer link",
            Self::DisplacedTooOften => "displaced too often",
            Self::Lagging => "reads too slowly",
            Self::Protocol => "broke the protocol",
            Self::Renewed => "renewed on another link",
            Self::Revoked(RevocationCause::Silent) => "revoked: silent",
            Self::Revoked(RevocationCause::Operator) => "revoked by the operator",
            Self::Revoked(RevocationCause::Compromised) => "revoked: compromised",
            Self::Revoked(RevocationCause::Failed) => "revoked: failed too often",
            Self::Shutdown => "node shuts down",
            Self::SplitView => "the audit log is not the one that was shown before",
            Self::StaleRegistry => "node's registry is an old copy",
        }
    }
}
