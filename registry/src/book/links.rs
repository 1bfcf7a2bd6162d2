//! Links and leases: who is connected, and until when silence is forgiven.
//!
//! `now` is monotonic time since node start: wall clocks jump (threats A77, A78). Nothing here is numbered.

use std::net::SocketAddr;
use std::time::Duration;

use testudo_wire::standing::{Holder, RevocationCause};
use testudo_wire::{AgentName, SessionId, Timestamp};

use super::entry::{Displacement, Link, Phase};
use super::{Book, Change, ChangeKind};

/// A proven peer that wants to be an agent's link.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// Name and key from its certificate.
    pub holder: Holder,
    /// The session that the node gave it.
    pub session: SessionId,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// The session of the link that this one renews; that one drains and is not displaced.
    pub renews: Option<SessionId>,
}

/// What a login did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admitted {
    /// The older link, which must be closed.
    pub displaced: Option<SessionId>,
    /// What the audit log must hold of it.
    pub notice: Option<Box<Change>>,
}

/// Why a login was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoginError {
    /// Two holders fight over one identity; the older link must be closed as well.
    #[error("more than three links of this agent displaced each other within a minute")]
    DisplacedTooOften {
        /// The older link, which must be closed.
        older: SessionId,
        /// The alert for the audit log, once a minute.
        notice: Option<Box<Change>>,
    },
    /// Revoked.
    #[error("the agent is revoked")]
    Revoked(RevocationCause),
    /// Not in the book.
    #[error("no agent of this name is enrolled")]
    Unknown,
    /// Another key than the book's.
    #[error("the agent is enrolled with another key")]
    WrongKey,
}

/// What a heartbeat did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beat {
    /// Nothing: not the agent's present link, or the agent is not active.
    Ignored,
    /// The lease runs for one more deadline.
    Renewed,
}

impl Book {
    /// A proven peer becomes the agent's link. A second one displaces the first.
    ///
    /// # Errors
    /// [`LoginError`]. After [`LoginError::DisplacedTooOften`] the agent has no link; else the book is as
    /// before.
    pub fn login(&mut self, login: &Login, now: Duration, at: Timestamp) -> Result<Admitted, LoginError> {
        let (sequence, until) = (self.sequence, self.deadline_from(now));
        let name = login.holder.name;
        let entry = self.agents.get_mut(&name).ok_or(LoginError::Unknown)?;
        if entry.holder.key != login.holder.key {
            return Err(LoginError::WrongKey);
        }
        if let Phase::Revoked { cause, .. } = entry.phase {
            return Err(LoginError::Revoked(cause));
        }
        let older = entry.phase.link();
        entry.last_seen = Some(at);
        let link = Link { session: login.session, remote: login.remote };
        let active = Phase::Active { link, until };
        let Some(older) = older.filter(|older| login.renews != Some(older.session)) else {
            (entry.phase, entry.latest) = (active, Some(login.session));
            return Ok(Admitted { displaced: None, notice: None });
        };
        let displacement = entry.displacements.count(now);
        let (older_at, newer) = (older.remote, login.remote);
        let notice = |kind| Some(Box::new(Change { sequence, at, kind }));
        let alert = notice(ChangeKind::DisplacedTooOften { name, older: older_at, newer });
        let notice = match displacement {
            Displacement::Fine => {
                (entry.phase, entry.latest) = (active, Some(login.session));
                let notice = notice(ChangeKind::Displaced { name, older: older_at, newer });
                return Ok(Admitted { displaced: Some(older.session), notice });
            }
            Displacement::Alert => alert,
            Displacement::Repeated => None,
        };
        entry.phase = entry.phase.unlinked();
        Err(LoginError::DisplacedTooOften { older: older.session, notice })
    }

    fn deadline_from(&self, now: Duration) -> Duration {
        now.saturating_add(self.rules.deadline())
    }

    /// The agent lives: its present link said so at `now`.
    pub fn heartbeat(&mut self, name: &AgentName, session: SessionId, now: Duration, at: Timestamp) -> Beat {
        let until = self.deadline_from(now);
        let Some(entry) = self.agents.get_mut(name) else { return Beat::Ignored };
        if entry.phase.link().is_none_or(|link| link.session != session) {
            return Beat::Ignored;
        }
        entry.phase = entry.phase.extended(until);
        entry.last_seen = Some(at);
        Beat::Renewed
    }

    /// The agent leaves on its present link: its lease ends. Returns whether anything changed.
    pub fn goodbye(&mut self, name: &AgentName, session: SessionId, at: Timestamp) -> Beat {
        match self.agents.get_mut(name) {
            Some(entry) if entry.phase.link().is_some_and(|link| link.session == session) => {
                (entry.phase, entry.latest) = (Phase::Offline, None);
                entry.last_seen = Some(at);
                Beat::Renewed
            }
            Some(_) | None => Beat::Ignored,
        }
    }

    /// A link ended without a goodbye: the lease goes on.
    pub fn link_lost(&mut self, name: &AgentName, session: SessionId) {
        if let Some(entry) = self.agents.get_mut(name)
            && entry.phase.link().is_some_and(|link| link.session == session)
        {
            entry.phase = entry.phase.unlinked();
        }
    }

    /// Time went by, see [`super::BookRules::tick`]. Returns who has been silent beyond the deadline; the caller revokes them.
    /// After a gap every lease gets one full deadline of grace instead.
    #[must_use]
    pub fn tick(&mut self, now: Duration) -> Vec<AgentName> {
        let gap = now.saturating_sub(self.last_tick);
        self.last_tick = self.last_tick.max(now);
        if gap > self.rules.tick_gap_max() {
            let grace = self.deadline_from(now);
            for entry in self.agents.values_mut() {
                entry.phase = entry.phase.extended(grace);
            }
            return Vec::new();
        }
        let silent = |phase: Phase| phase.lease().is_some_and(|until| until < now);
        let silent = self.agents.iter().filter(|(_, entry)| silent(entry.phase)).map(|(name, _)| *name);
        // The node's own agent is as alive as the node.
        silent.filter(|name| !self.is_resident(name)).collect()
    }
}
