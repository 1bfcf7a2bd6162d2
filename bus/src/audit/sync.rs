//! Making records durable beside the appends, in groups, and signing what is durable.
//!
//! One `fdatasync` at a time, on the blocking pool; whatever was written meanwhile goes with the next. It starts at
//! once when somebody waits for it, and within [`GROUP`] when nobody does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use testudo_rules::audit::{Checkpoint, Frontier};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backlog::RETRY;
use super::files::Tail;
use super::writer::{AuditLog, Health};

/// How long records for which nobody waits are gathered: every sync takes a thread and the disk.
const GROUP: Duration = Duration::from_millis(5);

/// The record is not known to be durable and never will be: the log failed or was closed before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit log ended before the record was durable")]
pub struct NotDurable;

/// What only one sync at a time may touch.
#[derive(Debug)]
pub(super) struct Syncer {
    pub(super) checkpoints: Tail,
    /// Size of the last checkpoint.
    pub(super) sealed: u64,
    /// When it was written, or tried.
    pub(super) sealed_at: Option<Instant>,
}

/// When a checkpoint is to be written.
#[derive(Clone, Copy)]
enum Seal {
    AtOnce,
    WhenDue,
}

/// Says that the task is at its end, however it came to it.
struct End<'a>(&'a AuditLog);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.sync_over.store(true, Ordering::Release);
        let mut state = self.0.state();
        match state.health {
            Health::Working | Health::Failing { .. } => {}
            Health::Closed | Health::Poisoned { .. } => return,
        }
        let reason = "the task that makes it durable has ended".to_owned();
        if std::thread::panicking() {
            tracing::error!(reason, "the audit log failed for good");
        }
        state.health = Health::Poisoned { reason };
        self.0.ended.send_replace(true);
    }
}

/// What there is to make durable.
struct Written {
    segment: Tail,
    tree: Frontier,
}

