//! What happened to the book, as data: decided once, then stored, recorded, published and applied.
//!
//! A change knows nothing of how it is kept or told.

use std::net::SocketAddr;
use std::sync::Arc;

use testudo_wire::standing::{Grant, Holder, RevocationCause};
use testudo_wire::{AgentName, InvitationId, PublicKey, RegistrySequence, Timestamp, TokenFactId};

use super::{Invitation, Trusted};

/// One change of the book, or one notice that the audit log must hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Its number; a notice carries the number of the change before it.
    pub sequence: RegistrySequence,
    /// When it was decided, on the node's wall clock, which decides nothing but the ends of invitations.
    pub at: Timestamp,
    /// What changed.
    pub kind: ChangeKind,
}

/// What changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// Notice: a second link of an identity took the place of the older one.
    Displaced {
        /// Whose links.
        name: AgentName,
        /// Where the closed link came from.
        older: SocketAddr,
        /// Where the new link comes from.
        newer: SocketAddr,
    },
    /// Notice and alert: two holders of one identity fight over it; both links were closed.
    DisplacedTooOften {
        /// Whose links.
        name: AgentName,
        /// Where the older link came from.
        older: SocketAddr,
        /// Where the refused link came from.
        newer: SocketAddr,
    },
    /// A new agent, or a burnt name with a new key.
    Enrolled {
        /// Name and key.
        holder: Box<Holder>,
        /// What it may do.
        grant: Arc<Grant>,
        /// The burnt key that this one follows.
        replaces: Option<PublicKey>,
        /// The invitation that it joined with, which is spent by this change.
        by: Option<InvitationId>,
    },
    /// Somebody may join.
    Invited {
        /// The invitation.
        invitation: Box<Invitation>,
        /// Earlier ones that are forgotten for it.
        ends: Vec<InvitationId>,
    },
    /// A grant became smaller; all tokens made before are void.
    Narrowed {
        /// Whose grant.
        name: AgentName,
        /// What is left.
        grant: Arc<Grant>,
    },
    /// A grant was replaced, perhaps by a wider one; all tokens made before are void.
    Regranted {
        /// Whose grant.
        name: AgentName,
        /// What it may do now.
        grant: Arc<Grant>,
    },
    /// A silent or failed agent is back in good standing; it needs new tokens.
    Reinstated {
        /// Who.
        name: AgentName,
    },
    /// An agent is out.
    Revoked {
        /// Who, and the key; burnt if an operator said so or it is compromised.
        holder: Box<Holder>,
        /// Why.
        cause: RevocationCause,
    },
    /// Every token that holds a block with this id is void.
    TokenRevoked {
        /// The block's id.
        id: TokenFactId,
    },
    /// Another trust statement is in force: tokens of an authority that it does not name are void.
    Trusted {
        /// Which one.
        trusted: Trusted,
    },
    /// An invitation was taken back.
    Uninvited {
        /// Which one.
        id: InvitationId,
        /// Whose.
        name: AgentName,
    },
    /// An earlier change could not be made durable and did not take effect.
    Withdrawn {
        /// The number of the change that did not happen.
        of: RegistrySequence,
        /// Whom it was about.
        name: AgentName,
        /// The invitations that it would have touched.
        invitations: Vec<InvitationId>,
    },
}

impl ChangeKind {
    /// Whether it takes a number of its own: it changes what others judge by.
    #[must_use]
    pub const fn is_numbered(&self) -> bool {
        match self {
            Self::Displaced { .. } | Self::DisplacedTooOften { .. } => false,
            Self::Enrolled { .. }
            | Self::Invited { .. }
            | Self::Narrowed { .. }
            | Self::Regranted { .. }
            | Self::Reinstated { .. }
            | Self::Revoked { .. }
            | Self::TokenRevoked { .. }
            | Self::Trusted { .. }
            | Self::Uninvited { .. }
            | Self::Withdrawn { .. } => true,
        }
    }

    /// The agent it is about, if it is about one.
    #[must_use]
    pub const fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Invited { invitation, .. } => Some(&invitation.name),
            Self::Enrolled { holder, .. } | Self::Revoked { holder, .. } => Some(&holder.name),
            Self::Displaced { name, .. }
            | Self::DisplacedTooOften { name, .. }
            | Self::Narrowed { name, .. }
            | Self::Regranted { name, .. }
            | Self::Reinstated { name }
            | Self::Uninvited { name, .. }
            | Self::Withdrawn { name, .. } => Some(name),
            Self::TokenRevoked { .. } | Self::Trusted { .. } => None,
        }
    }

    /// The word for people and the audit log, e.g. `enrolled`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Displaced { .. } => "displaced",
            Self::DisplacedTooOften { .. } => "displaced too often",
            Self::Enrolled { .. } => "enrolled",
            Self::Invited { .. } => "invited",
            Self::Narrowed { .. } => "narrowed",
            Self::Regranted { .. } => "regranted",
            Self::Reinstated { .. } => "reinstated",
            Self::Revoked { .. } => "revoked",
            Self::TokenRevoked { .. } => "token revoked",
            Self::Trusted { .. } => "trusted",
            Self::Uninvited { .. } => "invitation cancelled",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}
