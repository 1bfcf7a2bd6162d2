//! The numbered verbs: each looks at the book, refuses, or says what the change is.
//!
//! Nothing here mutates: [`Book::apply`] does, once the change is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use testudo_wire::standing::{Grant, Holder, RevocationCause};
use testudo_wire::{AgentName, Capability, InvitationId, PublicKey, SessionId, Timestamp, TokenFactId};

use super::entry::{Entry, Phase};
use super::{Book, Change, ChangeKind, OnSilence, burns};

/// Why nobody was enrolled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnrolError {
    /// The key was revoked for good.
    #[error("this key was revoked for good: make a new one and join with it")]
    BurntKey,
    /// The grant hands on what it does not hold.
    #[error("the grant's delegatable capabilities must all be among its rights")]
    DelegatableBeyondRight,
    /// The name is taken.
    #[error("the name is taken: choose another, or revoke the agent first")]
    Exists,
    /// The book is full.
    #[error("the registry is full: raise its limit of agents")]
    Full,
    /// The name is held for an agent that can come back.
    #[error(
        "the name is held for an agent that fell silent or failed: `testudo agent reinstate` brings it back"
    )]
    Held,
    /// Another name has this key.
    #[error("another agent has this key: every agent needs a key of its own")]
    KeyInUse,
    /// It may send nothing.
    #[error("the grant lets it send no bundle at all: give it one a second, or revoke the agent")]
    NoQuota,
    /// The name is the node's own.
    #[error("the name is the node's own: choose another")]
    Reserved,
    /// More capabilities than the rules allow.
    #[error("the grant lists too many capabilities")]
    TooManyCapabilities,
}

/// Why a grant was not changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GrantError {
    /// The agent's key is burnt.
    #[error("the agent was revoked for good: enrol it anew with a new key")]
    Burnt,
    /// The grant hands on what it does not hold.
    #[error("the grant's delegatable capabilities must all be among its rights")]
    DelegatableBeyondRight,
    /// It may send nothing.
    #[error("the grant lets it send no bundle at all: give it one a second, or revoke the agent")]
    NoQuota,
    /// More capabilities than the rules allow.
    #[error("the grant lists too many capabilities")]
    TooManyCapabilities,
    /// No such agent.
    #[error("no agent of this name is enrolled")]
    Unknown,
    /// Narrowing that would widen.
    #[error("the new grant goes beyond the old one: widening is a grant of its own")]
    Widens,
}

/// Why nobody was revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RevokeError {
    /// No such agent.
    #[error("no agent of this name is enrolled")]
    Unknown,
}

/// Why a link could not give its agent up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FailError {
    /// Another link took over, the agent said goodbye, or it is out already.
    #[error("only the agent's latest link may give it up")]
    NotItsLink,
    /// No such agent.
    #[error("no agent of this name is enrolled")]
    Unknown,
}

/// Why nobody was reinstated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReinstateError {
    /// The key is burnt.
    #[error("the agent was revoked for good: enrol it anew with a new key")]
    Burnt,
    /// It is in good standing.
    #[error("the agent is in good standing already")]
    NotRevoked,
    /// No such agent.
    #[error("no agent of this name is enrolled")]
    Unknown,
}

/// Why a token was not revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// The list is full.
    #[error("the list of revoked tokens is full: narrow or revoke the agents that hold them")]
    Full,
}

enum BadGrant {
    DelegatableBeyondRight,
    NoQuota,
    TooManyCapabilities,
}

impl From<BadGrant> for EnrolError {
    fn from(bad: BadGrant) -> Self {
        match bad {
            BadGrant::DelegatableBeyondRight => Self::DelegatableBeyondRight,
            BadGrant::NoQuota => Self::NoQuota,
            BadGrant::TooManyCapabilities => Self::TooManyCapabilities,
        }
    }
}

impl From<BadGrant> for GrantError {
    fn from(bad: BadGrant) -> Self {
        match bad {
            BadGrant::DelegatableBeyondRight => Self::DelegatableBeyondRight,
            BadGrant::NoQuota => Self::NoQuota,
            BadGrant::TooManyCapabilities => Self::TooManyCapabilities,
        }
    }
}

/// Whether nothing of `new` goes beyond `old`, the quota included.
fn narrows(new: &Grant, old: &Grant) -> bool {
    new.is_within(old)
        && new.quota.bundles_per_second <= old.quota.bundles_per_second
        && new.quota.bytes_per_second <= old.quota.bytes_per_second
}

