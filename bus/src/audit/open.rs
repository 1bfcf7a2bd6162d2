//! Opening a log: recover what a kill left, refuse what a kill cannot have left, settle what is open.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testudo_rules::audit::checkpoint::{is_torn, last_whole};
use testudo_rules::audit::{Checkpoint, CheckpointError, Cut, NodeEvent, Origin, Record};
use testudo_wire::{PublicKey, RegistrySequence, SecretKey, Timestamp};
use tokio::sync::{Notify, watch};

use super::files::{self, Medium as _, Tail};
use super::reader::{DirError, cut_of};
use super::recover::{self, Scanned};
use super::retain::{Holds, remove_before};
use super::sync::{Syncer, write_checkpoint};
use super::writer::{AppendError, AuditLog, State};

/// How a log is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditConfig {
    /// Retention by size: whole segments go, the oldest first, while there are more bytes than this. `None` keeps all.
    pub keep_bytes: Option<u64>,
    /// Retention by age: a segment goes when all of its records are older. `None` keeps all.
    pub keep_for: Option<Duration>,
    /// Size above which a segment is followed by another, in bytes.
    pub segment_bytes_max: u64,
    /// Least time between two checkpoints: an auditor cannot tell a cut of what came after the last.
    pub checkpoint_interval: Duration,
    /// The log begins with the time that it is given, though its last record is of a later one (threat A51).
    pub clock_is_right: bool,
}

impl Default for AuditConfig {
    /// 64 MiB and 100 ms; everything is kept.
    fn default() -> Self {
        Self {
            keep_bytes: None,
            keep_for: None,
            segment_bytes_max: 64 * 1024 * 1024,
            checkpoint_interval: Duration::from_millis(100),
            clock_is_right: false,
        }
    }
}

/// What was found when the log was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Recovery {
    /// Records that were there.
    pub records: u64,
    /// Bytes of half a record that were cut off.
    pub recovered_bytes: u64,
    /// Copies of messages that had no outcome and are now failed by the crash.
    pub crashed: u64,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The first records of this start cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The last checkpoint cannot be trusted.
    #[error("the audit log's last checkpoint is {0}; run `testudo audit verify`")]
    Checkpoint(#[from] CheckpointError),
    /// The statement of what was removed cannot be trusted.
    #[error("the audit log's statement of removed records is {0}; restore data/audit/cut from a backup")]
    Cut(CheckpointError),
    /// A record is damaged in a way that no cut-off write explains.
    #[error("record {index} of the audit log is damaged ({what}); run `testudo audit verify`")]
    Damaged {
        /// The first bad index.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Another process writes it.
    #[error("the audit log is in use by another node; stop that one first")]
    InUse,
    /// The system refused.
    #[error("the audit log cannot be opened: {0}")]
    Io(#[from] io::Error),
    /// The last checkpoint is older than what was removed.
    #[error(
        "the audit log's last checkpoint covers {sealed} records, but {removed} were removed under a later one; \
         restore data/audit/checkpoints from a backup"
    )]
    Removed {
        /// Size of the last checkpoint.
        sealed: u64,
        /// Records that were removed.
        removed: u64,
    },
    /// Records were rewritten.
    #[error(
        "the first {sealed} records of the audit log are not those that were signed; run `testudo audit verify`"
    )]
    Rewritten {
        /// Size of the last checkpoint.
        sealed: u64,
    },
    /// Records are missing at the end.
    #[error("the audit log ends at record {records}, but {sealed} were signed; run `testudo audit verify`")]
    Shorter {
        /// Records that are there.
        records: u64,
        /// Size of the last checkpoint.
        sealed: u64,
    },
}

impl OpenError {
    fn of_cut(error: DirError) -> Self {
        match error {
            DirError::Io(error) => Self::Io(error),
            DirError::Checkpoint(error) | DirError::Cut(error) => Self::Cut(error),
            DirError::Fault(fault) => Self::Damaged { index: fault.index, what: fault.what.to_string() },
        }
    }
}

