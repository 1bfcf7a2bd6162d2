//! The only writer of a log: one encode, one hash, one `write(2)` for each record.
//!
//! Knows nothing of sessions or links; what may be recorded is decided by whoever calls it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};

use testudo_rules::audit::{Frontier, Origin, Record, frame};
use testudo_wire::SecretKey;
use testudo_wire::canonical::CanonicalError;
use tokio::sync::{Notify, watch};

use super::files::{self, Medium as _, Tail, TailError};
use super::open::AuditConfig;
use super::sync::Syncer;

/// Proof that a record was written: `write(2)` has returned. Only [`AuditLog::append`] makes it.
#[derive(Debug)]
#[must_use = "hand-over takes it"]
pub struct Appended {
    index: u64,
}

impl Appended {
    /// The record's index, for its outcomes and for [`AuditLog::wait_synced`].
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }
}

/// Why a record was not written. What it should have covered must not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log was shut down.
    #[error("the audit log is closed")]
    Closed,
    /// It cannot be encoded.
    #[error("a record that cannot be encoded: {0}")]
    Encode(#[from] CanonicalError),
    /// An earlier error may have lost records: nothing is recorded until the log is opened again.
    #[error("the audit log failed for good ({0}); restart the node, then run `testudo audit verify`")]
    Poisoned(String),
    /// Larger than a frame may be.
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
    /// The disk refused it; the log is as it was before, and the next record may fit again.
    #[error("the audit log cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Whether the log does its work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// Shut down in good order.
    Closed,
    /// The last record or checkpoint could not be written; the next may.
    Failing {
        /// What the system said.
        reason: String,
    },
    /// Failed for good.
    Poisoned {
        /// What the system said.
        reason: String,
    },
    /// All is well.
    Working,
}

impl Health {
    /// Whether records are being written.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        match self {
            Self::Working => true,
            Self::Closed | Self::Failing { .. } | Self::Poisoned { .. } => false,
        }
    }
}

/// The audit log of a node.
#[derive(Debug)]
pub struct AuditLog {
    pub(super) dir: PathBuf,
    /// The directory itself, whose entries must be made durable too.
    pub(super) entries: File,
    /// Held for as long as the log is.
    pub(super) _lock: File,
    pub(super) config: AuditConfig,
    pub(super) key: SecretKey,
    pub(super) origin: Origin,
    pub(super) state: Mutex<State>,
    pub(super) syncer: tokio::sync::Mutex<Syncer>,
    /// Rung by every append.
    pub(super) written: Notify,
    /// Number of records that somebody waits for to be durable.
    pub(super) wanted: AtomicU64,
    /// Rung by whoever begins to wait.
    pub(super) hurry: Notify,
    /// Number of durable records.
    pub(super) synced: watch::Sender<u64>,
    /// Whether that number will never grow again.
    pub(super) ended: watch::Sender<bool>,
}

/// What an append changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) segment: Tail,
    pub(super) frontier: Frontier,
    /// Kept for its capacity.
    pub(super) buffer: Vec<u8>,
    pub(super) health: Health,
    /// What the system said about the last checkpoint, when that failed.
    pub(super) unsealed: Option<String>,
}

impl State {
    pub(super) const fn new(segment: Tail, frontier: Frontier) -> Self {
        Self { segment, frontier, buffer: Vec::new(), health: Health::Working, unsealed: None }
    }
}

impl AuditLog {
    /// Writes a record; returns after `write(2)` did. Blocks for no longer than that, but once in a segment for
    /// the sync of the old one.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was recorded, so nothing may be delivered.
    pub fn append(&self, record: &Record) -> Result<Appended, AppendError> {
        let payload = record.encode()?;
        let mut state = self.state();
        match &state.health {
            Health::Working | Health::Failing { .. } => {}
            Health::Closed => return Err(AppendError::Closed),
            Health::Poisoned { reason } => return Err(AppendError::Poisoned(reason.clone())),
        }
        let index = self.write(&mut state, &payload)?;
        drop(state);
        self.written.notify_one();
        Ok(Appended { index })
    }

    fn write(&self, state: &mut State, payload: &[u8]) -> Result<u64, AppendError> {
        let State { segment, frontier, buffer, .. } = state;
        let index = frontier.size();
        buffer.clear();
        let leaf = frame::encode(index, payload, buffer).ok_or(AppendError::TooLarge(payload.len()))?;
        let outcome = if segment.len > 0 && segment.len + buffer.len() as u64 > self.config.segment_bytes_max
        {
            self.rotate(segment, index).and_then(|()| segment.append(buffer))
        } else {
            segment.append(buffer)
        };
        match outcome {
            Ok(()) => {
                frontier.append(leaf);
                state.health = Health::Working;
                Ok(index)
            }
            Err(TailError::RolledBack(error)) => {
                state.health = Health::Failing { reason: error.to_string() };
                Err(error.into())
            }
            Err(TailError::Torn(error)) => {
                self.poison(state, &error);
                Err(error.into())
            }
        }
    }

    /// Goes on in a new segment. The old one is made durable first, so that no later segment outlives it.
    fn rotate(&self, segment: &mut Tail, index: u64) -> Result<(), TailError> {
        segment.medium.sync().map_err(TailError::Torn)?;
        let next = files::create_segment(&self.dir, index).map_err(TailError::RolledBack)?;
        self.entries.sync().map_err(TailError::Torn)?;
        *segment = Tail::new(next, 0);
        Ok(())
    }

    /// How the log is.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.state();
        match (&state.health, &state.unsealed) {
            (Health::Working, Some(reason)) => Health::Failing { reason: reason.clone() },
            (health, _) => health.clone(),
        }
    }

    /// Number of records written.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.state().frontier.size()
    }

    pub(super) fn poison(&self, state: &mut State, error: &io::Error) {
        tracing::error!(%error, "the audit log failed for good");
        state.health = Health::Poisoned { reason: error.to_string() };
        self.ended.send_replace(true);
    }

    /// The state. A panic that left it half changed is a failure for good.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| {
            let mut state = broken.into_inner();
            self.poison(&mut state, &io::Error::other("a panic while writing"));
            self.state.clear_poison();
            state
        })
    }
}
