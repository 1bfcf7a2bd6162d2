//! Who may ask an operator for what: each verb needs a right of its own, and what nobody granted is denied (threat A36).

use std::collections::BTreeSet;

use testudo_wire::Capability;

use super::Request;

/// What can be asked of an operator. One for each kind of [`Request`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// [`Request::AgentAdd`].
    AgentAdd,
    /// [`Request::AgentInvite`].
    AgentInvite,
    /// [`Request::AgentList`].
    AgentList,
    /// [`Request::AgentReinstate`].
    AgentReinstate,
    /// [`Request::AgentRenew`].
    AgentRenew,
    /// [`Request::AgentRevoke`].
    AgentRevoke,
    /// [`Request::GuardReload`].
    GuardReload,
    /// [`Request::InvitationCancel`].
    InvitationCancel,
    /// [`Request::InvitationList`].
    InvitationList,
    /// [`Request::Status`].
    Status,
    /// [`Request::TokenMint`].
    TokenMint,
    /// [`Request::TokenRevoke`].
    TokenRevoke,
    /// [`Request::TokenStanding`].
    TokenStanding,
    /// [`Request::TrustRoll`].
    TrustRoll,
    /// [`Request::TrustShow`].
    TrustShow,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AgentAdd,
        Self::AgentInvite,
        Self::AgentList,
        Self::AgentReinstate,
        Self::AgentRenew,
        Self::AgentRevoke,
        Self::GuardReload,
        Self::InvitationCancel,
        Self::InvitationList,
        Self::Status,
        Self::TokenMint,
        Self::TokenRevoke,
        Self::TokenStanding,
        Self::TrustRoll,
        Self::TrustShow,
    ];

    /// The right that it needs, as a capability.
    #[must_use]
    pub const fn right(self) -> &'static str {
        match self {
            Self::AgentAdd => "operate:agent-add",
            Self::AgentInvite => "operate:agent-invite",
            Self::AgentList => "operate:agent-list",
            Self::AgentReinstate => "operate:agent-reinstate",
            Self::AgentRenew => "operate:agent-renew",
            Self::AgentRevoke => "operate:agent-revoke",
            Self::GuardReload => "operate:guard-reload",
            Self::InvitationCancel => "operate:invitation-cancel",
            Self::InvitationList => "operate:invitation-list",
            Self::Status => "operate:status",
            Self::TokenMint => "operate:token-mint",
            Self::TokenRevoke => "operate:token-revoke",
            Self::TokenStanding => "operate:token-standing",
            Self::TrustRoll => "operate:trust-roll",
            Self::TrustShow => "operate:trust-show",
        }
    }
}

impl Request {
    /// What it asks.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::AgentAdd { .. } => Verb::AgentAdd,
            Self::AgentInvite { .. } => Verb::AgentInvite,
            Self::AgentList => Verb::AgentList,
            Self::AgentReinstate { .. } => Verb::AgentReinstate,
            Self::AgentRenew { .. } => Verb::AgentRenew,
            Self::AgentRevoke { .. } => Verb::AgentRevoke,
            Self::GuardReload => Verb::GuardReload,
            Self::InvitationCancel { .. } => Verb::InvitationCancel,
            Self::InvitationList => Verb::InvitationList,
            Self::Status => Verb::Status,
            Self::TokenMint { .. } => Verb::TokenMint,
            Self::TokenRevoke { .. } => Verb::TokenRevoke,
            Self::TokenStanding { .. } => Verb::TokenStanding,
            Self::TrustRoll { .. } => Verb::TrustRoll,
            Self::TrustShow => Verb::TrustShow,
        }
    }
}

/// What somebody may ask. Nothing, unless it says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mandate(BTreeSet<Verb>);

impl Mandate {
    /// Everything: whoever can open the operator's socket owns the folder, and could change it by other means.
    #[must_use]
    pub fn owner() -> Self {
        Self(Verb::ALL.into())
    }

    /// What these capabilities name, and nothing else.
    #[must_use]
    pub fn of(rights: &BTreeSet<Capability>) -> Self {
        let named = |verb: &Verb| rights.iter().any(|right| right.to_string() == verb.right());
        Self(Verb::ALL.into_iter().filter(named).collect())
    }

    /// Whether this may be asked.
    #[must_use]
    pub fn allows(&self, verb: Verb) -> bool {
        self.0.contains(&verb)
    }
}
