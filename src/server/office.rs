//! The office: the node's own agent, whom operators elsewhere ask. Each question comes as any message does, over a link,
//! through every stage of the pipeline, onto the log; what its sender may have done is what its token proves here, and
//! the registry says now.
//!
//! It is there while the node runs, from the moment on that anybody is an operator: a swarm that has none has no office.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use testudo_bus::client::{Arrivals, Delivery, Member};
use testudo_bus::node::Node;
use testudo_registry::Standing;
use testudo_wire::{AgentName, ContentType, Grant, Holder, Part, SecretKey};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::admin::Served;
use crate::identity::{self, Identity};
use crate::operator::{ANSWER_BYTES_MAX, Answer, Mandate, OFFICE, Request, Verb, operates};
use crate::swarm::new_key;

/// Questions at once, and of one operator.
const AT_ONCE: usize = 8;
const OF_ONE: usize = 4;
/// Longest question: a grant of many capabilities has room.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// An answer goes in parts of so many bytes.
const PART_BYTES: usize = 32 * 1024;
/// A whole answer is taken in within this, or not at all.
const TAKING: Duration = Duration::from_secs(30);
/// Between two tries to open.
const AGAIN: Duration = Duration::from_secs(5);
/// What is under way when the node ends may take so long.
const LAST: Duration = Duration::from_secs(1);

