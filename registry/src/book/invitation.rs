//! Invitations: an agent's line in the book before it has a key.
//!
//! Pure like the rest of the book. An invitation is outstanding until its end on the wall clock, unless it is spent by
//! the first key that proves it, or void after too many wrong proofs; spent, it answers that same key again until its
//! end. What is outstanding is for a name that may be enrolled: whoever enrols it otherwise ends the invitation.

use std::sync::Arc;

use testudo_wire::join::{Exporter, spki};
use testudo_wire::standing::{Grant, Holder};
use testudo_wire::{AgentName, InvitationId, PublicKey, Purpose, Signature, Timestamp};

use super::entry::AgentView;
use super::verbs::EnrolError;
use super::{Book, Change, ChangeKind};

/// Wrong signatures after which an invitation is void.
pub const MISSES_MAX: u8 = 5;

/// One invitation as a store keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invitation {
    /// Which one.
    pub id: InvitationId,
    /// The public half of its seed's key.
    pub key: PublicKey,
    /// Who is invited.
    pub name: AgentName,
    /// What it will be allowed.
    pub grant: Arc<Grant>,
    /// From when on it is no more good, on the node's wall clock.
    pub until: Timestamp,
    /// Wrong signatures so far.
    pub misses: u8,
    /// The key that joined with it.
    pub spent: Option<PublicKey>,
}

/// Where an invitation is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvitationState {
    /// Whoever proves it joins.
    Outstanding,
    /// Somebody joined; only the same key is answered again.
    Spent,
    /// Too many wrong signatures: nobody is answered.
    Void,
    /// Its time is over.
    Expired,
}

impl InvitationState {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outstanding => "outstanding",
            Self::Spent => "spent",
            Self::Void => "void",
            Self::Expired => "expired",
        }
    }

    /// Whether anybody can still get a good answer with it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Outstanding | Self::Spent => true,
            Self::Void | Self::Expired => false,
        }
    }
}

impl Invitation {
    /// Where it is in its life at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> InvitationState {
        if now >= self.until {
            InvitationState::Expired
        } else if self.misses >= MISSES_MAX {
            InvitationState::Void
        } else if self.spent.is_some() {
            InvitationState::Spent
        } else {
            InvitationState::Outstanding
        }
    }
}

/// A newcomer who has proved `key` to be its own, and says that it is invited.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// Which invitation.
    pub id: InvitationId,
    /// The key of its connection's certificate.
    pub key: PublicKey,
    /// The keying material of that connection.
    pub exporter: Exporter,
    /// The proof of the invitation.
    pub signature: Signature,
}

impl Newcomer {
    fn proves(&self, invitation: &Invitation) -> bool {
        invitation.key.verifies(Purpose::Join, &[&self.exporter, &spki(&self.key)], &self.signature)
    }
}

/// Why nobody was invited.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InviteError {
    /// The agent could not be enrolled either.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The name is invited already.
    #[error(
        "an invitation for this name is outstanding; cancel it with `testudo agent invite --cancel` first"
    )]
    Invited,
    /// The list is full.
    #[error("too many invitations are outstanding; cancel some with `testudo agent invite --cancel`")]
    TooMany,
    /// It would be over before it began.
    #[error("the invitation would end before it begins; give it more time")]
    Ended,
}

/// Why no invitation was cancelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UninviteError {
    /// No such invitation.
    #[error("no such invitation; see `testudo agent invite --list`")]
    Unknown,
}

/// Why a newcomer was not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// No such invitation.
    #[error("no such invitation")]
    Unknown,
    /// Its time is over.
    #[error("the invitation for {0} has expired")]
    Expired(AgentName),
    /// Too many wrong signatures.
    #[error("the invitation for {0} is void")]
    Void(AgentName),
    /// Another key has joined with it.
    #[error("the invitation for {0} was used by another key")]
    Used(AgentName),
    /// The signature is not its own. The caller owes [`Book::miss`].
    #[error("a wrong signature for the invitation of {0}")]
    WrongSignature(AgentName),
    /// It joined with this key, and the agent is out since, or has another key.
    #[error("{0} joined with this key and is not in good standing any more")]
    Out(AgentName),
    /// It cannot be enrolled.
    #[error("{0}: {1}")]
    Enrol(AgentName, EnrolError),
}

/// What a newcomer's question comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Join {
    /// The agent is to be enrolled, and the invitation spent by the same change.
    First(Change),
    /// It is enrolled since an earlier answer, which was perhaps lost.
    Again(AgentView),
}