/// How much a cause weighs: a revocation is only ever replaced by a graver one.
const fn gravity(cause: RevocationCause) -> u8 {
    match cause {
        RevocationCause::Silent => 0,
        // Graver than silence: it does not return by itself, whatever silence does.
        RevocationCause::Failed => 1,
        RevocationCause::Operator => 2,
        RevocationCause::Compromised => 3,
    }
}

/// Whether whoever is in this phase never comes back under its key.
pub(super) const fn burns_phase(phase: Phase) -> bool {
    match phase {
        Phase::Revoked { cause, .. } => burns(cause),
        Phase::Enrolled | Phase::Active { .. } | Phase::Lapsing { .. } | Phase::Offline => false,
    }
}

impl Book {
    /// A new agent, or a new key for a name that was revoked for good.
    ///
    /// # Errors
    /// [`EnrolError`]; the book is as before.
    pub fn enrol(&self, holder: Holder, grant: Grant, at: Timestamp) -> Result<Change, EnrolError> {
        self.enrol_by(holder, Arc::new(grant), None, at)
    }

    /// The same, perhaps by an invitation, which the same change spends.
    pub(super) fn enrol_by(
        &self,
        holder: Holder,
        grant: Arc<Grant>,
        by: Option<InvitationId>,
        at: Timestamp,
    ) -> Result<Change, EnrolError> {
        if self.burnt.contains_key(&holder.key) {
            return Err(EnrolError::BurntKey);
        }
        let replaces = self.may_enrol(&holder.name, &grant)?;
        if self.keys.contains_key(&holder.key) {
            return Err(EnrolError::KeyInUse);
        }
        Ok(self.numbered(at, ChangeKind::Enrolled { holder: Box::new(holder), grant, replaces, by }))
    }

    /// Whether some new key could be enrolled under this name with this grant; the burnt key that it would follow.
    pub(super) fn may_enrol(&self, name: &AgentName, grant: &Grant) -> Result<Option<PublicKey>, EnrolError> {
        self.check_grant(grant)?;
        let replaces = self.name_is_free(name)?;
        let enrolled = self.agents.len() - usize::from(self.resident.is_some());
        let room = replaces.is_some() || enrolled < self.rules.agents_max;
        if !room || self.burnt.len() >= self.rules.burnt_max {
            return Err(EnrolError::Full);
        }
        Ok(replaces)
    }

    /// The burnt key that a name leaves behind, if it was enrolled before.
    fn name_is_free(&self, name: &AgentName) -> Result<Option<PublicKey>, EnrolError> {
        if self.rules.resident.as_ref() == Some(name) {
            return Err(EnrolError::Reserved);
        }
        let Some(entry) = self.agents.get(name) else { return Ok(None) };
        match entry.phase {
            Phase::Revoked { cause, .. } if burns(cause) => Ok(Some(entry.holder.key)),
            Phase::Revoked { .. } => Err(EnrolError::Held),
            Phase::Enrolled | Phase::Active { .. } | Phase::Lapsing { .. } | Phase::Offline => {
                Err(EnrolError::Exists)
            }
        }
    }

    fn check_grant(&self, grant: &Grant) -> Result<(), BadGrant> {
        let fits = |list: &BTreeSet<Capability>| list.len() <= self.rules.capabilities_max;
        if !(fits(&grant.right) && fits(&grant.serve) && fits(&grant.delegatable)) {
            return Err(BadGrant::TooManyCapabilities);
        }
        if grant.quota.bundles_per_second == 0 {
            return Err(BadGrant::NoQuota);
        }
        if grant.delegatable.is_subset(&grant.right) { Ok(()) } else { Err(BadGrant::DelegatableBeyondRight) }
    }

    pub(super) fn grantee(&self, name: &AgentName) -> Result<&Entry, GrantError> {
        let entry = self.enrolled(name).ok_or(GrantError::Unknown)?;
        if self.burnt.contains_key(&entry.holder.key) { Err(GrantError::Burnt) } else { Ok(entry) }
    }

    /// A smaller grant.
    ///
    /// # Errors
    /// [`GrantError`]; the book is as before.
    pub fn narrow(&self, name: &AgentName, grant: Grant, at: Timestamp) -> Result<Change, GrantError> {
        self.check_grant(&grant)?;
        if !narrows(&grant, &self.grantee(name)?.grant) {
            return Err(GrantError::Widens);
        }
        Ok(self.numbered(at, ChangeKind::Narrowed { name: *name, grant: Arc::new(grant) }))
    }

