//! How many messages an agent has had to do with since it linked, for whoever looks on. A link that renews another counts on.
//! Nothing is decided from it.

use std::sync::atomic::{AtomicU64, Ordering};

/// One agent's messages.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    allowed: AtomicU64,
    refused: AtomicU64,
    received: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Of its messages, those that passed.
    pub allowed: u64,
    /// Of its messages, those that were refused; a bundle that cannot be read counts as one.
    pub refused: u64,
    /// Messages to it, and copies, that it has taken in.
    pub received: u64,
}

impl Tally {
    /// So many of its messages passed.
    pub(crate) fn allowed(&self, messages: usize) {
        add(&self.allowed, messages);
    }

    /// So many of them were refused.
    pub(crate) fn refused(&self, messages: usize) {
        add(&self.refused, messages);
    }

    /// It has taken in so many.
    pub(crate) fn received(&self, messages: usize) {
        add(&self.received, messages);
    }

    /// As it stands now.
    pub(crate) fn now(&self) -> Tallied {
        let [allowed, refused, received] =
            [&self.allowed, &self.refused, &self.received].map(|count| count.load(Ordering::Relaxed));
        Tallied { allowed, refused, received }
    }
}

fn add(count: &AtomicU64, messages: usize) {
    // A count that nobody reads twice alike needs no order.
    count.fetch_add(messages as u64, Ordering::Relaxed);
}
