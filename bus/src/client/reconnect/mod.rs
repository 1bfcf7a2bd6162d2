//! An agent over as many links as it takes: dials for ever, and keeps what a new link needs to know.
//!
//! Nothing is ever sent again. What was open on a link that ended is [`SendError::Unknown`]; an answer goes to
//! the link that its request came on, or nowhere. Knows links only as [`Client`]s.

mod afresh;
mod arrivals;
pub(crate) mod backoff;
mod kept;
mod renewal;
mod run;
mod speaking;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Endpoint;
use testudo_wire::frame::Seen;
use testudo_wire::{Refusal, Resource, SessionId, Ttl};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

pub use arrivals::Arrivals;

use super::{Client, ClientIdentity, DialError, Outgoing, SendError, Watched};
use crate::env::SharedEnv;
use arrivals::Shelf;
use kept::{Kept, sum};
use run::Dialler;

/// Why a member has no link any more, and will have none.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Ended {
    /// It left, or nobody held it any more.
    #[error("left the swarm")]
    Left,
    /// Dialling again cannot help.
    #[error(transparent)]
    Refused(Arc<DialError>),
}

/// Whether there is a link.
#[derive(Clone, Debug)]
enum State {
    Away,
    /// It is being shown what the older ones were shown; what came on it can be answered.
    Opening(Client),
    Linked(Client),
    Ended(Ended),
}

/// What the task is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leave {
    Stay,
    Goodbye,
    Failed,
}

/// What a member and its task have in common.
#[derive(Debug)]
struct Core {
    /// The newest: it is renewed for as long as there is a link.
    identity: watch::Sender<Arc<ClientIdentity>>,
    env: SharedEnv,
    /// It is to be renewed now.
    renew: Notify,
    shelf: Arc<Shelf>,
    kept: Mutex<Kept>,
    /// The number of the trust statement that was kept last.
    trusts: AtomicU64,
}

impl Core {
    fn identity(&self) -> Arc<ClientIdentity> {
        self.identity.borrow().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One agent of the swarm, link after link. Cheap to clone; it leaves when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Member {
    core: Arc<Core>,
    state: watch::Receiver<State>,
    leave: Arc<watch::Sender<Leave>>,
}

impl Member {
    /// Begins to dial, and does so for ever: with full jitter, from 100 ms up to 10 s. `endpoint` is asked for
    /// each dial; `seen` is the newest welcome of an earlier run.
    pub fn join(
        endpoint: impl Fn() -> io::Result<Endpoint> + Send + Sync + 'static,
        node: SocketAddr,
        identity: Arc<ClientIdentity>,
        seen: Option<Seen>,
        env: SharedEnv,
    ) -> (Self, Arrivals) {
        let shelf = Arc::new(Shelf::default());
        let kept = Mutex::new(Kept::new(seen));
        let identity = watch::Sender::new(identity);
        let trusts = AtomicU64::new(identity.borrow().learnt.number());
        let core = Arc::new(Core { identity, renew: Notify::new(), env, shelf: shelf.clone(), kept, trusts });
        let (told, state) = watch::channel(State::Away);
        let (leave, leaving) = watch::channel(Leave::Stay);
        let endpoints = Arc::new(endpoint);
        let dialler = Dialler { endpoints, node, core: core.clone(), state: told, leave: leaving };
        tokio::spawn(dialler.run());
        (Self { core, state, leave: Arc::new(leave) }, Arrivals::of(shelf))
    }

    /// Who this is; its certificate and token are the newest there are.
    #[must_use]
    pub fn identity(&self) -> Arc<ClientIdentity> {
        self.core.identity()
    }

    /// The identity at each renewal, to be kept for the next run: the member renews it by itself, two thirds into the
    /// life of its certificate.
    #[must_use]
    pub fn renewals(&self) -> watch::Receiver<Arc<ClientIdentity>> {
        self.core.identity.subscribe()
    }

    /// Has certificate, token and link renewed now, not only when it is time; a node certifies an agent once a minute.
    pub fn renew(&self) {
        self.core.renew.notify_one();
    }

    /// Clock and dice of this agent.
    #[must_use]
    pub fn env(&self) -> &dyn crate::env::Env {
        &*self.core.env
    }

    /// The newest statement of a node, to show in a later run.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        self.core.kept().seen
    }

    /// Whether there is a link now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.ready().is_some()
    }