impl Book {
    /// All invitations by id.
    pub fn invitations(&self) -> impl Iterator<Item = &Invitation> + '_ {
        self.invitations.values()
    }

    /// One invitation.
    #[must_use]
    pub fn invitation(&self, id: &InvitationId) -> Option<&Invitation> {
        self.invitations.get(id)
    }

    /// Until when somebody can get a good answer with an invitation; `None` when nobody can.
    #[must_use]
    pub fn invited_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.invitations().filter(|one| one.state(now).is_open()).map(|one| one.until).max()
    }

    /// A new invitation. `at` is now. Those whose time is over make room.
    ///
    /// # Errors
    /// [`InviteError`]; the book is as before.
    pub fn invite(&self, invitation: Invitation, at: Timestamp) -> Result<Change, InviteError> {
        let Invitation { name, ref grant, until, .. } = invitation;
        self.may_enrol(&name, grant)?;
        let live = || self.invitations().filter(|one| one.state(at) == InvitationState::Outstanding);
        if live().any(|one| one.name == name) {
            return Err(InviteError::Invited);
        }
        if self.invitations.contains_key(&invitation.id) || live().count() >= self.rules.invitations_max {
            return Err(InviteError::TooMany);
        }
        if until <= at {
            return Err(InviteError::Ended);
        }
        let fresh = Invitation { misses: 0, spent: None, ..invitation };
        Ok(self.numbered(at, ChangeKind::Invited { invitation: Box::new(fresh), ends: self.outlived(at) }))
    }

    /// Those to be forgotten when one more comes, so that the whole list stays bounded: what is not outstanding goes,
    /// the earliest end first, once there are as many of these as may be outstanding.
    fn outlived(&self, at: Timestamp) -> Vec<InvitationId> {
        let mut ended: Vec<_> = self
            .invitations()
            .filter(|one| one.state(at) != InvitationState::Outstanding)
            .map(|one| (one.until, one.id))
            .collect();
        ended.sort_unstable();
        let over = (ended.len() + 1).saturating_sub(self.rules.invitations_max);
        ended.into_iter().take(over).map(|(_, id)| id).collect()
    }

    /// Takes an invitation back, whatever its state.
    ///
    /// # Errors
    /// [`UninviteError`]; the book is as before.
    pub fn uninvite(&self, id: &InvitationId, at: Timestamp) -> Result<Change, UninviteError> {
        let name = self.invitations.get(id).ok_or(UninviteError::Unknown)?.name;
        Ok(self.numbered(at, ChangeKind::Uninvited { id: *id, name }))
    }

    /// What a newcomer's question comes to. `at` is now.
    ///
    /// # Errors
    /// [`JoinError`]; the book is as before, and after [`JoinError::WrongSignature`] the caller owes [`Book::miss`].
    pub fn join(&self, newcomer: &Newcomer, at: Timestamp) -> Result<Join, JoinError> {
        let invitation = self.invitations.get(&newcomer.id).ok_or(JoinError::Unknown)?;
        let name = invitation.name;
        match (invitation.state(at), invitation.spent) {
            (InvitationState::Expired, _) => return Err(JoinError::Expired(name)),
            (InvitationState::Void, _) => return Err(JoinError::Void(name)),
            (InvitationState::Spent | InvitationState::Outstanding, Some(key)) if key != newcomer.key => {
                return Err(JoinError::Used(name));
            }
            (InvitationState::Spent | InvitationState::Outstanding, _) => {}
        }
        if !newcomer.proves(invitation) {
            return Err(JoinError::WrongSignature(name));
        }
        let holder = Holder { name, key: newcomer.key };
        if invitation.spent.is_some() {
            let view = self.get(&name).filter(|view| view.holder == holder && view.state.is_good());
            return view.map(Join::Again).ok_or(JoinError::Out(name));
        }
        let by = Some(invitation.id);
        let change = self.enrol_by(holder, invitation.grant.clone(), by, at);
        change.map(Join::First).map_err(|error| JoinError::Enrol(name, error))
    }

    /// Counts a wrong signature; takes no number, for it gives nobody anything.
    pub fn miss(&mut self, id: &InvitationId) {
        if let Some(invitation) = self.invitations.get_mut(id) {
            invitation.misses = invitation.misses.saturating_add(1).min(MISSES_MAX);
        }
    }

    /// The invitations that a change touches, as they are once it is applied; `None` for those that are gone.
    #[must_use]
    pub fn invitations_after(&self, change: &Change) -> Vec<(InvitationId, Option<Invitation>)> {
        match &change.kind {
            ChangeKind::Invited { invitation, ends } => {
                let new = (invitation.id, Some(invitation.as_ref().clone()));
                ends.iter().map(|id| (*id, None)).chain([new]).collect()
            }
            ChangeKind::Uninvited { id, .. } => vec![(*id, None)],
            ChangeKind::Enrolled { holder, by, .. } => {
                // Whatever else was meant for this name is over: the name is taken.
                let same = self.invitations().filter(|one| one.name == holder.name);
                same.map(|one| (one.id, (Some(one.id) == *by).then(|| spent(one, holder.key)))).collect()
            }
            ChangeKind::Displaced { .. }
            | ChangeKind::DisplacedTooOften { .. }
            | ChangeKind::Narrowed { .. }
            | ChangeKind::Regranted { .. }
            | ChangeKind::Reinstated { .. }
            | ChangeKind::Revoked { .. }
            | ChangeKind::TokenRevoked { .. }
            | ChangeKind::Trusted { .. }
            | ChangeKind::Withdrawn { .. } => Vec::new(),
        }
    }
}

fn spent(invitation: &Invitation, by: PublicKey) -> Invitation {
    Invitation { spent: Some(by), ..invitation.clone() }
}
