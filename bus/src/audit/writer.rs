//! The only writer of a log: one encode, one hash, one `write(2)` for each record.
//!
//! Knows nothing of sessions or links; what may be recorded is decided by whoever calls it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard};

use testudo_rules::audit::{Event, Frontier, LogHash, OpenCopies, Origin, Record, frame};
use testudo_rules::event::EventKey;
use testudo_wire::canonical::CanonicalError;
use testudo_wire::{RegistrySequence, SecretKey, Timestamp};
use tokio::sync::{Notify, watch};

use super::backlog::Backlog;
use super::files::{self, Medium as _, Tail, TailError};
use super::open::AuditConfig;
use super::retain::Holds;
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
    /// The time of its first record since it was opened.
    pub(super) began: Timestamp,
    pub(super) key: SecretKey,
    pub(super) origin: Origin,
    pub(super) state: Mutex<State>,
    pub(super) syncer: tokio::sync::Mutex<Syncer>,
    /// Who still needs old records.
    pub(super) holds: Holds,
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
    /// Whether the task that makes records durable has ended.
    pub(super) sync_over: AtomicBool,
    /// The tree of the last checkpoint that is on disk.
    pub(super) sealed: Mutex<Frontier>,
}

/// What an append changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) segment: Tail,
    pub(super) frontier: Frontier,
    /// The segments, each with its first index and the tree before it.
    pub(super) starts: VecDeque<(u64, Frontier)>,
    pub(super) open: OpenCopies,
    /// Kept for its capacity.
    pub(super) buffer: Vec<u8>,
    pub(super) health: Health,
    /// What waits for the log to be writable again.
    pub(super) backlog: Backlog,
    /// What the system said about the last checkpoint, when that failed.
    pub(super) unsealed: Option<String>,
}

impl State {
    pub(super) fn new(segment: Tail, frontier: Frontier, starts: VecDeque<(u64, Frontier)>) -> Self {
        Self {
            segment,
            frontier,
            starts,
            open: OpenCopies::default(),
            buffer: Vec::new(),
            health: Health::Working,
            backlog: Backlog::default(),
            unsealed: None,
        }
    }

    pub(super) const fn is_failing(&self) -> bool {
        match self.health {
            Health::Failing { .. } => true,
            Health::Working | Health::Closed | Health::Poisoned { .. } => false,
        }
    }
}

/// Seals the frame that was begun at `at`; only its index is still to come.
pub(super) fn sealed(at: usize, frame: &mut [u8]) -> Result<LogHash, AppendError> {
    let too_large = frame.len().saturating_sub(frame::HEADER_BYTES);
    frame::seal(at, frame).ok_or(AppendError::TooLarge(too_large))
}

impl AuditLog {
    /// Writes a record; returns after `write(2)` did, and once in a segment after the sync of the old one.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was recorded, so nothing may be delivered. Messages whose verdicts could not be
    /// written are counted into the record that says that the log could be written again.
    pub fn append(&self, record: &Record) -> Result<Appended, AppendError> {
        let mut state = self.state();
        let result = self.put(&mut state, (record.at, record.registry), |state| self.write(state, record));
        if let (Err(AppendError::Write(_)), Event::Verdicts(verdicts)) = (&result, &record.event) {
            state.backlog.refused += verdicts.envelopes.len() as u64;
        }
        drop(state);
        // Also when it failed: the log is tried again beside this.
        self.written.notify_one();
        result
    }

    /// Writes a record of what has happened already. One that cannot be written waits until the log can be written
    /// again, in order: outcomes all of them, since their messages are bounded by every queue; of other events so
    /// many, and the rest is counted.
    ///
    /// # Errors
    /// [`AppendError`] when it never will be written.
    pub fn keep(&self, record: Record) -> Result<(), AppendError> {
        let mut state = self.state();
        let put = self.put(&mut state, (record.at, record.registry), |state| self.write(state, &record));
        let result = match put {
            Err(AppendError::Write(_)) => {
                state.backlog.push(record);
                Ok(())
            }
            put => put.map(drop),
        };
        drop(state);
        self.written.notify_one();
        result
    }

