//! The actor and its typed handle. A permit travels in every message: actix's mailbox is no bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message};
use bytes::Bytes;
use testudo_rules::inspect::{Context as Tails, Inspector};
use testudo_rules::pipeline::{Authorised, Decoded, Inspected, Inspecting, Pair, Read, Turn};
use testudo_wire::frame::CloseReason;
use testudo_wire::{MessageId, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::judge::{Case, assess, conclude, refuse_bundle};
use super::large::{Large, Pool};
use super::rules::Rules;
use crate::metrics::Stage;
use crate::node::{Link, Shared, Ticket};
use crate::traced::Steps;

/// Bundles in the mailbox at once, of all links; a link has one, and one for each lane.
const PERMITS: usize = 256;
/// Bytes of a bundle that are vetted in one turn: about as long as its signature takes.
const TURN_BYTES: usize = 16 * 1024;

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

/// How far the guard has come with a bundle of the data stream.
enum Way {
    /// Read off its link then, where that is asked.
    Begin(Bytes, Option<Instant>),
    Inspect(Inspecting, Steps),
    Conclude(Inspected, Steps),
}

/// One turn with a bundle of the data stream. Everybody's bundles have theirs one after the other, so that nobody
/// waits for the whole of another's.
struct Judge {
    case: Case,
    way: Way,
    sent: Instant,
    permit: OwnedSemaphorePermit,
}

impl Message for Judge {
    /// What is left to do.
    type Result = Option<(Way, OwnedSemaphorePermit)>;
}

impl Handler<Judge> for Guard {
    type Result = Option<(Way, OwnedSemaphorePermit)>;
    fn handle(&mut self, message: Judge, _: &mut Context<Self>) -> Self::Result {
        let Judge { case, way, sent, permit } = message;
        let began = Instant::now();
        self.shared.metrics.took(Stage::Wait, began.saturating_duration_since(sent));
        let way = self.contain(&case, |guard| guard.go_on(&case, way, (sent, began))).flatten()?;
        Some((way, permit))
    }
}

impl Guard {
    /// One step of the way, of a message that was sent and begun then; `None` at its end.
    fn go_on(&mut self, case: &Case, way: Way, (sent, began): (Instant, Instant)) -> Option<Way> {
        match way {
            Way::Begin(bytes, arrived) => {
                let mut steps = Steps::begun(arrived, sent, began);
                let short = bytes.len() <= TURN_BYTES;
                let decoded = Decoded::of(bytes, &self.shared.limits);
                let authorised = assess(&self.shared, case, &mut steps, decoded)?;
                let inspecting = Way::Inspect(authorised.in_turns(), steps);
                // What is short is done at once: there is nothing in it for others to wait for.
                if short { self.go_on(case, inspecting, (sent, steps.assessed)) } else { Some(inspecting) }
            }
            Way::Inspect(inspecting, mut steps) => {
                let rules = self.rules.now();
                let turn = inspecting.turn(&rules, &mut self.tails, TURN_BYTES);
                steps.inspected = Instant::now();
                self.shared.metrics.took(Stage::Inspect, steps.inspected.saturating_duration_since(began));
                match turn {
                    Turn::More(more) => Some(Way::Inspect(more, steps)),
                    Turn::Done(inspected) if case.size <= TURN_BYTES => {
                        conclude(&self.shared, case, steps, inspected);
                        None
                    }
                    Turn::Done(inspected) => Some(Way::Conclude(inspected, steps)),
                }
            }
            Way::Conclude(inspected, steps) => {
                conclude(&self.shared, case, steps, inspected);
                None
            }
        }
    }
}

/// A large bundle, before its content is vetted.
struct Assess {
    case: Case,
    decoded: Result<Decoded, Refusal>,
    arrived: Option<Instant>,
    sent: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Message for Assess {
    type Result = Option<(Authorised, Steps)>;
}

impl Handler<Assess> for Guard {
    type Result = Option<(Authorised, Steps)>;
    fn handle(&mut self, message: Assess, _: &mut Context<Self>) -> Self::Result {
        let Assess { case, decoded, arrived, sent, _permit } = message;
        let mut steps = Steps::begun(arrived, sent, Instant::now());
        let assessed =
            self.contain(&case, |guard| assess(&guard.shared, &case, &mut steps, decoded)).flatten();
        assessed.map(|authorised| (authorised, steps))
    }
}

/// A large bundle, after that.
struct Conclude {
    case: Case,
    read: Option<Read>,
    /// The requests that it answers.
    answers: Vec<MessageId>,
    steps: Steps,
    _permit: OwnedSemaphorePermit,
}

impl Message for Conclude {
    type Result = ();
}

impl Handler<Conclude> for Guard {
    type Result = ();
    fn handle(&mut self, message: Conclude, _: &mut Context<Self>) {
        let Conclude { case, read, answers, mut steps, _permit } = message;
        self.contain(&case, |guard| match read {
            Some(read) => {
                let rules = guard.rules.now();
                let inspected = read.follow(&rules, &mut guard.tails);
                steps.inspected = Instant::now();
                conclude(&guard.shared, &case, steps, inspected);
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
    pub(crate) async fn judge(
        &self,
        link: &Arc<Link>,
        bundle: u64,
        bytes: Bytes,
        arrived: Option<Instant>,
    ) -> bool {
        let Ok(mut permit) = self.permits.clone().acquire_owned().await else { return false };
        let (lane, size) = (0, bytes.len());
        let ticket = Ticket::new(&link.settling[0], bundle, size);
        let case = Case { link: link.clone(), lane, bundle, size, ticket };
        let mut way = Way::Begin(bytes, arrived);
        loop {
            let turn = Judge { case: case.clone(), way, sent: Instant::now(), permit };
            match self.actor.send(turn).await {
                Ok(Some(left)) => (way, permit) = left,
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// The same for a bundle of a lane.
    pub(crate) async fn judge_large(&self, shared: &Shared, link: &Arc<Link>, large: Large) -> bool {
        let Large { lane, bundle, bytes, reservation } = large;
        let size = bytes.len();
        let settling = &link.settling[usize::from(lane)];
        let ticket = Ticket::holding(settling, bundle, size, Some(reservation));
        let case = Case { link: link.clone(), lane, bundle, size, ticket };
        let arrived = shared.tracing.now();
        let decoded = self.pool.decode(shared, bytes).await;
        let Ok(_permit) = self.permits.clone().acquire_owned().await else { return false };
        let sent = Instant::now();
        let assess = Assess { case: case.clone(), decoded, arrived, sent, _permit };
        let assessed = self.actor.send(assess).await;
        let (authorised, steps) = match assessed {
            Ok(Some(assessed)) => assessed,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let answers = authorised.answers().collect();
        let read = self.pool.read(&case, authorised).await;
        let Ok(_permit) = self.permits.clone().acquire_owned().await else { return false };
        self.actor.send(Conclude { case, read, answers, steps, _permit }).await.is_ok()
    }

    /// Whether the actor lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.actor.connected()
    }
}
