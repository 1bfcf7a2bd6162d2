//! One agent's line in the book: its phase as an enum with data, and what of it is kept on disk.
//!
//! Knows no other agent and no clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use testudo_wire::standing::{Grant, Holder, RevocationCause, State};
use testudo_wire::{AgentName, PublicKey, RegistrySequence, SessionId, Timestamp};

/// Window of the displacement count.
const DISPLACEMENT_WINDOW: Duration = Duration::from_secs(60);
/// A roaming or crashing agent displaces itself now and then; a stolen identity fights without end.
const DISPLACEMENTS_MAX: usize = 3;

/// An agent's link as the book knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Link {
    pub(crate) session: SessionId,
    pub(crate) remote: SocketAddr,
}

/// Where an agent is in its life. `until` is monotonic time since node start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Never connected: no lease.
    Enrolled,
    /// Has a link and a running lease.
    Active { link: Link, until: Duration },
    /// Lost its link without a goodbye: the lease still runs.
    Lapsing { until: Duration },
    /// Said goodbye: no lease.
    Offline,
    /// Out.
    Revoked { cause: RevocationCause, at: Timestamp },
}

impl Phase {
    /// When silence becomes revocation, if a lease runs.
    pub(crate) const fn lease(self) -> Option<Duration> {
        match self {
            Self::Active { until, .. } | Self::Lapsing { until } => Some(until),
            Self::Enrolled | Self::Offline | Self::Revoked { .. } => None,
        }
    }

    /// The same with a lease that runs at least until `until`.
    pub(crate) fn extended(self, until: Duration) -> Self {
        match self {
            Self::Active { link, until: old } => Self::Active { link, until: old.max(until) },
            Self::Lapsing { until: old } => Self::Lapsing { until: old.max(until) },
            Self::Enrolled | Self::Offline | Self::Revoked { .. } => self,
        }
    }

    /// The link, if there is one.
    pub(crate) const fn link(self) -> Option<Link> {
        match self {
            Self::Active { link, .. } => Some(link),
            Self::Enrolled | Self::Lapsing { .. } | Self::Offline | Self::Revoked { .. } => None,
        }
    }

    /// The same without its link; the lease goes on.
    pub(crate) const fn unlinked(self) -> Self {
        match self {
            Self::Active { until, .. } => Self::Lapsing { until },
            Self::Enrolled | Self::Lapsing { .. } | Self::Offline | Self::Revoked { .. } => self,
        }
    }

    /// The word that others know.
    pub(crate) const fn state(self) -> State {
        match self {
            Self::Enrolled => State::Enrolled,
            Self::Active { .. } => State::Active,
            Self::Lapsing { .. } | Self::Offline => State::Offline,
            Self::Revoked { cause, .. } => State::Revoked(cause),
        }
    }

    /// What of it is kept on disk.
    pub(crate) const fn condition(self) -> Condition {
        match self {
            Self::Enrolled => Condition::Enrolled,
            Self::Active { .. } | Self::Lapsing { .. } => Condition::Leased,
            Self::Offline => Condition::Offline,
            Self::Revoked { cause, at } => Condition::Revoked { cause, at },
        }
    }
}

/// What of a phase survives a restart: links and deadlines do not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Never connected.
    Enrolled,
    /// A lease was running; after a restart it gets one full deadline of grace.
    Leased,
    /// Said goodbye.
    Offline,
    /// Out.
    Revoked {
        /// Why.
        cause: RevocationCause,
        /// When, on the wall clock of the node.
        at: Timestamp,
    },
}

/// One agent as a store keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Name and key.
    pub holder: Holder,
    /// What it may do.
    pub grant: Arc<Grant>,
    /// Where it is in its life.
    pub condition: Condition,
    /// Tokens minted before this number are void.
    pub valid_from: RegistrySequence,
    /// When it last said anything, on the node's wall clock.
    pub last_seen: Option<Timestamp>,
}

/// A key that never comes back, and whose it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Burnt {
    /// The key.
    pub key: PublicKey,
    /// The name it belonged to.
    pub name: AgentName,
}

/// One agent as people and the command see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentView {
    /// Name and key.
    pub holder: Holder,
    /// What it may do.
    pub grant: Arc<Grant>,
    /// Where it is in its life.
    pub state: State,
    /// When it was revoked, if it is.
    pub revoked_at: Option<Timestamp>,
    /// Tokens minted before this number are void.
    pub valid_from: RegistrySequence,
    /// When it last said anything.
    pub last_seen: Option<Timestamp>,
    /// Where its link comes from, if it has one.
    pub remote: Option<SocketAddr>,
}

/// What one more displacement means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Displacement {
    /// Within the allowance.
    Fine,
    /// Too many; tell the operator.
    Alert,
    /// Too many, and the operator was told within the last minute.
    Repeated,
}

/// The recent displacements of one agent; never more than four times are held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Displacements {
    times: VecDeque<Duration>,
    alerted: Option<Duration>,
}

impl Displacements {
    /// Counts one.
    pub(crate) fn count(&mut self, now: Duration) -> Displacement {
        let recent = |at: Duration| now.saturating_sub(at) < DISPLACEMENT_WINDOW;
        self.times.retain(|at| recent(*at));
        if self.times.len() < DISPLACEMENTS_MAX {
            self.times.push_back(now);
            return Displacement::Fine;
        }
        if self.alerted.is_some_and(recent) {
            return Displacement::Repeated;
        }
        self.alerted = Some(now);
        Displacement::Alert
    }
}

/// One agent's line.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) holder: Holder,
    pub(crate) grant: Arc<Grant>,
    pub(crate) phase: Phase,
    pub(crate) valid_from: RegistrySequence,
    pub(crate) last_seen: Option<Timestamp>,
    pub(crate) displacements: Displacements,
    /// The session of its latest link, kept when that one is lost: what it said last still counts.
    pub(crate) latest: Option<SessionId>,
}

impl Entry {
    pub(crate) fn new(holder: Holder, grant: Arc<Grant>, valid_from: RegistrySequence) -> Self {
        Self {
            holder,
            grant,
            phase: Phase::Enrolled,
            valid_from,
            last_seen: None,
            displacements: Displacements::default(),
            latest: None,
        }
    }

    /// Back from disk; a lease that ran gets to run until `grace`.
    pub(crate) fn restored(record: Record, grace: Duration) -> Self {
        let phase = match record.condition {
            Condition::Enrolled => Phase::Enrolled,
            Condition::Leased => Phase::Lapsing { until: grace },
            Condition::Offline => Phase::Offline,
            Condition::Revoked { cause, at } => Phase::Revoked { cause, at },
        };
        let last_seen = record.last_seen;
        Self { phase, last_seen, ..Self::new(record.holder, record.grant, record.valid_from) }
    }

    pub(crate) fn record(&self) -> Record {
        Record {
            holder: self.holder,
            grant: Arc::clone(&self.grant),
            condition: self.phase.condition(),
            valid_from: self.valid_from,
            last_seen: self.last_seen,
        }
    }

    pub(crate) fn view(&self) -> AgentView {
        let revoked_at = match self.phase {
            Phase::Revoked { at, .. } => Some(at),
            Phase::Enrolled | Phase::Active { .. } | Phase::Lapsing { .. } | Phase::Offline => None,
        };
        AgentView {
            holder: self.holder,
            grant: Arc::clone(&self.grant),
            state: self.phase.state(),
            revoked_at,
            valid_from: self.valid_from,
            last_seen: self.last_seen,
            remote: self.phase.link().map(|link| link.remote),
        }
    }
}
