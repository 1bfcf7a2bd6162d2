//! How far the node is done with a link's bundles: the sender's window hangs on it.
//!
//! A bundle is settled when its ticket is gone: refused, or every message of it acknowledged, refused or
//! given up. Told as one cumulative number.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Progress {
    next: u64,
    beyond: BTreeSet<u64>,
}

/// The bundles of one link.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    progress: Mutex<Progress>,
    moved: Notify,
}

impl Settling {
    /// Every bundle below this number is settled.
    pub(crate) fn upto(&self) -> u64 {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).next
    }

    /// Returns when the number may have moved.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    fn settle(&self, bundle: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
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
}

impl Ticket {
    pub(crate) fn new(settling: &Arc<Settling>, bundle: u64) -> Arc<Self> {
        Arc::new(Self { settling: settling.clone(), bundle })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settling.settle(self.bundle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_settle_in_order_however_they_end() {
        let settling = Arc::new(Settling::default());
        let tickets: Vec<_> = (0..4).map(|n| Ticket::new(&settling, n)).collect();
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
}
