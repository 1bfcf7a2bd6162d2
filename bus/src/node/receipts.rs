//! The receipt *accepted*: signed and sent once the record of a verdict is durable, and not before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use testudo_wire::Digest;
use testudo_wire::frame::{Accepted, FromNode};
use tokio::sync::Notify;

use super::link::Link;
use super::settle::Ticket;
use super::shared::Shared;

/// A receipt that waits for the disk.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) link: Weak<Link>,
    pub(crate) lane: u8,
    pub(crate) bundle: u64,
    pub(crate) record: u64,
    pub(crate) accepted: Vec<(u16, Digest)>,
    /// Held until the receipt is on its way: a disk that stalls holds its senders.
    pub(crate) _ticket: Arc<Ticket>,
}

/// Receipts in the order of their records. Bounded by the windows of the links that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    pending: Mutex<VecDeque<Pending>>,
    more: Notify,
}

impl Receipts {
    pub(crate) fn push(&self, pending: Pending) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push_back(pending);
        self.more.notify_one();
    }

    fn pop(&self) -> Option<Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Runs for as long as the node does. When the log fails for good, no receipt is ever given again.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let Some(pending) = shared.receipts.pop() else {
            shared.receipts.more.notified().await;
            continue;
        };
        if shared.audit.wait_synced(pending.record).await.is_err() {
            continue;
        }
        let Some(link) = pending.link.upgrade() else { continue };
        let session = link.peer.session;
        let receipt = Accepted::sign(
            &shared.key,
            &shared.swarm,
            &session,
            (pending.lane, pending.bundle),
            pending.record,
            &pending.accepted,
        );
        if let Some(receipt) = receipt {
            link.tell(FromNode::Accepted(receipt));
        }
    }
}