    /// Another grant, wider or not.
    ///
    /// # Errors
    /// [`GrantError`]; the book is as before.
    pub fn regrant(&self, name: &AgentName, grant: Grant, at: Timestamp) -> Result<Change, GrantError> {
        self.check_grant(&grant)?;
        self.grantee(name)?;
        Ok(self.numbered(at, ChangeKind::Regranted { name: *name, grant: Arc::new(grant) }))
    }

    /// Puts an agent out; `None` when it is out already for this cause or a graver one.
    ///
    /// # Errors
    /// [`RevokeError`]; the book is as before.
    pub fn revoke(
        &self,
        name: &AgentName,
        cause: RevocationCause,
        at: Timestamp,
    ) -> Result<Option<Change>, RevokeError> {
        let entry = self.enrolled(name).ok_or(RevokeError::Unknown)?;
        let graver = match entry.phase {
            Phase::Revoked { cause: old, .. } => gravity(cause) > gravity(old),
            Phase::Enrolled | Phase::Active { .. } | Phase::Lapsing { .. } | Phase::Offline => true,
        };
        let kind = ChangeKind::Revoked { holder: Box::new(entry.holder), cause };
        Ok(graver.then(|| self.numbered(at, kind)))
    }

    /// Puts an agent out because its host gave up. Its latest link says so, even if that was its last word;
    /// no older one may.
    ///
    /// # Errors
    /// [`FailError`]; the book is as before.
    pub fn fail(&self, name: &AgentName, session: SessionId, at: Timestamp) -> Result<Change, FailError> {
        let entry = self.enrolled(name).ok_or(FailError::Unknown)?;
        // Whoever is out has no latest link.
        if entry.latest != Some(session) {
            return Err(FailError::NotItsLink);
        }
        let kind = ChangeKind::Revoked { holder: Box::new(entry.holder), cause: RevocationCause::Failed };
        Ok(self.numbered(at, kind))
    }

    /// Brings a silent or failed agent back; its old tokens stay void.
    ///
    /// # Errors
    /// [`ReinstateError`]; the book is as before.
    pub fn reinstate(&self, name: &AgentName, at: Timestamp) -> Result<Change, ReinstateError> {
        let entry = self.enrolled(name).ok_or(ReinstateError::Unknown)?;
        match entry.phase {
            Phase::Revoked { cause, .. } if burns(cause) => Err(ReinstateError::Burnt),
            Phase::Revoked { .. } => Ok(self.numbered(at, ChangeKind::Reinstated { name: *name })),
            Phase::Enrolled | Phase::Active { .. } | Phase::Lapsing { .. } | Phase::Offline => {
                Err(ReinstateError::NotRevoked)
            }
        }
    }

    /// The reinstatement that a silent agent's login brings with it, with [`OnSilence::Suspend`] and the right
    /// key.
    #[must_use]
    pub fn return_of(&self, holder: &Holder, at: Timestamp) -> Option<Change> {
        let entry = self.agents.get(&holder.name).filter(|entry| entry.holder == *holder)?;
        if self.returns(entry.phase) { self.reinstate(&holder.name, at).ok() } else { None }
    }

    /// Whether an agent in this phase comes back by its login.
    pub(super) fn returns(&self, phase: Phase) -> bool {
        let silent = matches!(phase, Phase::Revoked { cause: RevocationCause::Silent, .. });
        silent && self.rules.on_silence == OnSilence::Suspend
    }

    /// Voids every token that holds a block of this id; `None` when they are void already.
    ///
    /// # Errors
    /// [`TokenError`]; the book is as before.
    pub fn revoke_token(&self, id: TokenFactId, at: Timestamp) -> Result<Option<Change>, TokenError> {
        if self.tokens.contains(&id) {
            return Ok(None);
        }
        if self.tokens.len() >= self.rules.tokens_max {
            return Err(TokenError::Full);
        }
        Ok(Some(self.numbered(at, ChangeKind::TokenRevoked { id })))
    }

    /// Says that `change` will not happen: it could not be made durable. Its number stays used.
    #[must_use]
    pub fn withdraw(&self, change: &Change, name: AgentName, at: Timestamp) -> Change {
        let sequence = self.sequence.max(change.sequence).next();
        let invitations = self.invitations_after(change).into_iter().map(|(id, _)| id).collect();
        Change { sequence, at, kind: ChangeKind::Withdrawn { of: change.sequence, name, invitations } }
    }
}