    pub(super) fn put(
        &self,
        state: &mut State,
        when: (Timestamp, RegistrySequence),
        write: impl FnOnce(&mut State) -> Result<u64, AppendError>,
    ) -> Result<Appended, AppendError> {
        match &state.health {
            Health::Working | Health::Failing { .. } => {}
            Health::Closed => return Err(AppendError::Closed),
            Health::Poisoned { reason } => return Err(AppendError::Poisoned(reason.clone())),
        }
        state.backlog.seen(when);
        if let Health::Failing { reason } = &state.health {
            if !state.backlog.is_due() {
                return Err(io::Error::other(reason.clone()).into());
            }
            self.resume(state)?;
        }
        Ok(Appended { index: write(state)? })
    }

    /// After a failure, if there is room again: first what waited, then the record that says so.
    pub(super) fn resume(&self, state: &mut State) -> Result<(), AppendError> {
        if let Err(error) = files::probe(&self.dir, state.backlog.wanted()) {
            state.backlog.failed(0);
            return Err(error.into());
        }
        while let Some(record) = state.backlog.pop() {
            match self.write(state, &record) {
                Ok(_) => {}
                // It never will be, and must not keep the others from it.
                Err(AppendError::Encode(_) | AppendError::TooLarge(_)) => state.backlog.lose(),
                Err(error @ (AppendError::Closed | AppendError::Poisoned(_) | AppendError::Write(_))) => {
                    state.backlog.push_back_in(record);
                    return Err(error);
                }
            }
        }
        let Some(resumed) = state.backlog.resumed() else { return Ok(()) };
        self.write(state, &resumed)?;
        state.backlog.is_told();
        state.health = Health::Working;
        tracing::info!("the audit log can be written again");
        Ok(())
    }

    fn write(&self, state: &mut State, record: &Record) -> Result<u64, AppendError> {
        let mut frame = std::mem::take(&mut state.buffer);
        frame.clear();
        let at = frame::begin(&mut frame);
        let written = record.encode_to(&mut frame).map_err(AppendError::from).and_then(|()| {
            let leaf = sealed(at, &mut frame)?;
            self.write_frame(state, &mut frame, leaf)
        });
        state.buffer = frame;
        let index = written?;
        state.open.note(index, &record.event);
        Ok(index)
    }

    /// Writes a frame that has all but its index.
    pub(super) fn write_frame(
        &self,
        state: &mut State,
        frame: &mut [u8],
        leaf: LogHash,
    ) -> Result<u64, AppendError> {
        let index = state.frontier.size();
        frame::number(index, 0, frame);
        let (len, more) = (state.segment.len, frame.len() as u64);
        let is_full = len > 0 && len + more > self.config.segment_bytes_max;
        let room = if is_full { self.rotate(state, index) } else { Ok(()) };
        match room.and_then(|()| state.segment.append(frame).map_err(TailError::Again)) {
            Ok(()) => {
                state.frontier.append(leaf);
                Ok(index)
            }
            Err(TailError::Again(error)) => {
                if !state.is_failing() {
                    tracing::error!(%error, "the audit log cannot be written; nothing is delivered");
                }
                state.health = Health::Failing { reason: error.to_string() };
                state.backlog.failed(frame.len());
                Err(error.into())
            }
            Err(TailError::Lost(error)) => {
                self.poison(state, &error);
                Err(error.into())
            }
        }
    }

    /// Goes on in a new segment. The old one is made durable first, so that no later segment outlives it.
    fn rotate(&self, state: &mut State, index: u64) -> Result<(), TailError> {
        state.segment.mend().map_err(TailError::Again)?;
        state.segment.medium.sync().map_err(TailError::Lost)?;
        let next = files::create_segment(&self.dir, index).map_err(TailError::Again)?;
        self.entries.sync().map_err(TailError::Lost)?;
        state.segment = Tail::new(next, 0);
        state.starts.push_back((index, state.frontier.clone()));
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

    /// The folder that it is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The time with which it was opened, no earlier than its last record before.
    #[must_use]
    pub const fn began(&self) -> Timestamp {
        self.began
    }

    /// Number of records written, with those that retention removed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.state().frontier.size()
    }

    /// What signs the events that are made of its records.
    #[must_use]
    pub fn event_key(&self) -> EventKey {
        EventKey::new(&self.origin, self.key.clone())
    }

    /// The first record that is there.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.state().starts.front().map_or(0, |(first, _)| *first)
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