/// The office of a running node.
#[derive(Debug)]
pub(super) struct Office {
    close: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Office {
    /// Opens as soon as there is somebody to open for.
    pub(super) fn open(served: Served, node: Arc<Node>) -> Self {
        let (close, closing) = watch::channel(false);
        let desk = Arc::new(Desk { served, node, places: Semaphore::new(AT_ONCE), busy: Mutex::default() });
        Self { close, task: tokio::spawn(run(desk, closing)) }
    }

    /// Answers what is under way, and leaves.
    pub(super) async fn close(self) {
        self.close.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout(3 * LAST, self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn closed(mut closing: watch::Receiver<bool>) {
    // Whoever closes it outlives it.
    let _ = closing.wait_for(|close| *close).await;
}

async fn run(desk: Arc<Desk>, closing: watch::Receiver<bool>) {
    let opened = tokio::select! {
        opened = desk.opened() => opened,
        () = closed(closing.clone()) => return,
    };
    let Some((holder, key)) = opened else { return };
    loop {
        let identity = tokio::select! {
            identity = desk.identity(holder, &key) => identity,
            () = closed(closing.clone()) => return,
        };
        let (member, arrivals) = identity::member(&identity);
        tokio::select! {
            () = desk.serve(&member, arrivals) => {}
            () = closed(closing.clone()) => {
                let _ = timeout(LAST, desk.idle()).await;
                let _ = timeout(LAST, member.goodbye()).await;
                return;
            }
        }
        // Its link is gone for good, its certificate run out or of a retired CA: it starts anew.
        tracing::warn!("the {OFFICE} for operators lost its place; it takes another");
        sleep(AGAIN).await;
    }
}

/// Questions under way, by who asked.
type Busy = Mutex<HashMap<AgentName, usize>>;

struct Desk {
    served: Served,
    node: Arc<Node>,
    places: Semaphore,
    busy: Busy,
}

/// One question of an operator, until it is answered.
struct Turn<'a>(&'a Busy, AgentName);

impl<'a> Turn<'a> {
    /// `None` when this operator has asked as much as one may at once.
    fn of(busy: &'a Busy, name: AgentName) -> Option<Self> {
        let mut all = busy.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = all.entry(name).or_default();
        (*asked < OF_ONE).then(|| {
            *asked += 1;
            Self(busy, name)
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = all.get_mut(&self.1) {
            *asked -= 1;
            if *asked == 0 {
                all.remove(&self.1);
            }
        }
    }
}

impl Desk {
    /// Waits for the first operator, and has the registry take the office in. `None` when it cannot.
    async fn opened(&self) -> Option<(Holder, SecretKey)> {
        let registry = &self.served.operator.office.registry;
        let mut changed = registry.directory().changed();
        loop {
            changed.borrow_and_update();
            let asks = |standing: &Standing| standing.is_good() && operates(&standing.grant);
            if registry.directory().load().agents().any(|(_, standing)| asks(standing)) {
                break;
            }
            changed.changed().await.ok()?;
        }
        // A key of this run: nobody can have taken it anywhere.
        let key = new_key(&*self.served.operator.env);
        let holder = Holder { name: AgentName::parse(OFFICE).ok()?, key: key.public() };
        let grant = Grant { serve: Verb::rights(), ..Grant::default() };
        match registry.house(holder, grant).await {
            Ok(()) => Some((holder, key)),
            Err(error) => {
                tracing::warn!(%error, "operators elsewhere cannot ask this node; the socket in its folder is as before");
                None
            }
        }
    }

    /// Certificate and token, as soon as they can be had.
    async fn identity(&self, holder: Holder, key: &SecretKey) -> Identity {
        loop {
            match self.certified(holder, key).await {
                Ok(identity) => return identity,
                Err(error) => {
                    tracing::warn!(error, "the {OFFICE} for operators cannot be opened yet");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn certified(&self, holder: Holder, key: &SecretKey) -> Result<Identity, String> {
        let operator = &self.served.operator;
        let csr = identity::request(operator.swarm, holder.name, key)?;
        let credentials = operator.own_credentials(holder, csr).await?;
        Identity::issued(holder.name, key.clone(), credentials)
    }

    /// Answers questions until there is no link any more.
    async fn serve(self: &Arc<Self>, member: &Member, mut arrivals: Arrivals) {
        while let Some(question) = arrivals.next().await {
            // While there is no place nothing is taken in, and the transport refuses what waits too long.
            let Ok(place) = self.places.acquire().await else { return };
            place.forget();
            let (desk, member) = (self.clone(), member.clone());
            tokio::spawn(async move {
                desk.handle(&member, &question).await;
                desk.places.add_permits(1);
            });
        }
    }

    /// Returns when nothing is under way.
    async fn idle(&self) {
        if let Ok(all) = self.places.acquire_many(AT_ONCE as u32).await {
            all.forget();
        }
    }

    async fn handle(&self, member: &Member, question: &Delivery) {
        // What asks for no answer could not be told what became of it.
        if !question.wants_reply() {
            return;
        }
        let name = question.sender().name;
        // Held until the answer is taken in: whoever does not take it keeps no place from others.
        let turn = Turn::of(&self.busy, name);
        let answer = match &turn {
            Some(_) => self.answer(question).await,
            None => refused(format!("{name} asks more than {OF_ONE} things at once; wait for an answer")),
        };
        if timeout(TAKING, send(member, question, &answer)).await != Ok(Some(())) {
            tracing::info!(operator = %name, "an operator did not take its answer in");
        }
    }

    /// Has it done, if its sender may.
    async fn answer(&self, question: &Delivery) -> Answer {
        let (token, registry) = (question.token(), &self.served.operator.office.registry);
        // It may have been revoked since the node let it pass.
        if token.standing(&**registry.directory().load()).is_err() {
            return refused("revoked".into());
        }
        let request = match read(question) {
            Ok(request) => request,
            Err(error) => return refused(error),
        };
        let verb = request.verb().right();
        tracing::info!(operator = %question.sender().name, verb, "an operator asks");
        let mandate = Mandate::of(token.rights());
        // Who was handed a token, for a while and perhaps not to be handed on, could make somebody an operator for good.
        let mandate = if token.origin() == token.holder() { mandate } else { mandate.giving_none() };
        self.served.answer(&mandate, request, &self.node).await
    }
}

const fn refused(error: String) -> Answer {
    Answer::Refused { error }
}

/// What is asked. It must be what the message was let pass, and is on record, for.
fn read(question: &Delivery) -> Result<Request, String> {
    if question.body_len() > QUESTION_BYTES_MAX {
        return Err(format!("not a request: longer than {QUESTION_BYTES_MAX} bytes"));
    }
    let request: Request =
        serde_json::from_slice(&question.body()).map_err(|error| format!("not a request: {error}"))?;
    let right = request.verb().right();
    match question.capability() {
        Some(asked) if asked.as_str() == right => Ok(request),
        Some(_) | None => Err(format!("the request must be sent under the capability {right}")),
    }
}

/// Sends an answer in parts. `None` when it could not be sent whole.
async fn send(member: &Member, question: &Delivery, answer: &Answer) -> Option<()> {
    let text = serde_json::to_vec(answer).ok()?;
    let text = if text.len() <= ANSWER_BYTES_MAX {
        text
    } else {
        let why = format!(
            "the answer is longer than {ANSWER_BYTES_MAX} bytes; ask through the socket in the node's folder"
        );
        serde_json::to_vec(&refused(why)).ok()?
    };
    let text = Bytes::from(text);
    let parts = text.len().div_ceil(PART_BYTES);
    for index in 0..parts {
        let end = text.len().min((index + 1) * PART_BYTES);
        let part = Part { index: u32::try_from(index).ok()?, last: index + 1 == parts };
        let body = text.slice(index * PART_BYTES..end);
        member.reply_part(question, part, ContentType::json(), body).await.ok()?;
    }
    Some(())
}
