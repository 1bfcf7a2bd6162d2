//! The barrier between a revocation and its answer: every link writer has said that it works under the new
//! directory, or is closed (design.md, section 7, promise 1).
//!
//! A writer acknowledges a sequence once every byte that it hands over from now on is checked against a
//! snapshot of that sequence or a later one. Knows nothing of links but their name and how to close them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testudo_wire::{AgentName, RegistrySequence};
use tokio::sync::Notify;
use tokio::time::Instant;

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
        let behind = self.inner.table().behind(sequence);
        if behind.is_empty() {
            return Vec::new();
        }
        let deadline = Instant::now() + limit;
        // The time-out only ends the waiting; who is late is asked again below, from the table.
        let _ = tokio::time::timeout_at(deadline, self.all_acknowledge(sequence, behind)).await;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::book::tests_support::name;

    const LIMIT: Duration = Duration::from_millis(50);

    fn counted() -> (Closer, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Arc::clone(&count);
        (Arc::new(move || _ = inner.fetch_add(1, Ordering::SeqCst)), count)
    }

    #[tokio::test(start_paused = true)]
    async fn t_a38_waits_for_every_writer_and_not_longer() {
        let barrier = WriterBarrier::new();
        let (close, closed) = counted();
        let slot = barrier.register(name("a"), RegistrySequence(1), close);
        let started = Instant::now();
        assert_eq!(barrier.wait(RegistrySequence(1), LIMIT).await, vec![], "it holds that snapshot");
        let waiter = tokio::spawn({
            let barrier = barrier.clone();
            async move { barrier.wait(RegistrySequence(2), LIMIT).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiter.is_finished());
        slot.acknowledge(RegistrySequence(1));
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished(), "an older sequence does not count");
        slot.acknowledge(RegistrySequence(2));
        assert_eq!(waiter.await.unwrap(), vec![]);
        assert_eq!((started.elapsed().as_millis(), closed.load(Ordering::SeqCst)), (20, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn t_a37_a_laggard_is_closed_at_the_limit_and_only_once() {
        let barrier = WriterBarrier::new();
        let (close, closed) = counted();
        let slow = barrier.register(name("slow"), RegistrySequence(0), close);
        let (never, closed_never) = counted();
        let good = barrier.register(name("good"), RegistrySequence(5), never);
        let started = Instant::now();
        let late = barrier.wait(RegistrySequence(5), LIMIT).await;
        assert_eq!(late, vec![Laggard { name: name("slow"), writer: slow.id() }]);
        assert_eq!(started.elapsed(), LIMIT);
        assert_eq!(barrier.wait(RegistrySequence(5), LIMIT).await, vec![], "it is off the barrier");
        assert_eq!((closed.load(Ordering::SeqCst), closed_never.load(Ordering::SeqCst)), (1, 0));
        drop((slow, good));
        assert!(barrier.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_ends_holds_nobody_up_and_a_closer_may_drop_its_slot() {
        let barrier = WriterBarrier::new();
        let (close, _) = counted();
        let slot = barrier.register(name("a"), RegistrySequence(0), close);
        let waiter = tokio::spawn({
            let barrier = barrier.clone();
            async move { barrier.wait(RegistrySequence(1), LIMIT).await }
        });
        tokio::task::yield_now().await;
        drop(slot);
        assert_eq!(waiter.await.unwrap(), vec![]);

        let cell = Arc::new(Mutex::new(None));
        let inner = Arc::clone(&cell);
        let close: Closer = Arc::new(move || drop(inner.lock().unwrap().take()));
        *cell.lock().unwrap() = Some(barrier.register(name("b"), RegistrySequence(0), close));
        assert_eq!(barrier.wait(RegistrySequence(1), LIMIT).await.len(), 1);
    }
}
