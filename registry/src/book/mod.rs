//! The book: who belongs to the swarm, with which key, grant, lease and standing.
//!
//! A pure state machine: no clock, no I/O, no randomness. Verbs that change what others judge by return a
//! numbered [`Change`] and leave the book as it is; [`Book::apply`] makes the change so. That way it can be
//! made durable first. Links and leases change in place: they are neither numbered nor published.
//! Called by the registry actor alone.

mod amend;
mod change;
mod entry;
mod invitation;
mod links;
mod resident;
mod trusted;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use testudo_wire::standing::{Grant, RevocationCause};
use testudo_wire::{AgentName, InvitationId, PublicKey, RegistrySequence, Timestamp, TokenFactId};

pub use change::{Change, ChangeKind};
pub use entry::{AgentView, Burnt, Condition, Record};
use entry::{Entry, Phase};
pub use invitation::{
    Invitation, InvitationState, InviteError, Join, JoinError, MISSES_MAX, Newcomer, UninviteError,
};
pub use links::{Admitted, Beat, Login, LoginError};
pub use resident::HouseError;
pub use trusted::{TrustMark, Trusted, TrustedError};
pub use verbs::{EnrolError, FailError, GrantError, ReinstateError, RevokeError, TokenError};

use crate::snapshot::Standing;
use crate::store::Contents;

/// What silence does to an agent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnSilence {
    /// Revoked until an operator reinstates it.
    #[default]
    Revoke,
    /// Revoked until its next login, which reinstates it; it needs new tokens all the same.
    Suspend,
}

/// The bounds and times of a book.
#[derive(Clone, Copy, Debug)]
pub struct BookRules {
    /// Names in the book, revoked ones included: bounds memory and the directory (threat A41).
    pub agents_max: usize,
    /// Burnt keys at which enrolment stops, since every enrolment may burn one more.
    pub burnt_max: usize,
    /// Revoked token ids.
    pub tokens_max: usize,
    /// Invitations that may be outstanding at once; as many that are not are remembered.
    pub invitations_max: usize,
    /// Capabilities in each list of a grant.
    pub capabilities_max: usize,
    /// How often an agent says that it lives; the deadline is two of these.
    pub interval: Duration,
    /// What silence does.
    pub on_silence: OnSilence,
    /// The name that is kept for the node's own agent: nobody is enrolled under it.
    pub resident: Option<AgentName>,
}

/// Between two ticks at most.
const TICK_MAX: Duration = Duration::from_secs(1);
/// No pause of the node, whatever the interval.
const TICK_GAP_MAX: Duration = Duration::from_secs(3);

impl Default for BookRules {
    fn default() -> Self {
        Self {
            agents_max: 10_000,
            burnt_max: 100_000,
            tokens_max: 100_000,
            invitations_max: 64,
            capabilities_max: 256,
            interval: Duration::from_secs(30),
            on_silence: OnSilence::Revoke,
            resident: None,
        }
    }
}

impl BookRules {
    /// How long an agent may be silent: two heartbeat intervals.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.interval.saturating_mul(2)
    }

    /// How often the book looks who is silent: every second, and four times in an interval that is short.
    #[must_use]
    pub fn tick(&self) -> Duration {
        TICK_MAX.min(self.interval / 4)
    }

    /// A longer gap between two ticks means that the node slept, not that its agents did (threat F18). Whoever spoke
    /// within an interval before a shorter one is not beyond the deadline after it.
    pub(crate) fn tick_gap_max(&self) -> Duration {
        TICK_GAP_MAX.min(self.interval / 2)
    }
}

/// Why a stored book makes no sense. The store is damaged or was edited: restore a backup.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// Two names with one key, or one name twice.
    #[error("agent {0} is in the store twice, or shares its key with another: restore a backup")]
    Duplicate(AgentName),
    /// An agent in good standing has a burnt key.
    #[error("agent {0} is in good standing with a burnt key: restore a backup")]
    BurntKey(AgentName),
    /// An operator's revocation without its burnt key.
    #[error("agent {0} was revoked for good but its key is not burnt: restore a backup")]
    NotBurnt(AgentName),
    /// A number beyond the store's own.
    #[error("agent {0} has a valid-from beyond the registry sequence: restore a backup")]
    Future(AgentName),
    /// A grant that no verb would make.
    #[error("agent {0} may delegate what it may not do: restore a backup")]
    Grant(AgentName),
    /// One invitation twice.
    #[error("an invitation for {0} is in the store twice: restore a backup")]
    Invitation(AgentName),
}

