//! When a verdict is acted on: as soon as it is written, or only once it is durable.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use testudo_wire::frame::CloseReason;
use tokio::sync::Notify;

use super::judge::Recorded;
use crate::node::Shared;

/// What a hand-over waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Commit {
    /// For the write of its record; only receipts wait for the disk. A power cut may lose the records of messages
    /// that nobody was told were accepted.
    #[default]
    Receipt,
    /// For the disk, too: no message is delivered whose record a power cut could lose.
    Delivery,
}

/// Bundles whose records are written and not yet durable, in the order of their records. Bounded by the windows of
/// the links that they came on: each holds its ticket.
#[derive(Default)]
pub(crate) struct Commits {
    waiting: Mutex<VecDeque<Recorded>>,
    more: Notify,
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commits")
    }
}

impl Commits {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Recorded>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, recorded: Recorded) {
        self.waiting().push_back(recorded);
        self.more.notify_one();
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }
}

/// Runs for as long as the node does. When the log fails for good, nothing is ever handed over again.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        // It stays in its place until it is acted on: a shut-down sees that something waits.
        let Some(index) = shared.commits.waiting().front().map(Recorded::index) else {
            shared.commits.more.notified().await;
            continue;
        };
        let durable = shared.audit.wait_synced(index).await;
        let Some(recorded) = shared.commits.waiting().pop_front() else { continue };
        let link = recorded.link();
        let acted = catch_unwind(AssertUnwindSafe(|| match durable {
            Ok(()) => recorded.act(&shared),
            Err(_) => recorded.refuse(&shared),
        }));
        if acted.is_err() {
            shared.metrics.guard_fault();
            link.close(CloseReason::Protocol);
        }
    }
}
