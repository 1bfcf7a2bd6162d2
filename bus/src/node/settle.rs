//! How far the node is done with a link's bundles: the sender's window hangs on it.
//!
//! A bundle is settled when its ticket is gone: refused, or every message of it acknowledged, refused or
//! given up. Told as one cumulative number for each lane.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

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

/// Memory that was set aside for a body before it was read. Whoever holds the body holds this: it comes back with
/// the last of them, and is counted once however many they are.
#[derive(Debug)]
pub(crate) struct Reservation {
    kib: u32,
    held: Mutex<Held>,
    /// Room for bodies that only subscribers hold who are too slow for them.
    late: Arc<Semaphore>,
}

#[derive(Debug)]
enum Held {
    /// Of its sender's link, and of the node.
    Sent { _of_link: OwnedSemaphorePermit, _of_node: OwnedSemaphorePermit },
    /// Of what is for those who are too slow.
    Late { _of_late: OwnedSemaphorePermit },
}

impl Reservation {
    pub(crate) fn new(
        kib: u32,
        of_link: OwnedSemaphorePermit,
        of_node: OwnedSemaphorePermit,
        late: Arc<Semaphore>,
    ) -> Self {
        Self { kib, held: Mutex::new(Held::Sent { _of_link: of_link, _of_node: of_node }), late }
    }

    /// The body goes on to somebody who is too slow for its sender to wait: its memory is that sender's no more.
    /// `false` when there is no room for it among those.
    pub(crate) fn is_late(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, Held::Late { .. }) {
            return true;
        }
        match self.late.clone().try_acquire_many_owned(self.kib) {
            Ok(of_late) => {
                *held = Held::Late { _of_late: of_late };
                true
            }
            Err(_) => false,
        }
    }
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
    reservation: Option<Arc<Reservation>>,
}

impl Ticket {
    pub(crate) fn new(settling: &Arc<Settling>, bundle: u64, bytes: usize) -> Arc<Self> {
        Self::holding(settling, bundle, bytes, None)
    }

    /// A ticket that holds what was set aside.
    pub(crate) fn holding(
        settling: &Arc<Settling>,
        bundle: u64,
        bytes: usize,
        reservation: Option<Reservation>,
    ) -> Arc<Self> {
        settling.progress.lock().unwrap_or_else(PoisonError::into_inner).unsettled += bytes;
        Arc::new(Self { settling: settling.clone(), bundle, bytes, reservation: reservation.map(Arc::new) })
    }

    /// What was set aside for the body.
    pub(crate) fn reservation(&self) -> Option<Arc<Reservation>> {
        self.reservation.clone()
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

    #[tokio::test]
    async fn a_body_that_only_the_slow_hold_is_counted_once_and_no_more_than_there_is_room_for() {
        let [link, node, late] = [8, 8, 3].map(|kib| Arc::new(Semaphore::new(kib)));
        let set_aside = async || {
            let of = |all: &Arc<Semaphore>| all.clone().acquire_many_owned(2);
            let (of_link, of_node) = (of(&link).await.unwrap(), of(&node).await.unwrap());
            Arc::new(Reservation::new(2, of_link, of_node, late.clone()))
        };
        let (first, second) = (set_aside().await, set_aside().await);
        assert_eq!((link.available_permits(), node.available_permits()), (4, 4));
        assert!(first.is_late() && first.clone().is_late(), "twice is once");
        assert_eq!((link.available_permits(), node.available_permits(), late.available_permits()), (6, 6, 1));
        assert!(!second.is_late(), "no room");
        assert_eq!((link.available_permits(), node.available_permits()), (6, 6), "it stays as it was");
        drop(first);
        assert_eq!(late.available_permits(), 3);
        assert!(second.is_late());
        drop(second);
        assert_eq!((link.available_permits(), node.available_permits(), late.available_permits()), (8, 8, 3));
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