/// The book itself.
#[derive(Debug)]
pub struct Book {
    agents: BTreeMap<AgentName, Entry>,
    keys: BTreeMap<PublicKey, AgentName>,
    burnt: BTreeMap<PublicKey, AgentName>,
    tokens: BTreeSet<TokenFactId>,
    invitations: BTreeMap<InvitationId, Invitation>,
    sequence: RegistrySequence,
    trusted: Trusted,
    rules: BookRules,
    /// The node's own agent, once there is one.
    resident: Option<AgentName>,
    last_tick: Duration,
}

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new(rules: BookRules) -> Self {
        Self {
            agents: BTreeMap::new(),
            keys: BTreeMap::new(),
            burnt: BTreeMap::new(),
            tokens: BTreeSet::new(),
            invitations: BTreeMap::new(),
            sequence: RegistrySequence(0),
            trusted: Trusted::default(),
            rules,
            resident: None,
            last_tick: Duration::ZERO,
        }
    }

    /// The book as it was stored. Every lease that ran gets one full deadline from `now`.
    ///
    /// # Errors
    /// [`RestoreError`] when the contents could not have come from a book.
    pub fn restore(contents: Contents, rules: BookRules, now: Duration) -> Result<Self, RestoreError> {
        let mut book = Self { sequence: contents.sequence, last_tick: now, ..Self::new(rules) };
        book.burnt = contents.burnt.into_iter().map(|burnt| (burnt.key, burnt.name)).collect();
        book.tokens = contents.tokens.into_iter().collect();
        book.trusted.mark = contents.trust;
        for invitation in contents.invitations {
            if let Some(twice) = book.invitations.insert(invitation.id, invitation) {
                return Err(RestoreError::Invitation(twice.name));
            }
        }
        let grace = now.saturating_add(rules.deadline());
        for record in contents.agents {
            book.check(&record)?;
            let name = record.holder.name;
            let other_key = book.keys.insert(record.holder.key, name);
            let other_name = book.agents.insert(name, Entry::restored(record, grace));
            if other_key.is_some() || other_name.is_some() {
                return Err(RestoreError::Duplicate(name));
            }
        }
        Ok(book)
    }

    fn check(&self, record: &Record) -> Result<(), RestoreError> {
        let name = record.holder.name;
        let burnt = self.burnt.contains_key(&record.holder.key);
        let must_be_burnt = match record.condition {
            Condition::Enrolled | Condition::Leased | Condition::Offline => false,
            Condition::Revoked { cause, .. } => burns(cause),
        };
        match (burnt, must_be_burnt) {
            (true, false) => return Err(RestoreError::BurntKey(name)),
            (false, true) => return Err(RestoreError::NotBurnt(name)),
            (true, true) | (false, false) => {}
        }
        if record.valid_from > self.sequence {
            return Err(RestoreError::Future(name));
        }
        let Grant { right, delegatable, .. } = record.grant.as_ref();
        if delegatable.is_subset(right) { Ok(()) } else { Err(RestoreError::Grant(name)) }
    }

    /// The number of the latest change.
    #[must_use]
    pub const fn sequence(&self) -> RegistrySequence {
        self.sequence
    }

    /// The rules it was made with.
    #[must_use]
    pub const fn rules(&self) -> &BookRules {
        &self.rules
    }

    /// One agent.
    #[must_use]
    pub fn get(&self, name: &AgentName) -> Option<AgentView> {
        self.enrolled(name).map(Entry::view)
    }

    /// All agents by name, without the node's own.
    pub fn list(&self) -> impl Iterator<Item = AgentView> + '_ {
        self.agents.values().filter(|entry| !self.is_resident(&entry.holder.name)).map(Entry::view)
    }

    /// What the directory says of one agent.
    #[must_use]
    pub fn standing(&self, name: &AgentName) -> Option<Standing> {
        self.agents.get(name).map(|entry| self.standing_of(entry))
    }

    /// What the directory says of everyone.
    pub fn standings(&self) -> impl Iterator<Item = (AgentName, Standing)> + '_ {
        self.agents.iter().map(|(name, entry)| (*name, self.standing_of(entry)))
    }

    fn standing_of(&self, entry: &Entry) -> Standing {
        let revoked = match entry.phase {
            Phase::Revoked { cause, .. } => Some(cause),
            Phase::Enrolled | Phase::Active { .. } | Phase::Lapsing { .. } | Phase::Offline => None,
        };
        let returns = self.returns(entry.phase);
        let (key, grant) = (entry.holder.key, entry.grant.clone());
        Standing { key, revoked, returns, valid_from: entry.valid_from, grant }
    }

    /// The ids of all revoked tokens.
    pub fn revoked_tokens(&self) -> impl Iterator<Item = TokenFactId> + '_ {
        self.tokens.iter().copied()
    }

    /// One agent as it is to be stored; the node's own never is.
    #[must_use]
    pub fn record(&self, name: &AgentName) -> Option<Record> {
        self.enrolled(name).map(Entry::record)
    }

    /// One agent as it is to be stored once `change` is applied; `None` when the change touches nobody.
    #[must_use]
    pub fn record_after(&self, change: &Change) -> Option<Record> {
        self.entry_after(change).map(|entry| entry.record())
    }

    /// The burnt key of an agent, if its present key is burnt.
    #[must_use]
    pub fn burnt(&self, name: &AgentName) -> Option<Burnt> {
        let key = self.agents.get(name)?.holder.key;
        self.burnt.get(&key).map(|name| Burnt { key, name: *name })
    }

    /// Makes a change so. Changes are applied once each, in the order of their numbers.
    pub fn apply(&mut self, change: &Change) {
        if !change.kind.is_numbered() {
            return;
        }
        self.sequence = self.sequence.max(change.sequence);
        for (id, invitation) in self.invitations_after(change) {
            self.invitations.remove(&id);
            self.invitations.extend(invitation.map(|invitation| (id, invitation)));
        }
        match &change.kind {
            ChangeKind::TokenRevoked { id } => {
                self.tokens.insert(*id);
            }
            ChangeKind::Revoked { holder, cause } if burns(*cause) => {
                self.burnt.insert(holder.key, holder.name);
            }
            ChangeKind::Enrolled { replaces: Some(old), .. } => {
                self.keys.remove(old);
            }
            ChangeKind::Trusted { trusted } => self.go_by(trusted.clone()),
            ChangeKind::Displaced { .. }
            | ChangeKind::DisplacedTooOften { .. }
            | ChangeKind::Enrolled { .. }
            | ChangeKind::Invited { .. }
            | ChangeKind::Narrowed { .. }
            | ChangeKind::Regranted { .. }
            | ChangeKind::Reinstated { .. }
            | ChangeKind::Revoked { .. }
            | ChangeKind::Uninvited { .. }
            | ChangeKind::Withdrawn { .. } => {}
        }
        if let Some(entry) = self.entry_after(change) {
            self.keys.insert(entry.holder.key, entry.holder.name);
            self.agents.insert(entry.holder.name, entry);
        }
    }

    /// The line that a change leaves behind; `None` when it touches no agent.
    fn entry_after(&self, change: &Change) -> Option<Entry> {
        let known = |name: &AgentName| self.agents.get(name).cloned();
        let valid_from = change.sequence;
        match &change.kind {
            ChangeKind::Enrolled { holder, grant, .. } => {
                // A key is new when it is enrolled, so no token of its holder can be older: whoever is
                // enrolled later can be handed a part of a token that was minted before.
                Some(Entry::new(**holder, grant.clone(), RegistrySequence(0)))
            }
            ChangeKind::Narrowed { name, grant } | ChangeKind::Regranted { name, grant } => {
                Some(Entry { grant: grant.clone(), valid_from, ..known(name)? })
            }
            ChangeKind::Reinstated { name } => {
                Some(Entry { phase: Phase::Offline, valid_from, ..known(name)? })
            }
            ChangeKind::Revoked { holder, cause } => {
                let phase = Phase::Revoked { cause: *cause, at: change.at };
                Some(Entry { phase, valid_from, latest: None, ..known(&holder.name)? })
            }
            ChangeKind::Invited { .. }
            | ChangeKind::TokenRevoked { .. }
            | ChangeKind::Trusted { .. }
            | ChangeKind::Uninvited { .. }
            | ChangeKind::Withdrawn { .. }
            | ChangeKind::Displaced { .. }
            | ChangeKind::DisplacedTooOften { .. } => None,
        }
    }

    fn numbered(&self, at: Timestamp, kind: ChangeKind) -> Change {
        Change { sequence: self.sequence.next(), at, kind }
    }
}

/// Whether a revocation for this cause burns the key for ever.
const fn burns(cause: RevocationCause) -> bool {
    match cause {
        RevocationCause::Compromised | RevocationCause::Operator => true,
        RevocationCause::Failed | RevocationCause::Silent => false,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tests_support;