impl AuditLog {
    /// Makes records durable until the log is shut down or fails. Spawn it once, on a runtime with time. Should it end
    /// before, by a panic or because its task was aborted, the log fails for good: nobody makes its records durable or
    /// signs them any more.
    pub async fn run_sync(self: Arc<Self>) {
        let _end = End(&self);
        let mut ended = self.ended.subscribe();
        loop {
            let retry = self.retry();
            let mut syncer = self.syncer.lock().await;
            let due = self.sync(&mut syncer, Seal::WhenDue).await;
            drop(syncer);
            let due = [due, retry].into_iter().flatten().min();
            let seal = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => return,
                () = self.written.notified() => {}
                () = seal => {}
            }
            if !self.is_wanted() {
                tokio::select! {
                    biased;
                    _ = ended.wait_for(|ended| *ended) => return,
                    () = self.hurry.notified() => {}
                    () = tokio::time::sleep(GROUP) => {}
                }
            }
        }
    }

    /// Whether a task that made records durable has ended, in good order or not.
    #[must_use]
    pub fn is_sync_over(&self) -> bool {
        self.sync_over.load(Ordering::Acquire)
    }

    /// Whether somebody waits for a record that is not durable yet.
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) > *self.synced.borrow()
    }

    /// Tries a log again that cannot be written, with what waits for it; when that fails, at what time next. Nobody
    /// need send a message to find out that there is room again.
    fn retry(&self) -> Option<Instant> {
        let mut state = self.state();
        if state.is_failing() && state.backlog.is_due() {
            let _ = self.resume(&mut state);
        }
        state.is_failing().then(|| Instant::now() + RETRY)
    }

    /// The number of durable records, as it grows.
    #[must_use]
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.synced.subscribe()
    }

    /// Returns when the record at `index` is durable.
    ///
    /// # Errors
    /// [`NotDurable`] when it never will be.
    pub async fn wait_synced(&self, index: u64) -> Result<(), NotDurable> {
        let (mut synced, mut ended) = (self.synced.subscribe(), self.ended.subscribe());
        // In this order: whoever does not see the wish hears the bell.
        self.wanted.fetch_max(index.saturating_add(1), Ordering::AcqRel);
        self.hurry.notify_one();
        tokio::select! {
            biased;
            _ = synced.wait_for(|synced| *synced > index) => Ok(()),
            _ = ended.wait_for(|ended| *ended) => {
                if *self.synced.borrow() > index { Ok(()) } else { Err(NotDurable) }
            }
        }
    }

    /// Closes the log: no further record, a last sync, a last checkpoint.
    ///
    /// # Errors
    /// [`NotDurable`] when the log failed, now or before.
    pub async fn shutdown(&self) -> Result<(), NotDurable> {
        {
            let mut state = self.state();
            // What waits is written now or never.
            if state.is_failing() {
                let _ = self.resume(&mut state);
            }
            match state.health {
                Health::Working | Health::Failing { .. } => state.health = Health::Closed,
                Health::Closed | Health::Poisoned { .. } => {}
            }
        }
        let mut syncer = self.syncer.lock().await;
        self.sync(&mut syncer, Seal::AtOnce).await;
        self.ended.send_replace(true);
        let all_written = self.state().backlog.is_empty();
        if all_written && *self.synced.borrow() >= self.records() { Ok(()) } else { Err(NotDurable) }
    }

    /// One sync, if there is something to sync, and one checkpoint, if it is due. When not, at what time.
    async fn sync(&self, syncer: &mut Syncer, seal: Seal) -> Option<Instant> {
        let written = self.written()?;
        let size = written.tree.size();
        if size > *self.synced.borrow() {
            let segment = written.segment.medium;
            if let Err(error) = blocking(move || segment.sync()).await {
                self.poison(&mut self.state(), &error);
                return None;
            }
            self.synced.send_replace(size);
        }
        if size <= syncer.sealed {
            return None;
        }
        let due = syncer.sealed_at.map(|at| at + self.config.checkpoint_interval);
        match (seal, due) {
            (Seal::WhenDue, Some(due)) if due > Instant::now() => Some(due),
            (Seal::WhenDue | Seal::AtOnce, _) => self.seal(syncer, written.tree).await,
        }
    }

    /// What is written by now; `None` when the log failed.
    fn written(&self) -> Option<Written> {
        let state = self.state();
        match state.health {
            Health::Poisoned { .. } => None,
            Health::Closed | Health::Failing { .. } | Health::Working => {
                Some(Written { segment: state.segment.clone(), tree: state.frontier.clone() })
            }
        }
    }

    /// Writes a checkpoint; when that fails, says when to try again.
    async fn seal(&self, syncer: &mut Syncer, tree: Frontier) -> Option<Instant> {
        let now = Instant::now();
        syncer.sealed_at = Some(now);
        let checkpoint = Checkpoint { size: tree.size(), root: tree.root() };
        let note = checkpoint.sign(&self.origin, &self.key);
        let tail = syncer.checkpoints.clone();
        match blocking(move || write_checkpoint(tail, &note)).await {
            Ok(Ok(tail)) => {
                syncer.checkpoints = tail;
                syncer.sealed = checkpoint.size;
                self.is_sealed(tree);
                self.state().unsealed = None;
                None
            }
            Ok(Err(error)) => {
                self.state().unsealed = Some(format!("checkpoint: {error}"));
                Some(now + self.config.checkpoint_interval)
            }
            Err(error) => {
                self.poison(&mut self.state(), &error);
                None
            }
        }
    }
}

/// Appends a note and makes it durable. The outer error is one of `fdatasync`, the inner one of the write, which
/// may be tried again.
pub(super) fn write_checkpoint(mut tail: Tail, note: &str) -> io::Result<io::Result<Tail>> {
    // A write that failed before may have left a part, if it could not be taken back then.
    if let Err(error) = tail.medium.set_len(tail.len) {
        return Ok(Err(error));
    }
    match tail.append(note.as_bytes()) {
        Ok(()) => tail.medium.sync().map(|()| Ok(tail)),
        Err(error) => Ok(Err(error)),
    }
}

/// Runs blocking work on the pool; a panic or a runtime that ends is an error like any other.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
