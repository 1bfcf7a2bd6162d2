//! What outlives a link when another one renews it: who waits for what, what is queued, what was heard.
//!
//! To the agent, links that renewed one another are one. Only what a link carries is its own: its bundles and
//! deliveries keep the numbers and the session under which they went.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use testudo_wire::SessionId;
use tokio::sync::Notify;

use super::answering::Answers;
use super::board::Board;
use super::known::Known;
use super::waiting::Waiting;

/// The number of a link in its line, from 0.
pub(super) type Number = u32;

/// Links that renewed one another.
#[derive(Debug)]
pub(super) struct Line {
    /// The session of the first of them.
    pub(super) first: SessionId,
    pub(super) board: Board,
    pub(super) settled: Notify,
    /// A notice named this very agent: its own token may be void.
    pub(super) voided: Notify,
    /// One renewal at a time, and no goodbye meanwhile.
    pub(super) renewing: Arc<tokio::sync::Mutex<()>>,
    queued: AtomicUsize,
    waiting: Mutex<Waiting>,
    answers: Mutex<Answers>,
    known: RwLock<Known>,
}

impl Line {
    /// A line of one link, on which nothing has happened.
    pub(super) fn new(first: SessionId) -> Self {
        Self {
            first,
            board: Board::default(),
            settled: Notify::new(),
            voided: Notify::new(),
            renewing: Arc::default(),
            queued: AtomicUsize::new(0),
            waiting: Mutex::default(),
            answers: Mutex::default(),
            known: RwLock::default(),
        }
    }

    // A panic while a lock is held leaves whole entries behind, never half ones: going on is safe. Locks are
    // taken in the order tokens, known, desk, waiting, answers.
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link has ended. With the newest all who wait hear it; with an older one only what it still had to do.
    pub(super) fn link_ended(&self, link: Number) {
        let over = self.waiting().link_ended(link);
        if over {
            self.answers().end();
        }
        self.settled.notify_waiters();
    }

    /// Nobody waits for the answer to this request any more.
    pub(super) fn abandon(&self, request: &testudo_wire::MessageId) {
        let cancel = self.waiting().abandon(request);
        if cancel {
            self.board.cancel(*request);
        }
    }

    /// Waits until this is so; asked again whenever something was settled.
    pub(super) async fn until(&self, is_met: impl Fn(&Waiting) -> bool) {
        loop {
            let settled = self.settled.notified();
            if is_met(&self.waiting()) {
                return;
            }
            settled.await;
        }
    }

    /// One more message is queued.
    pub(super) fn queue(&self) {
        self.queued.fetch_add(1, Ordering::AcqRel);
    }

    /// So many have been entered into a bundle, or dropped.
    pub(super) fn unqueue(&self, messages: usize) {
        self.queued.fetch_sub(messages, Ordering::AcqRel);
    }

    /// Whether nothing is queued and nothing unsettled.
    pub(super) fn is_idle(&self) -> bool {
        self.queued.load(Ordering::Acquire) == 0 && self.waiting().bundles.unsettled_all() == 0
    }
}
