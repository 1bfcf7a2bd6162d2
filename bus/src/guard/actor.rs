//! The actor and its typed handle. A permit travels in every message: actix's mailbox is no bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message};
use bytes::Bytes;
use testudo_rules::inspect::{Context as Tails, Inspector};
use testudo_rules::pipeline::{Authorised, Decoded, Pair, Read};
use testudo_wire::frame::CloseReason;
use testudo_wire::{MessageId, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::judge::{Case, assess, conclude, judge, refuse_bundle};
use super::large::{Large, Pool};
use super::rules::Rules;
use crate::metrics::Stage;
use crate::node::{Link, Shared, Ticket};

/// Bundles in the mailbox at once, of all links; a link has one, and one for each lane.
const PERMITS: usize = 256;

struct Guard {
    shared: Arc<Shared>,
    rules: Arc<Rules>,
    /// What was said last between each pair.
    tails: Tails<Pair>,
}

impl Actor for Guard {
    type Context = Context<Self>;
}

impl Guard {
    /// Runs a piece of the way. A panic refuses the bundle and closes the link whose state it may have left half
    /// changed.
    fn contain<T>(&mut self, case: &Case, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            self.tails = Tails::default();
            self.shared.metrics.guard_fault();
            refuse_bundle(&self.shared, case, Refusal::GuardFault, 0);
            case.link.close(CloseReason::Protocol);
        }
        done.ok()
    }
}

/// A bundle of the data stream, to be judged whole.
struct Judge {
    case: Case,
    bytes: Bytes,
    sent: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Message for Judge {
    type Result = ();
}

impl Handler<Judge> for Guard {
    type Result = ();
    fn handle(&mut self, message: Judge, _: &mut Context<Self>) {
        let Judge { case, bytes, sent, _permit } = message;
        self.shared.metrics.took(Stage::Wait, sent.elapsed());
        self.contain(&case, |guard| {
            let rules = guard.rules.now();
            judge(&guard.shared, &rules, &mut guard.tails, &case, bytes);
        });
    }
}

/// A large bundle, before its content is vetted.
struct Assess {
    case: Case,
    decoded: Result<Decoded, Refusal>,
    _permit: OwnedSemaphorePermit,
}

impl Message for Assess {
    type Result = Option<Authorised>;
}

impl Handler<Assess> for Guard {
    type Result = Option<Authorised>;
    fn handle(&mut self, message: Assess, _: &mut Context<Self>) -> Option<Authorised> {
        let Assess { case, decoded, _permit } = message;
        self.contain(&case, |guard| assess(&guard.shared, &case, decoded)).flatten()
    }
}

/// A large bundle, after that.
struct Conclude {
    case: Case,
    read: Option<Read>,
    /// The requests that it answers.
    answers: Vec<MessageId>,
    _permit: OwnedSemaphorePermit,
}

impl Message for Conclude {
    type Result = ();
}

impl Handler<Conclude> for Guard {
    type Result = ();
    fn handle(&mut self, message: Conclude, _: &mut Context<Self>) {
        let Conclude { case, read, answers, _permit } = message;
        self.contain(&case, |guard| match read {
            Some(read) => {
                let rules = guard.rules.now();
                conclude(&guard.shared, &case, read.follow(&rules, &mut guard.tails));
            }
            None => {
                guard.shared.metrics.guard_fault();
                refuse_bundle(&guard.shared, &case, Refusal::GuardFault, 1);
                for request in &answers {
                    guard.shared.requests.fail(request, &case.link, Refusal::GuardFault);
                }
            }
        });
    }
}

/// The way to the guard.
#[derive(Clone)]
pub(crate) struct GuardDoor {
    actor: Addr<Guard>,
    rules: Arc<Rules>,
    pool: Pool,
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
        let rules = Arc::new(Rules::new(inspector));
        let pool = Pool::new(rules.clone(), shared.body_threads);
        let actor = Guard { shared, rules: rules.clone(), tails: Tails::default() }.start();
        Self { actor, rules, pool, permits: Arc::new(Semaphore::new(PERMITS)) }
    }

    /// Vets by other rules from the next bundle on.
    pub(crate) fn set_rules(&self, inspector: Inspector) {
        self.rules.set(inspector);
    }

    /// Has a bundle of the data stream judged; returns when it is. `false` when the guard is gone: nothing may
    /// pass any more.
    pub(crate) async fn judge(&self, link: &Arc<Link>, bundle: u64, bytes: Bytes) -> bool {
        let Ok(_permit) = self.permits.clone().acquire_owned().await else { return false };
        let (lane, size) = (0, bytes.len());
        let ticket = Ticket::new(&link.settling[0], bundle, size);
        let case = Case { link: link.clone(), lane, bundle, size, ticket };
        let sent = Instant::now();
        self.actor.send(Judge { case, bytes, sent, _permit }).await.is_ok()
    }

    /// The same for a bundle of a lane.
    pub(crate) async fn judge_large(&self, shared: &Shared, link: &Arc<Link>, large: Large) -> bool {
        let Large { lane, bundle, bytes, reservation } = large;
        let size = bytes.len();
        let settling = &link.settling[usize::from(lane)];
        let ticket = Ticket::holding(settling, bundle, size, Some(reservation));
        let case = Case { link: link.clone(), lane, bundle, size, ticket };
        let decoded = self.pool.decode(shared, bytes).await;
        let Ok(_permit) = self.permits.clone().acquire_owned().await else { return false };
        let assessed = self.actor.send(Assess { case: case.clone(), decoded, _permit }).await;
        let authorised = match assessed {
            Ok(Some(authorised)) => authorised,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let answers = authorised.answers().collect();
        let read = self.pool.read(&case, authorised).await;
        let Ok(_permit) = self.permits.clone().acquire_owned().await else { return false };
        self.actor.send(Conclude { case, read, answers, _permit }).await.is_ok()
    }

    /// Whether the actor lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.actor.connected()
    }
}
