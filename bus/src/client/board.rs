//! Words for the control stream that may come from anywhere, even from a drop: cancellations and credits.
//!
//! They cannot wait for room in a queue, so they wait here: one credit a request, the newest, and a bounded
//! number of cancellations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use testudo_wire::MessageId;
use testudo_wire::frame::{Cancel, Credit, FromAgent};
use tokio::sync::Notify;

/// Cancellations that wait. Beyond it the oldest is forgotten: its request ends at the node's deadline.
const CANCELS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Words {
    cancels: VecDeque<MessageId>,
    credits: BTreeMap<MessageId, u64>,
}

/// Where they wait.
#[derive(Debug, Default)]
pub(super) struct Board {
    words: Mutex<Words>,
    posted: Notify,
}

impl Board {
    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn cancel(&self, request: MessageId) {
        let mut words = self.words();
        words.credits.remove(&request);
        if words.cancels.len() >= CANCELS_MAX {
            words.cancels.pop_front();
        }
        words.cancels.push_back(request);
        drop(words);
        self.posted.notify_one();
    }

    /// So much of this answer was taken in.
    pub(super) fn credit(&self, request: MessageId, bytes: u64) {
        self.words().credits.insert(request, bytes);
        self.posted.notify_one();
    }

    /// The next word to write.
    pub(super) fn take(&self) -> Option<FromAgent> {
        let mut words = self.words();
        if let Some(request) = words.cancels.pop_front() {
            return Some(FromAgent::Cancel(Cancel { request }));
        }
        words.credits.pop_first().map(|(request, bytes)| FromAgent::Credit(Credit { request, bytes }))
    }

    /// Returns when there may be something to take.
    pub(super) async fn posted(&self) {
        self.posted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MessageId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        MessageId::new(id)
    }

    #[test]
    fn a_credit_replaces_the_older_one_and_a_cancellation_both() {
        let board = Board::default();
        board.credit(id(1), 10);
        board.credit(id(2), 20);
        board.credit(id(1), 30);
        board.cancel(id(2));
        let words: Vec<_> = std::iter::from_fn(|| board.take()).collect();
        let expected = [
            FromAgent::Cancel(Cancel { request: id(2) }),
            FromAgent::Credit(Credit { request: id(1), bytes: 30 }),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn cancellations_are_bounded() {
        let board = Board::default();
        (0..CANCELS_MAX + 10).for_each(|n| board.cancel(id(n)));
        let words: Vec<_> = std::iter::from_fn(|| board.take()).collect();
        assert_eq!(words.len(), CANCELS_MAX);
        assert_eq!(words[0], FromAgent::Cancel(Cancel { request: id(10) }));
    }
}
