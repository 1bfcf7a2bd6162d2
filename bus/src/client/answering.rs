//! The replier's side of requests: how far it may go ahead of the requester, and whether anybody still waits.
//!
//! Entries leave the table with the final part, with a cancellation, or with the link.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use testudo_wire::{MessageId, Refusal, SessionId};
use tokio::sync::Notify;

use super::SendError;

/// Requests that one link answers at a time.
const ANSWERS_MAX: usize = 4096;

/// How far an answer has come.
#[derive(Debug)]
struct Outflow {
    window: u64,
    sent: u64,
    taken: u64,
    over: bool,
}

impl Outflow {
    /// Whether so much more may be sent now; notes it if so.
    fn reserve(&mut self, weight: u64) -> bool {
        let ahead = self.sent - self.taken;
        // Whoever has nothing under way may send whatever the wire allows.
        let room = ahead == 0 || ahead + weight <= self.window;
        if room {
            self.sent += weight;
        }
        room
    }

    /// The requester's word, which can neither shrink nor be ahead of what was sent.
    fn credit(&mut self, taken: u64) {
        self.taken = self.taken.max(taken.min(self.sent));
    }
}

/// One request that this agent was asked.
#[derive(Debug)]
pub(super) struct Answering {
    session: SessionId,
    state: Mutex<Outflow>,
    changed: Notify,
}

impl Answering {
    fn state(&self) -> MutexGuard<'_, Outflow> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first session of the link that it came on and of those that renew it: an answer goes there or nowhere.
    pub(super) const fn session(&self) -> SessionId {
        self.session
    }

    /// Whether nobody waits any more.
    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Nobody waits any more.
    fn end(&self) {
        self.state().over = true;
        self.changed.notify_waiters();
    }

    fn credit(&self, taken: u64) {
        self.state().credit(taken);
        self.changed.notify_waiters();
    }

    /// Returns when nobody waits any more.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_over() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the requester has taken in enough for so much more.
    ///
    /// # Errors
    /// [`SendError::Cancelled`].
    pub(super) async fn room(&self, weight: u64) -> Result<(), SendError> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if state.over {
                    return Err(SendError::Cancelled);
                }
                if state.reserve(weight) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }
}

/// The requests that a link answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    open: HashMap<MessageId, Arc<Answering>>,
    ended: bool,
}

impl Answers {
    /// A request that has come.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] for one that is being answered; [`Refusal::Overloaded`].
    pub(super) fn open(
        &mut self,
        request: MessageId,
        session: SessionId,
        window: usize,
    ) -> Result<Arc<Answering>, Refusal> {
        if self.open.contains_key(&request) {
            return Err(Refusal::Replayed);
        }
        if self.open.len() >= ANSWERS_MAX {
            // What nobody holds any more can no longer be answered.
            self.open.retain(|_, answering| Arc::strong_count(answering) > 1);
        }
        if self.open.len() >= ANSWERS_MAX {
            return Err(Refusal::Overloaded);
        }
        let window = window as u64;
        let state = Mutex::new(Outflow { window, sent: 0, taken: 0, over: self.ended });
        let answering = Arc::new(Answering { session, state, changed: Notify::new() });
        self.open.insert(request, answering.clone());
        Ok(answering)
    }

    /// How many it answers.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The requester has taken in so much.
    pub(super) fn credited(&self, request: &MessageId, taken: u64) {
        if let Some(answering) = self.open.get(request) {
            answering.credit(taken);
        }
    }

    /// Answered to the end, or nobody waits any more.
    pub(super) fn close(&mut self, request: &MessageId) {
        if let Some(answering) = self.open.remove(request) {
            answering.end();
        }
    }

    /// The link has ended.
    pub(super) fn end(&mut self) {
        self.ended = true;
        for (_, answering) in self.open.drain() {
            answering.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const SESSION: SessionId = SessionId::new([1; 16]);

    fn id(n: u16) -> MessageId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        MessageId::new(id)
    }

    #[tokio::test(start_paused = true)]
    async fn a_replier_waits_for_credit_and_no_longer_than_somebody_waits_for_it() {
        let mut answers = Answers::default();
        let answering = answers.open(id(1), SESSION, 1000).unwrap();
        answering.room(600).await.unwrap();
        let second = Duration::from_secs(1);
        assert!(timeout(second, answering.room(600)).await.is_err(), "beyond the window");
        answers.credited(&id(1), 100);
        assert!(timeout(second, answering.room(600)).await.is_err(), "still beyond");
        answers.credited(&id(1), 200);
        assert_eq!(timeout(second, answering.room(600)).await, Ok(Ok(())));
        answers.credited(&id(1), u64::MAX);
        let (waiting, held) = (answering.clone(), answering.clone());
        answering.room(700).await.unwrap();
        let waiting = tokio::spawn(async move { waiting.room(700).await });
        let ended = tokio::spawn(async move { held.ended().await });
        tokio::task::yield_now().await;
        answers.close(&id(1));
        assert_eq!(waiting.await.unwrap(), Err(SendError::Cancelled));
        ended.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_window_may_go_when_nothing_is_under_way() {
        let answering = Answers::default().open(id(1), SESSION, 1000).unwrap();
        assert_eq!(answering.room(5000).await, Ok(()));
        assert!(timeout(Duration::from_secs(1), answering.room(1)).await.is_err());
    }

    #[test]
    fn the_table_is_bounded_by_what_is_held() {
        let mut answers = Answers::default();
        let max = u16::try_from(ANSWERS_MAX).unwrap();
        let mut held: Vec<_> = (0..max).map(|n| answers.open(id(n), SESSION, 1).unwrap()).collect();
        assert_eq!(answers.open(id(max), SESSION, 1).err(), Some(Refusal::Overloaded));
        assert_eq!(answers.open(id(0), SESSION, 1).err(), Some(Refusal::Replayed));
        held.pop();
        let one = answers.open(id(max), SESSION, 1).unwrap();
        answers.end();
        assert!(one.is_over() && held.iter().all(|answering| answering.is_over()));
        assert!(answers.open(id(0), SESSION, 1).unwrap().is_over(), "what comes after the end is over");
    }
}
