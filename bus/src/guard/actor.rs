//! The actor and its typed handle. A permit travels in every message: actix's mailbox is no bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message};
use bytes::Bytes;
use testudo_rules::inspect::Inspector;
use testudo_wire::Refusal;
use testudo_wire::frame::CloseReason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::judge::{judge, refuse_bundle};
use crate::node::{Link, Shared, Ticket};

/// Bundles in the mailbox at once, of all links; a link has one.
const PERMITS: usize = 256;

struct Guard {
    shared: Arc<Shared>,
    inspector: Inspector,
}

impl Actor for Guard {
    type Context = Context<Self>;
}

struct Judge {
    link: Arc<Link>,
    bundle: u64,
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl Message for Judge {
    type Result = ();
}

impl Handler<Judge> for Guard {
    type Result = ();
    fn handle(&mut self, message: Judge, _: &mut Context<Self>) {
        let Judge { link, bundle, bytes, _permit } = message;
        let size = bytes.len();
        let ticket = Ticket::new(&link.settling, bundle, size);
        let judged = catch_unwind(AssertUnwindSafe(|| {
            judge(&self.shared, &self.inspector, &link, bundle, bytes, &ticket);
        }));
        if judged.is_err() {
            self.shared.metrics.guard_fault();
            refuse_bundle(&self.shared, &link, bundle, Refusal::GuardFault, size, 0);
            link.close(CloseReason::Protocol);
        }
    }
}

/// The way to the guard.
#[derive(Clone)]
pub(crate) struct GuardDoor {
    actor: Addr<Guard>,
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for GuardDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardDoor")
    }
}

impl GuardDoor {
    /// Starts the actor on the current arbiter.
    pub(crate) fn start(shared: Arc<Shared>, inspector: Inspector) -> Self {
        let actor = Guard { shared, inspector }.start();
        Self { actor, permits: Arc::new(Semaphore::new(PERMITS)) }
    }

    /// Has a bundle judged; returns when it is. `false` when the guard is gone: nothing may pass any more.
    pub(crate) async fn judge(&self, link: &Arc<Link>, bundle: u64, bytes: Bytes) -> bool {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return false };
        let message = Judge { link: link.clone(), bundle, bytes, _permit: permit };
        self.actor.send(message).await.is_ok()
    }

    /// Whether the actor lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.actor.connected()
    }
}