impl AuditLog {
    /// Opens the log in `dir`, or makes one. Records what a crash left unsettled, then [`NodeEvent::Started`];
    /// all of it is durable and sealed on return. `now` is what the wall clock shows: when that is earlier than what the
    /// last record says, the log goes on from there.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(
        dir: &Path,
        origin: Origin,
        key: SecretKey,
        now: Timestamp,
        registry: RegistrySequence,
    ) -> Result<(Arc<Self>, Recovery), OpenError> {
        Self::open_with(dir, origin, key, now, registry, AuditConfig::default())
    }

    /// The same with another configuration.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(
        dir: &Path,
        origin: Origin,
        key: SecretKey,
        now: Timestamp,
        registry: RegistrySequence,
        config: AuditConfig,
    ) -> Result<(Arc<Self>, Recovery), OpenError> {
        let entries = files::prepare_dir(dir)?;
        let lock = files::lock(dir)?.ok_or(OpenError::InUse)?;
        let (checkpoints, sealed) = open_checkpoints(dir, &origin, &key.public())?;
        let Cut { base } = cut_of(dir, &origin, &key.public()).map_err(OpenError::of_cut)?;
        let Scanned { frontier, unsettled, mut starts, last, torn, latest } =
            recover::scan(dir, &base, sealed)?;
        let segment = open_segment(dir, frontier.size(), last, torn)?;
        if starts.is_empty() {
            starts.push_back((frontier.size(), frontier.clone()));
        }
        remove_before(dir, base.size())?;
        entries.sync()?;
        let records = frontier.size();
        let now = if config.clock_is_right { now } else { now.max(latest) };
        let syncer = Syncer { checkpoints, sealed: sealed.map_or(0, |sealed| sealed.size), sealed_at: None };
        let log = Self {
            dir: dir.to_owned(),
            entries,
            _lock: lock,
            config,
            began: now,
            key,
            origin,
            state: Mutex::new(State::new(segment, frontier, starts)),
            syncer: tokio::sync::Mutex::new(syncer),
            holds: Holds::default(),
            written: Notify::new(),
            wanted: AtomicU64::new(0),
            hurry: Notify::new(),
            synced: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            sync_over: AtomicBool::new(false),
            sealed: Mutex::default(),
        };
        let mut recovery = Recovery { records, recovered_bytes: torn, crashed: 0 };
        for outcomes in unsettled.into_crashed() {
            recovery.crashed += outcomes.outcomes.len() as u64;
            let _ = log.append(&Record { at: now, registry, event: outcomes.into() })?;
        }
        let started = NodeEvent::Started { records, recovered_bytes: torn };
        let _ = log.append(&Record { at: now, registry, event: started.into() })?;
        let log = log.sealed_at_open()?;
        if recovery.recovered_bytes > 0 || recovery.crashed > 0 {
            let Recovery { recovered_bytes, crashed, .. } = recovery;
            tracing::warn!(recovered_bytes, crashed, "the audit log was not closed in good order");
        }
        Ok((Arc::new(log), recovery))
    }

    /// Makes what is there durable and signs it, before anything else can be written.
    fn sealed_at_open(mut self) -> Result<Self, OpenError> {
        let (segment, tree) = {
            let state = self.state();
            (state.segment.clone(), state.frontier.clone())
        };
        let (size, root) = (tree.size(), tree.root());
        segment.medium.sync()?;
        self.synced.send_replace(size);
        let note = Checkpoint { size, root }.sign(&self.origin, &self.key);
        let syncer = self.syncer.get_mut();
        syncer.checkpoints = write_checkpoint(syncer.checkpoints.clone(), &note)??;
        syncer.sealed = size;
        self.is_sealed(tree);
        Ok(self)
    }
}

/// The file of checkpoints, cut to its last whole one, and that one.
fn open_checkpoints(
    dir: &Path,
    origin: &Origin,
    key: &PublicKey,
) -> Result<(Tail, Option<Checkpoint>), OpenError> {
    let file = files::open_append(&dir.join(files::CHECKPOINTS))?;
    let (start, tail) = files::read_tail(&file, files::CHECKPOINT_TAIL_BYTES)?;
    let range = last_whole(&tail).unwrap_or(0..0);
    let torn = &tail[range.end..];
    if !is_torn(torn, origin) || (range.is_empty() && start > 0) {
        return Err(CheckpointError::Shape.into());
    }
    let len = start + range.end as u64;
    let sealed = match std::str::from_utf8(&tail[range]) {
        Ok("") => None,
        Ok(note) => Some(Checkpoint::verify(note, origin, key)?),
        Err(_) => return Err(CheckpointError::Shape.into()),
    };
    if !torn.is_empty() {
        file.set_len(len)?;
    }
    Ok((Tail::new(file, len), sealed))
}

/// The segment to go on in, cut to its last whole record.
fn open_segment(dir: &Path, size: u64, last: Option<(u64, u64)>, torn: u64) -> Result<Tail, OpenError> {
    let Some((first, len)) = last else { return Ok(Tail::new(files::create_segment(dir, size)?, 0)) };
    let file = files::open_append(&files::segment_path(dir, first))?;
    if torn > 0 {
        file.set_len(len)?;
    }
    Ok(Tail::new(file, len))
}
