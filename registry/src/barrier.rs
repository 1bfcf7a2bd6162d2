//! The barrier between a revocation and its answer: every link writer has said that it works under the new
//! directory, or is closed (design.md, section 7, promise 1).
//!
//! A writer acknowledges a sequence once every byte that it hands over from now on is checked against a
//! snapshot of that sequence or a later one. Knows nothing of links but their name and how to close them.
//!
//! The order of steps that promise 1 rests on is here and nowhere else: [`WriterBarrier::wait`] for the registry,
//! [`WriterSlot::catch_up`] and [`WriterSlot::look_again`] for writers. `tests/handover.rs` runs this very file under
//! random interleavings.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use testudo_wire::{AgentName, RegistrySequence};
use tokio::sync::Notify;

use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};

/// A directory that says which registry sequence it stands for.
pub trait Numbered {
    /// The sequence.
    fn sequence(&self) -> RegistrySequence;
}

/// Closes a link at once: after it returns, its writer hands over nothing more.
pub type Closer = Arc<dyn Fn() + Send + Sync>;

/// The writers of one node. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct WriterBarrier {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    table: Mutex<Table>,
    acknowledged: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    writers: BTreeMap<u64, Writer>,
}

#[derive(Clone)]
struct Writer {
    name: AgentName,
    acknowledged: Arc<AtomicU64>,
    close: Closer,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A writer that did not acknowledge in time and was closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Laggard {
    /// Whose link it wrote to.
    pub name: AgentName,
    /// Its number at this barrier.
    pub writer: u64,
}

impl Writer {
    fn is_behind(&self, sequence: RegistrySequence) -> bool {
        self.acknowledged.load(Ordering::Acquire) < sequence.0
    }
}

impl Table {
    fn behind(&self, sequence: RegistrySequence) -> Vec<u64> {
        self.writers.iter().filter(|(_, writer)| writer.is_behind(sequence)).map(|(id, _)| *id).collect()
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterBarrier {
    /// A barrier without writers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new writer to the link of `name`. `holds` is the sequence of a snapshot that it loaded already.
    /// `close` is called at most once, from the registry, and must not block.
    #[must_use = "a dropped slot takes its writer off the barrier"]
    pub fn register(&self, name: AgentName, holds: RegistrySequence, close: Closer) -> WriterSlot {
        let acknowledged = Arc::new(AtomicU64::new(holds.0));
        let writer = Writer { name, acknowledged: Arc::clone(&acknowledged), close };
        let mut table = self.inner.table();
        let id = table.next;
        table.next += 1;
        table.writers.insert(id, writer);
        WriterSlot { id, acknowledged, inner: Arc::clone(&self.inner) }
    }

    /// How many writers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.table().writers.len()
    }

    /// Whether there is no writer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when every writer has acknowledged `sequence` or is gone; those that have not within
    /// `limit` are closed and taken off. Publish the snapshot of that sequence first.
    pub async fn wait(&self, sequence: RegistrySequence, limit: Duration) -> Vec<Laggard> {
        self.wait_until(sequence, tokio::time::sleep(limit)).await
    }

    /// The same, until `deadline` is done.
    pub(crate) async fn wait_until(
        &self,
        sequence: RegistrySequence,
        deadline: impl Future<Output = ()>,
    ) -> Vec<Laggard> {
        let behind = self.inner.table().behind(sequence);
        if behind.is_empty() {
            return Vec::new();
        }
        let (deadline, all) =
            (std::pin::pin!(deadline), std::pin::pin!(self.all_acknowledge(sequence, behind)));
        // The deadline only ends the waiting; who is late is asked again below, from the table.
        let _ = futures_util::future::select(all, deadline).await;
        self.close_laggards(sequence)
    }

    async fn all_acknowledge(&self, sequence: RegistrySequence, mut behind: Vec<u64>) {
        loop {
            let mut woken = std::pin::pin!(self.inner.acknowledged.notified());
            woken.as_mut().enable();
            {
                let table = self.inner.table();
                behind.retain(|id| table.writers.get(id).is_some_and(|w| w.is_behind(sequence)));
            }
            if behind.is_empty() {
                return;
            }
            woken.await;
        }
    }

    fn close_laggards(&self, sequence: RegistrySequence) -> Vec<Laggard> {
        let late: Vec<(u64, Writer)> = {
            let mut table = self.inner.table();
            let ids = table.behind(sequence);
            ids.into_iter().filter_map(|id| Some((id, table.writers.remove(&id)?))).collect()
        };
        // Outside the lock: closing a link may drop its slot, which takes the lock.
        for (_, writer) in &late {
            (writer.close)();
        }
        late.into_iter().map(|(writer, w)| Laggard { name: w.name, writer }).collect()
    }
}

/// One writer's place at the barrier; leaves it on drop.
#[derive(Debug)]
pub struct WriterSlot {
    id: u64,
    acknowledged: Arc<AtomicU64>,
    inner: Arc<Inner>,
}

impl WriterSlot {
    /// From now on everything handed over is checked under `sequence` or later. Never counts down.
    pub fn acknowledge(&self, sequence: RegistrySequence) {
        if self.acknowledged.fetch_max(sequence.0, Ordering::AcqRel) < sequence.0 {
            self.inner.acknowledged.notify_waiters();
        }
    }

    /// Brings a writer under the latest directory: what waits is weeded under it, then it is acknowledged, then
    /// something is taken under it. Everything that was taken before must have been handed over, or given up.
    pub fn catch_up<S: Numbered, T>(
        &self,
        load: impl FnOnce() -> S,
        weed: impl FnOnce(&S),
        take: impl FnOnce(&S) -> T,
    ) -> T {
        let directory = load();
        weed(&directory);
        self.acknowledge(directory.sequence());
        take(&directory)
    }

    /// While something that was taken under an older directory is being handed over: whether it may go on under the
    /// latest one, which is then acknowledged. If not, nothing more may be handed over.
    #[must_use]
    pub fn look_again<S: Numbered>(
        &self,
        load: impl FnOnce() -> S,
        is_good: impl FnOnce(&S) -> bool,
    ) -> bool {
        let directory = load();
        let good = is_good(&directory);
        if good {
            self.acknowledge(directory.sequence());
        }
        good
    }

    /// Its number at the barrier.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for WriterSlot {
    fn drop(&mut self) {
        self.inner.table().writers.remove(&self.id);
        self.inner.acknowledged.notify_waiters();
    }
}
