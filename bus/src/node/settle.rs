//! How far the node is done with a link's bundles: the sender's window hangs on it.
//!
//! A bundle is settled when its ticket is gone: refused, or every message of it acknowledged, refused or
//! given up. Told as one cumulative number for each lane.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

#[derive(Debug, Default)]
struct Progress {
    next: u64,
    beyond: BTreeSet<u64>,
    unsettled: usize,
}

/// The bundles of one lane of a link.
#[derive(Debug)]
pub(crate) struct Settling {
    progress: Mutex<Progress>,
    moved: Arc<Notify>,
    room: Notify,
}

/// Memory that was set aside for a body before it was read.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) _of_link: OwnedSemaphorePermit,
    pub(crate) _of_node: OwnedSemaphorePermit,
}

impl Settling {
    /// Nothing yet; `moved` is told when the number has moved.
    pub(crate) fn new(moved: Arc<Notify>) -> Self {
        Self { progress: Mutex::default(), moved, room: Notify::new() }
    }

    /// Every bundle below this number is settled.
    pub(crate) fn upto(&self) -> u64 {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).next
    }

    /// Whether a bundle is not settled.
    pub(crate) fn is_open(&self) -> bool {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).unsettled > 0
    }

    /// Waits until so many bytes fit the window beside what is not settled. A peer that ignores its window
    /// waits here, in its own task, and holds no more of the node than the window.
    pub(crate) async fn room(&self, bytes: usize, window: usize) {
        loop {
            let unsettled = self.progress.lock().unwrap_or_else(PoisonError::into_inner).unsettled;
            if unsettled == 0 || unsettled + bytes <= window {
                return;
            }
            self.room.notified().await;
        }
    }

    fn settle(&self, bundle: u64, bytes: usize) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.unsettled = progress.unsettled.saturating_sub(bytes);
        self.room.notify_one();
        progress.beyond.insert(bundle);
        let before = progress.next;
        while progress.beyond.first() == Some(&progress.next) {
            progress.beyond.pop_first();
            progress.next += 1;
        }
        if progress.next > before {
            self.moved.notify_one();
        }
    }
}

/// One bundle's place; settles it when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    settling: Arc<Settling>,
    bundle: u64,
    bytes: usize,
    _reservation: Option<Reservation>,
}

impl Ticket {
    pub(crate) fn new(settling: &Arc<Settling>, bundle: u64, bytes: usize) -> Arc<Self> {
        Self::holding(settling, bundle, bytes, None)
    }

    /// A ticket that gives back what was set aside when it is dropped.
    pub(crate) fn holding(
        settling: &Arc<Settling>,
        bundle: u64,
        bytes: usize,
        reservation: Option<Reservation>,
    ) -> Arc<Self> {
        settling.progress.lock().unwrap_or_else(PoisonError::into_inner).unsettled += bytes;
        Arc::new(Self { settling: settling.clone(), bundle, bytes, _reservation: reservation })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settling.settle(self.bundle, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_settle_in_order_however_they_end() {
        let settling = Arc::new(Settling::new(Arc::default()));
        let tickets: Vec<_> = (0..4).map(|n| Ticket::new(&settling, n, 10)).collect();
        let mut tickets = tickets.into_iter();
        let (a, b, c) = (tickets.next(), tickets.next(), tickets.next());
        drop(c);
        assert_eq!(settling.upto(), 0);
        drop(a);
        assert_eq!(settling.upto(), 1);
        let copy = b.clone();
        drop(b);
        assert_eq!(settling.upto(), 1, "another delivery of it is still open");
        drop(copy);
        assert_eq!(settling.upto(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_ignores_its_window_waits_for_room() {
        let settling = Arc::new(Settling::new(Arc::default()));
        settling.room(1000, 100).await;
        let first = Ticket::new(&settling, 0, 60);
        settling.room(40, 100).await;
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), settling.room(41, 100)).await;
        assert!(waiting.is_err(), "there is no room for 41 beside 60 of 100");
        drop(first);
        settling.room(41, 100).await;
    }
}
