//! Retention: whole segments go, the oldest first, and what stays still verifies, since the log's key signs what
//! the removed ones were ([`Cut`]).
//!
//! *Invariant*: nothing goes that somebody still needs: an exporter behind it, a message under way, a checkpoint
//! that is not written yet. The tree of what goes is the one that was kept while it was written, never one read
//! back: a segment that somebody edited is not made good by removing it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testudo_rules::audit::checkpoint::Notes;
use testudo_rules::audit::{Checkpoint, Cut, Frontier};
use testudo_wire::Timestamp;
use tokio::time::Instant;

use super::files::{self, Medium as _, Tail};
use super::reader::{LogReader, ReadError};
use super::sync::blocking;
use super::writer::AuditLog;
use crate::env::SharedEnv;

/// Between two looks at what may go.
const LOOK: Duration = Duration::from_secs(60);

type Hold = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Who still needs old records.
#[derive(Default)]
pub(super) struct Holds(Mutex<Vec<Hold>>);

impl std::fmt::Debug for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Holds")
    }
}

impl Holds {
    fn lowest(&self) -> u64 {
        let holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.iter().filter_map(|hold| hold()).min().unwrap_or(u64::MAX)
    }
}

/// What retention removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retained {
    /// The first record that is there now.
    pub first: u64,
    /// Segments that went.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl AuditLog {
    /// From now on no record goes that `needed` names or that comes after it: the next one that an exporter reads.
    /// `None` needs nothing.
    pub fn hold(&self, needed: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        self.holds.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(needed));
    }

    /// Removes old segments every minute, for as long as the log is open. Returns at once when all is kept.
    pub async fn run_retention(self: Arc<Self>, env: SharedEnv) {
        if self.config.keep_bytes.is_none() && self.config.keep_for.is_none() {
            return;
        }
        let mut ended = self.ended.subscribe();
        let (from, then) = (env.now(), Instant::now());
        loop {
            // Whoever sets the clock forward, or has it set, must not have the record removed: it grows old as time runs.
            let now = env.now().min(from.after(then.elapsed()));
            match self.retain(now).await {
                Ok(Some(Retained { first, segments, bytes })) => {
                    tracing::info!(first, segments, bytes, "old records of the audit log were removed");
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "old records of the audit log could not be removed"),
            }
            tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Removes what the configuration does not keep at this time. A cut that fails half way is as good as done or
    /// as good as not begun, and finished by the next one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn retain(&self, now: Timestamp) -> Result<Option<Retained>, ReadError> {
        let mut syncer = self.syncer.lock().await;
        let (starts, open, last) = {
            let state = self.state();
            let last = state.frontier.size().saturating_sub(1);
            (state.starts.iter().cloned().collect::<Vec<_>>(), state.open.first(), last)
        };
        let wish = self.wish(&starts, now)?;
        // The last record stays: it says what time it was.
        let floor = self.holds.lowest().min(open.unwrap_or(u64::MAX)).min(syncer.sealed).min(last);
        let Some(n) = (1..=wish).rev().find(|n| starts[*n].0 <= floor) else { return Ok(None) };
        let cut = Cut { base: starts[n].1.clone() };
        let first = cut.base.size();
        let note = cut.sign(&self.origin, &self.key);
        let (dir, entries, len) = (self.dir.clone(), self.entries.try_clone()?, syncer.checkpoints.len);
        let removed = blocking(move || remove(&dir, &entries, first, &note, len)).await;
        // Also when it failed half way: what is still there goes with the next cut, and is not asked for its size.
        self.state().starts.drain(..n);
        let (checkpoints, bytes) = removed?;
        syncer.checkpoints = checkpoints;
        Ok(Some(Retained { first, segments: n, bytes }))
    }

    /// How many segments need not be kept. The last one is always.
    fn wish(&self, starts: &[(u64, Frontier)], now: Timestamp) -> Result<usize, ReadError> {
        let last = starts.len().saturating_sub(1);
        let mut wish = 0;
        if let Some(most) = self.config.keep_bytes {
            let len = |first: &u64| fs::metadata(files::segment_path(&self.dir, *first)).map(|of| of.len());
            let lens = starts.iter().map(|(first, _)| len(first)).collect::<io::Result<Vec<_>>>()?;
            let mut all: u64 = lens.iter().sum();
            while wish < last && all > most {
                all -= lens[wish];
                wish += 1;
            }
        }
        if let Some(most) = self.config.keep_for {
            // All of a segment is older than the first record of the next.
            while wish < last {
                let next = LogReader::new(&self.dir, starts[wish + 1].0).next_record()?;
                let is_old = next.is_some_and(|(_, record)| record.at.after(most) < now);
                if !is_old {
                    break;
                }
                wish += 1;
            }
        }
        Ok(wish)
    }
}

/// First the statement, then the segments, then the checkpoints of what went. The new file of checkpoints, and how
/// many bytes went.
fn remove(dir: &Path, entries: &File, first: u64, note: &str, len: u64) -> io::Result<(Tail, u64)> {
    let statement = files::create_new(dir, files::CUT)?;
    statement.write_all(note.as_bytes())?;
    statement.sync()?;
    files::put_in_place(dir, files::CUT)?;
    entries.sync()?;
    let bytes = remove_before(dir, first)?;
    let checkpoints = prune(dir, first, len)?;
    // The new file is in its place whether or not that is durable: the log goes on in it.
    if let Err(error) = entries.sync() {
        tracing::warn!(%error, "the folder of the audit log could not be synced after a cut");
    }
    Ok((checkpoints, bytes))
}

/// Removes the segments before an index, the oldest first, so that what is left is always without a gap.
pub(super) fn remove_before(dir: &Path, first: u64) -> io::Result<u64> {
    let mut bytes = 0;
    for old in files::segments(dir)?.into_iter().filter(|old| *old < first) {
        let path = files::segment_path(dir, old);
        bytes += fs::metadata(&path)?.len();
        fs::remove_file(path)?;
    }
    Ok(bytes)
}

/// The file of checkpoints without those of fewer records than `first`. The last one always stays.
fn prune(dir: &Path, first: u64, len: u64) -> io::Result<Tail> {
    let old = File::open(dir.join(files::CHECKPOINTS))?;
    let file = files::create_new(dir, files::CHECKPOINTS)?;
    let (mut notes, mut out, mut kept) =
        (Notes::new(BufReader::new(old.take(len))), BufWriter::new(&file), 0);
    while let Some(note) = notes.next_note().map_err(io::Error::other)? {
        let (_, checkpoint) = Checkpoint::read(&note).map_err(io::Error::other)?;
        if checkpoint.size >= first {
            out.write_all(note.as_bytes())?;
            kept += note.len() as u64;
        }
    }
    out.flush()?;
    drop(out);
    file.sync()?;
    files::put_in_place(dir, files::CHECKPOINTS)?;
    Ok(Tail::new(file, kept))
}
