//! The store and the audit journal, and what is owed to them while they fail (threats A42, F11).
//!
//! Knows nothing of links. What is owed is written from the book as it is by then, so that a write of
//! unknown outcome is simply overwritten.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use testudo_wire::{AgentName, InvitationId, TokenFactId};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Journal, JournalError, WallClock};
use crate::book::{Book, Change, ChangeKind};
use crate::store::{Batch, Store, StoreError};

/// A disk that takes longer keeps no revocation waiting: it takes effect, and the write goes on.
const PATIENCE: Duration = Duration::from_secs(1);
/// Records under way at once; bounds what a mass revocation asks of the audit log.
const RECORDS_AT_ONCE: usize = 256;

/// Whether everything that was decided is on disk, rows and records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Durability {
    Durable,
    Owed,
}

/// A write that did not succeed, or whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Failed(#[from] StoreError),
    #[error("the registry store panicked; restart the node")]
    Lost,
    #[error("the registry store does not answer; check the disk")]
    Stalled,
}

struct Done {
    store: Box<dyn Store>,
    result: Result<(), StoreError>,
}

/// The store is in one hand at a time; calls on it block and so are made elsewhere.
enum Slot {
    Busy(JoinHandle<Done>),
    Idle(Box<dyn Store>),
    Lost,
}

/// Rows to be written, by what they are about; what they say is read from the book when they are written.
#[derive(Default)]
struct Rows {
    agents: BTreeSet<AgentName>,
    tokens: BTreeSet<TokenFactId>,
    invitations: BTreeSet<InvitationId>,
    trust: bool,
}

impl Rows {
    fn len(&self) -> usize {
        self.agents.len() + self.tokens.len() + self.invitations.len() + usize::from(self.trust)
    }

    fn append(&mut self, mut other: Self) {
        self.agents.append(&mut other.agents);
        self.tokens.append(&mut other.tokens);
        self.invitations.append(&mut other.invitations);
        self.trust |= other.trust;
    }

    fn batch(&self, book: &Book) -> Batch {
        let Self { agents, tokens, invitations, trust } = self;
        Batch {
            sequence: book.sequence(),
            agents: agents.iter().filter_map(|name| book.record(name)).collect(),
            gone: agents.iter().filter(|name| book.get(name).is_none()).copied().collect(),
            burnt: agents.iter().filter_map(|name| book.burnt(name)).collect(),
            tokens: tokens.iter().copied().collect(),
            invitations: invitations.iter().filter_map(|id| book.invitation(id).cloned()).collect(),
            uninvited: invitations.iter().filter(|id| book.invitation(id).is_none()).copied().collect(),
            trust: book.trusted().mark.filter(|_| *trust),
        }
    }
}

#[derive(Default)]
struct Owed {
    rows: Rows,
    /// What a write that has not ended will have written.
    under_way: Rows,
    /// At most four for an agent (silent, failed, operator, compromised) and one for a token.
    records: VecDeque<Change>,
    /// Links came or went: worth a row, not worth refusing anything.
    presence: BTreeSet<AgentName>,
}

pub(super) struct Vault {
    slot: Slot,
    journal: Arc<dyn Journal>,
    clock: WallClock,
    owed: Owed,
    /// How the latest write and the latest record went.
    write_failed: bool,
    record_failed: bool,
}

impl Vault {
    pub(super) fn new(store: Box<dyn Store>, journal: Arc<dyn Journal>, clock: WallClock) -> Self {
        let (slot, owed) = (Slot::Idle(store), Owed::default());
        Self { slot, journal, clock, owed, write_failed: false, record_failed: false }
    }

    /// How many changes wait for the audit log, or for the store if those are more.
    pub(super) fn backlog(&self) -> usize {
        self.owed.records.len().max(self.owed.rows.len() + self.owed.under_way.len())
    }

    /// Whether store or audit log failed when last used.
    pub(super) const fn is_failing(&self) -> bool {
        self.write_failed || self.record_failed
    }

    /// Whether verbs that need the disk first may begin.
    pub(super) fn is_ready(&self) -> bool {
        self.backlog() == 0 && matches!(self.slot, Slot::Idle(_))
    }

    /// Owes the rows and the record of a change that is in effect.
    pub(super) fn owe(&mut self, change: Change) {
        self.owed.rows.agents.extend(change.kind.agent());
        match &change.kind {
            ChangeKind::TokenRevoked { id } => {
                self.owed.rows.tokens.insert(*id);
            }
            ChangeKind::Trusted { .. } => self.owed.rows.trust = true,
            ChangeKind::Uninvited { id, .. } => self.owe_invitation(*id),
            ChangeKind::Withdrawn { invitations, .. } => self.owed.rows.invitations.extend(invitations),
            ChangeKind::Displaced { .. }
            | ChangeKind::DisplacedTooOften { .. }
            | ChangeKind::Enrolled { .. }
            | ChangeKind::Invited { .. }
            | ChangeKind::Narrowed { .. }
            | ChangeKind::Regranted { .. }
            | ChangeKind::Reinstated { .. }
            | ChangeKind::Revoked { .. } => {}
        }
        self.owed.records.push_back(change);
    }

    /// Owes the row of an invitation that is otherwise now than on disk.
    pub(super) fn owe_invitation(&mut self, id: InvitationId) {
        self.owed.rows.invitations.insert(id);
    }