    /// Waits for a link.
    ///
    /// # Errors
    /// [`Ended`] when there will be none.
    pub async fn connected(&self) -> Result<(), Ended> {
        self.linked().await.map(drop)
    }

    /// Waits until there is no link and will be none, and says why.
    pub async fn ended(&self) -> Ended {
        let mut state = self.state.clone();
        let ended = state.wait_for(|state| matches!(state, State::Ended(_))).await;
        match ended.as_deref() {
            Ok(State::Ended(why)) => why.clone(),
            Ok(State::Away | State::Linked(_) | State::Opening(_)) | Err(_) => Ended::Left,
        }
    }

    /// The session of the link, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.current().map(|client| client.session())
    }

    /// The same however often that link is renewed: it differs once a link has ended, and with it what was under way.
    #[must_use]
    pub fn line(&self) -> Option<SessionId> {
        self.current().map(|client| client.line())
    }

    /// The link that there is, in full use or not.
    fn current(&self) -> Option<Client> {
        self.counted().filter(Client::is_open)
    }

    /// The link that a message can go on now.
    fn ready(&self) -> Option<Client> {
        match &*self.state.borrow() {
            State::Linked(client) if client.is_open() => Some(client.clone()),
            State::Linked(_) | State::Away | State::Ended(_) | State::Opening(_) => None,
        }
    }

    async fn linked(&self) -> Result<Client, Ended> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| match state {
            State::Linked(client) => client.is_open(),
            State::Away | State::Opening(_) => false,
            State::Ended(_) => true,
        });
        match found.await.as_deref() {
            Ok(State::Linked(client)) => Ok(client.clone()),
            Ok(State::Ended(why)) => Err(why.clone()),
            Ok(State::Away | State::Opening(_)) | Err(_) => Err(Ended::Left),
        }
    }

    /// A link within so much time; nothing was sent if there is none.
    async fn within(&self, ttl: Ttl) -> Result<Client, SendError> {
        let found = timeout(ttl.duration(), self.linked()).await;
        let none = || SendError::NoLink(ttl.as_millis());
        found.map_err(|_| none())?.map_err(|_| none())
    }

    /// The link for a message, whose time to live runs from now.
    async fn carry(&self, mut message: Outgoing) -> Result<(Client, Outgoing), SendError> {
        if let Some(client) = self.ready() {
            return Ok((client, message));
        }
        let since = Instant::now();
        let client = self.within(message.ttl).await?;
        message.ttl = Ttl::clamped(message.ttl.duration().saturating_sub(since.elapsed()));
        Ok((client, message))
    }

    /// The topics whose messages come now.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<Resource> {
        self.current().map(|client| client.topics()).unwrap_or_default()
    }

    /// Messages refused so far over all links, by reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<Refusal, u64> {
        let kept = self.core.kept();
        self.counted()
            .map_or_else(|| kept.counts.refused.clone(), |c| sum(&kept.counts.refused, &c.refused()))
    }

    /// Subscribers' copies of this agent's messages to topics that were refused or dropped, over all links.
    #[must_use]
    pub fn copies_refused(&self) -> BTreeMap<Refusal, u64> {
        let kept = self.core.kept();
        self.counted()
            .map_or_else(|| kept.counts.copies.clone(), |c| sum(&kept.counts.copies, &c.copies_refused()))
    }

    /// Messages whose outcome nobody can know, because another agent's link ended, over all links.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let kept = self.core.kept();
        kept.counts.lost + self.counted().map_or(0, |client| client.lost())
    }

    /// What this agent has seen of its node's log, over all links.
    #[must_use]
    pub fn watched(&self) -> Watched {
        self.core.identity().memory.watched()
    }

    /// The link whose counts are not added up yet.
    fn counted(&self) -> Option<Client> {
        match &*self.state.borrow() {
            State::Linked(client) | State::Opening(client) => Some(client.clone()),
            State::Away | State::Ended(_) => None,
        }
    }

    /// Waits until the node is done with everything that was sent on this link.
    pub async fn flush(&self) {
        if let Some(client) = self.current() {
            client.flush().await;
        }
    }

    /// Leaves in good order, and dials no more.
    pub async fn goodbye(&self) {
        self.leave.send_replace(Leave::Goodbye);
        self.ended().await;
    }

    /// The host has given up on this agent: the node is to revoke and report it. Dials no more.
    pub async fn failed(&self) {
        self.leave.send_replace(Leave::Failed);
        self.ended().await;
    }
}