    /// An agent's link came or went.
    pub(super) fn note_presence(&mut self, name: AgentName) {
        self.owed.presence.insert(name);
    }

    /// Writes one batch; the outcome is unknown after an error.
    pub(super) async fn write(&mut self, batch: Batch) -> Result<(), WriteError> {
        let result = self.try_write(batch).await;
        self.write_failed = result.is_err();
        result
    }

    async fn try_write(&mut self, batch: Batch) -> Result<(), WriteError> {
        let mut job = match std::mem::replace(&mut self.slot, Slot::Lost) {
            Slot::Lost => return Err(WriteError::Lost),
            Slot::Busy(job) => {
                self.slot = Slot::Busy(job);
                return Err(WriteError::Stalled);
            }
            Slot::Idle(store) => start(store, batch),
        };
        let Ok(ended) = timeout(PATIENCE, &mut job).await else {
            self.slot = Slot::Busy(job);
            return Err(WriteError::Stalled);
        };
        let done = ended.map_err(|_| WriteError::Lost)?;
        self.slot = Slot::Idle(done.store);
        Ok(done.result?)
    }

    /// Records one change and waits until that is durable.
    pub(super) async fn record(&mut self, change: &Change) -> Result<(), JournalError> {
        let result = self.try_record(change).await;
        self.record_failed = result.is_err();
        result
    }

    /// Records a notice. One that fails is owed, and until it is paid no other is taken.
    pub(super) async fn note(&mut self, notice: &Change) -> Result<(), JournalError> {
        if self.backlog() > 0 {
            return Err(JournalError("earlier records wait".into()));
        }
        let result = self.record(notice).await;
        if result.is_err() {
            self.owed.records.push_back(notice.clone());
        }
        result
    }

    async fn try_record(&self, change: &Change) -> Result<(), JournalError> {
        let recorded = self.journal.record(change, (self.clock)());
        timeout(PATIENCE, recorded).await.unwrap_or_else(|_| Err(JournalError("no answer".into())))
    }

    /// Writes and records all that is owed, the rows first; gives up on either when patience ends.
    pub(super) async fn flush(&mut self, book: &Book) -> Durability {
        if let Err(error) = self.flush_rows(book).await {
            let backlog = self.backlog();
            tracing::error!(%error, backlog, "registry changes are in effect but not stored");
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.owed.records.is_empty() && Instant::now() < deadline {
            if let Err(error) = self.flush_records(deadline).await {
                let backlog = self.backlog();
                tracing::error!(%error, backlog, "registry changes are in effect but not recorded");
                break;
            }
        }
        if self.backlog() == 0 { Durability::Durable } else { Durability::Owed }
    }

    async fn flush_rows(&mut self, book: &Book) -> Result<(), WriteError> {
        self.reclaim().await;
        if self.owed.rows.len() + self.owed.under_way.len() == 0 {
            return Ok(());
        }
        if matches!(self.slot, Slot::Idle(_)) {
            self.owed.under_way = std::mem::take(&mut self.owed.rows);
        }
        let result = self.write(self.owed.under_way.batch(book)).await;
        // While the write goes on its outcome is open.
        if !matches!(self.slot, Slot::Busy(_)) {
            self.settle(result.is_ok().then_some(()));
        }
        result
    }

    /// A write has ended, well if `done`: what it did not write is owed as before.
    fn settle(&mut self, done: Option<()>) {
        let rows = std::mem::take(&mut self.owed.under_way);
        if done.is_none() {
            self.owed.rows.append(rows);
        }
    }

    /// Records the oldest ones side by side; keeps all from the first failure on.
    async fn flush_records(&mut self, deadline: Instant) -> Result<(), JournalError> {
        let records =
            join_all(self.owed.records.iter().take(RECORDS_AT_ONCE).map(|change| self.try_record(change)));
        let Ok(ends) = timeout_at(deadline, records).await else {
            self.record_failed = true;
            return Err(JournalError("no answer".into()));
        };
        let good = ends.iter().take_while(|end| end.is_ok()).count();
        self.record_failed = good < ends.len();
        self.owed.records.drain(..good);
        ends.into_iter().collect()
    }

    /// Writes who is connected; only while nothing else is owed.
    pub(super) async fn flush_presence(&mut self, book: &Book) {
        if self.owed.presence.is_empty() || !self.is_ready() {
            return;
        }
        let agents = self.owed.presence.iter().filter_map(|name| book.record(name)).collect();
        let batch = Batch { sequence: book.sequence(), agents, ..Batch::default() };
        match self.write(batch).await {
            Ok(()) => self.owed.presence.clear(),
            Err(error) => tracing::warn!(%error, "who is connected could not be stored"),
        }
    }

    /// Takes the store back from a write that has ended meanwhile.
    pub(super) async fn reclaim(&mut self) {
        if let Slot::Busy(job) = &mut self.slot
            && job.is_finished()
        {
            let (slot, done) = match job.await {
                Ok(done) => (Slot::Idle(done.store), done.result.ok()),
                Err(_) => (Slot::Lost, None),
            };
            self.slot = slot;
            self.write_failed = done.is_none();
            self.settle(done);
        }
    }
}

fn start(mut store: Box<dyn Store>, batch: Batch) -> JoinHandle<Done> {
    spawn_blocking(move || {
        let result = store.commit(&batch);
        Done { store, result }
    })
}
