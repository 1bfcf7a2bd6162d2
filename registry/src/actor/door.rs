//! The registry's door: a cheap, cloneable handle with one typed method for each verb.
//!
//! Operators' changes have a lane of their own, so that no storm of logins keeps a revocation out. What
//! a link says without waiting (heartbeats, its end) is held here, latest wins, until the registry looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Addr;
use testudo_wire::standing::{Grant, Holder, RevocationCause};
use testudo_wire::{AgentName, RegistrySequence, SessionId, Timestamp, TokenFactId};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::keeper::Keeper;
use super::run::{Ask, Registry, ShutDown, Verb};
use super::vault::Durability;
use super::{LinkRequest, VerbError};
use crate::barrier::WriterBarrier;
use crate::book::{
    AgentView, EnrolError, FailError, GrantError, HouseError, LoginError, ReinstateError, RevokeError,
    TokenError, Trusted, TrustedError,
};
use crate::snapshot::Directory;

/// Operators' verbs in the mailbox at once.
const OPERATOR_LANE: usize = 16;
/// Links' verbs and questions in the mailbox at once; the others wait in their callers.
const LINK_LANE: usize = 64;
/// Each agent has at most a present and a draining link.
const OFFERS_PER_AGENT: usize = 2;

/// What became of an offer that nobody waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offered {
    /// No room: more sessions than agents can have.
    Refused,
    /// Taken; looked at within a second.
    Taken,
}

/// How the registry's disk does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// Changes in effect that are not yet stored or recorded.
    pub backlog: usize,
    /// Since when, on the wall clock, the store or the audit log has failed.
    pub failing_since: Option<Timestamp>,
}

/// Offers of links, at most one of a kind for each session.
#[derive(Debug, Default)]
pub(super) struct Offers {
    pub(super) beats: BTreeMap<SessionId, (AgentName, Duration)>,
    pub(super) lost: BTreeMap<SessionId, AgentName>,
}

/// What door and keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    epoch: Instant,
    offers_max: usize,
    offers: Mutex<Offers>,
    health: Mutex<Health>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(agents_max: usize) -> Self {
        let offers_max = agents_max.saturating_mul(OFFERS_PER_AGENT);
        Self { epoch: Instant::now(), offers_max, offers: Mutex::default(), health: Mutex::default() }
    }

    /// Monotonic time since the registry was opened.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(super) fn take_offers(&self) -> Offers {
        std::mem::take(&mut *locked(&self.offers))
    }

    /// `failing_at` is the present time if store or audit log fail.
    pub(super) fn report(&self, backlog: usize, failing_at: Option<Timestamp>) {
        let mut health = locked(&self.health);
        let failing_since = failing_at.map(|now| health.failing_since.unwrap_or(now));
        *health = Health { backlog, failing_since };
    }
}

/// The way to the registry.
#[derive(Clone, Debug)]
pub struct RegistryDoor {
    address: Addr<Registry>,
    shared: Arc<Shared>,
    directory: Directory,
    barrier: WriterBarrier,
    pub(super) operators: Arc<Semaphore>,
    pub(super) links: Arc<Semaphore>,
    pub(super) invited: watch::Receiver<Option<Timestamp>>,
}

impl RegistryDoor {
    pub(super) fn new(
        address: Addr<Registry>,
        shared: Arc<Shared>,
        directory: Directory,
        barrier: WriterBarrier,
        invited: watch::Receiver<Option<Timestamp>>,
    ) -> Self {
        let operators = Arc::new(Semaphore::new(OPERATOR_LANE));
        let links = Arc::new(Semaphore::new(LINK_LANE));
        Self { address, shared, directory, barrier, operators, links, invited }
    }

    /// The lock-free reading half.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where link writers register.
    #[must_use]
    pub const fn barrier(&self) -> &WriterBarrier {
        &self.barrier
    }

    /// Whether the actor lives. When it does not, all its links were closed: end the node.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.address.connected()
    }

    /// How its disk does.
    #[must_use]
    pub fn health(&self) -> Health {
        *locked(&self.shared.health)
    }

    pub(super) async fn ask<V, T, E>(&self, lane: &Arc<Semaphore>, verb: V) -> Result<T, VerbError<E>>
    where
        V: Verb<Answer = Result<T, VerbError<E>>>,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let permit = Arc::clone(lane).acquire_owned().await.map_err(|_| VerbError::Closed)?;
        self.address.send(Ask { verb, permit }).await.map_err(|_| VerbError::Closed)?
    }

    /// Enrols a new agent, or a new key under a name that was revoked for good. Durable on return.
    ///
    /// # Errors
    /// [`VerbError`]; nothing changed unless it says so.
    pub async fn enrol(
        &self,
        holder: Holder,
        grant: Grant,
    ) -> Result<RegistrySequence, VerbError<EnrolError>> {
        self.ask(&self.operators, Enrol { holder, grant }).await
    }

    /// Takes the node's own agent in, under the name that the rules reserve and for this run alone.
    ///
    /// # Errors
    /// [`VerbError`]; nothing changed.
    pub async fn house(&self, holder: Holder, grant: Grant) -> Result<(), VerbError<HouseError>> {
        self.ask(&self.operators, House { holder, grant }).await
    }

    /// Makes a grant smaller. In effect everywhere on this node on return.
    ///
    /// # Errors
    /// [`VerbError`], as for [`RegistryDoor::revoke`].
    pub async fn narrow(
        &self,
        name: AgentName,
        grant: Grant,
    ) -> Result<RegistrySequence, VerbError<GrantError>> {
        self.ask(&self.operators, Narrow { name, grant }).await
    }

    /// Replaces a grant, perhaps by a wider one. Durable on return.
    ///
    /// # Errors
    /// [`VerbError`]; nothing changed unless it says so.
    pub async fn regrant(
        &self,
        name: AgentName,
        grant: Grant,
    ) -> Result<RegistrySequence, VerbError<GrantError>> {
        self.ask(&self.operators, Regrant { name, grant }).await
    }

    /// Puts an agent out. On return no link writer of this node hands over a byte from or to it, whatever
    /// the answer but [`VerbError::Refused`] and [`VerbError::Closed`].
    ///
    /// # Errors
    /// [`VerbError::NotYetDurable`] when it is in effect but store or audit log failed.
    pub async fn revoke(
        &self,
        name: AgentName,
        cause: RevocationCause,
    ) -> Result<RegistrySequence, VerbError<RevokeError>> {
        self.ask(&self.operators, Revoke { name, cause }).await
    }

    /// The agent's host gave up, and says so on this session: the agent is out with
    /// [`RevocationCause::Failed`], its links are closed, this one included, until an operator reinstates it.
    /// Only its latest link may say so; that this link ended meanwhile does not take it back.
    ///
    /// # Errors
    /// [`VerbError`], as for [`RegistryDoor::revoke`].
    pub async fn fail(
        &self,
        name: AgentName,
        session: SessionId,
    ) -> Result<RegistrySequence, VerbError<FailError>> {
        self.ask(&self.links, Fail { name, session }).await
    }

    /// Brings a silent or failed agent back. Durable on return; it needs new tokens.
    ///
    /// # Errors
    /// [`VerbError`]; nothing changed unless it says so.
    pub async fn reinstate(&self, name: AgentName) -> Result<RegistrySequence, VerbError<ReinstateError>> {
        self.ask(&self.operators, Reinstate { name }).await
    }

    /// Voids every token that holds a block of this id.
    ///
    /// # Errors
    /// [`VerbError`], as for [`RegistryDoor::revoke`].
    pub async fn revoke_token(&self, id: TokenFactId) -> Result<RegistrySequence, VerbError<TokenError>> {
        self.ask(&self.operators, RevokeToken { id }).await
    }

    /// Goes by another trust statement, which its caller has checked and kept: tokens of an authority that it does not
    /// name count no more, with all that [`RegistryDoor::revoke`] promises.
    ///
    /// # Errors
    /// [`VerbError`], as for [`RegistryDoor::revoke`].
    pub async fn trust(&self, trusted: Trusted) -> Result<RegistrySequence, VerbError<TrustedError>> {
        self.ask(&self.operators, Trust { trusted }).await
    }

    /// Asks to be an agent's link. The answer is the sequence that the welcome tells. From then on the
    /// caller owes [`RegistryDoor::link_lost`] when the link ends, best from a `Drop`.
    ///
    /// # Errors
    /// [`VerbError::Refused`] with the reason; the link must then be closed.
    pub async fn login(&self, request: LinkRequest) -> Result<RegistrySequence, VerbError<LoginError>> {
        self.ask(&self.links, LogIn(request)).await
    }

    /// The agent said goodbye on this session: its lease ends and silence is no offence.
    ///
    /// # Errors
    /// [`VerbError::Closed`].
    pub async fn goodbye(
        &self,
        name: AgentName,
        session: SessionId,
    ) -> Result<(), VerbError<std::convert::Infallible>> {
        self.ask(&self.links, Goodbye { name, session }).await
    }

    /// One agent.
    ///
    /// # Errors
    /// [`VerbError::Closed`].
    pub async fn get(
        &self,
        name: AgentName,
    ) -> Result<Option<AgentView>, VerbError<std::convert::Infallible>> {
        self.ask(&self.links, Get { name }).await
    }

    /// All agents by name.
    ///
    /// # Errors
    /// [`VerbError::Closed`].
    pub async fn list(&self) -> Result<Vec<AgentView>, VerbError<std::convert::Infallible>> {
        self.ask(&self.links, List).await
    }

    /// A heartbeat arrived on this session and its signature is good. Never waits; the latest wins.
    pub fn heartbeat(&self, name: AgentName, session: SessionId) -> Offered {
        let now = self.shared.now();
        let mut offers = locked(&self.shared.offers);
        offer(&mut offers.beats, self.shared.offers_max, session, (name, now))
    }

    /// The link of this session ended without a goodbye. Never waits.
    pub fn link_lost(&self, name: AgentName, session: SessionId) -> Offered {
        let mut offers = locked(&self.shared.offers);
        offer(&mut offers.lost, self.shared.offers_max, session, name)
    }

    /// Stores what can be stored, closes every link and ends the actor.
    ///
    /// # Errors
    /// [`VerbError::NotYetDurable`] when changes are lost with it.
    pub async fn shut_down(&self) -> Result<(), VerbError<std::convert::Infallible>> {
        match self.address.send(ShutDown).await {
            Ok(Durability::Durable) => Ok(()),
            Ok(Durability::Owed) => Err(VerbError::NotYetDurable { sequence: self.directory.sequence() }),
            Err(_) => Err(VerbError::Closed),
        }
    }
}

fn offer<T>(offers: &mut BTreeMap<SessionId, T>, max: usize, session: SessionId, value: T) -> Offered {
    if offers.len() >= max && !offers.contains_key(&session) {
        return Offered::Refused;
    }
    offers.insert(session, value);
    Offered::Taken
}

struct Enrol {
    holder: Holder,
    grant: Grant,
}
struct House {
    holder: Holder,
    grant: Grant,
}
struct Narrow {
    name: AgentName,
    grant: Grant,
}
struct Regrant {
    name: AgentName,
    grant: Grant,
}
struct Revoke {
    name: AgentName,
    cause: RevocationCause,
}
struct Fail {
    name: AgentName,
    session: SessionId,
}
struct Reinstate {
    name: AgentName,
}
struct RevokeToken {
    id: TokenFactId,
}

struct Trust {
    trusted: Trusted,
}
struct LogIn(LinkRequest);
struct Goodbye {
    name: AgentName,
    session: SessionId,
}
struct Get {
    name: AgentName,
}
struct List;

/// Each verb is a message with one answer; the keeper does the work.
macro_rules! verbs {
    ($($verb:ident($this:ident, $keeper:ident) -> $answer:ty, $error:ty: $work:expr;)+) => {$(
        impl Verb for $verb {
            type Answer = Result<$answer, VerbError<$error>>;
            async fn run(self, $keeper: &mut Keeper) -> Self::Answer {
                let $this = self;
                $work
            }
        }
    )+};
}

verbs! {
    Enrol(it, keeper) -> RegistrySequence, EnrolError: keeper.enrol(it.holder, it.grant).await;
    House(it, keeper) -> (), HouseError: keeper.house(it.holder, it.grant);
    Narrow(it, keeper) -> RegistrySequence, GrantError: keeper.narrow(it.name, it.grant).await;
    Regrant(it, keeper) -> RegistrySequence, GrantError: keeper.regrant(it.name, it.grant).await;
    Revoke(it, keeper) -> RegistrySequence, RevokeError: keeper.revoke(it.name, it.cause).await;
    Fail(it, keeper) -> RegistrySequence, FailError: keeper.fail(it.name, it.session).await;
    Reinstate(it, keeper) -> RegistrySequence, ReinstateError: keeper.reinstate(it.name).await;
    RevokeToken(it, keeper) -> RegistrySequence, TokenError: keeper.revoke_token(it.id).await;
    Trust(it, keeper) -> RegistrySequence, TrustedError: keeper.trust(it.trusted).await;
    LogIn(it, keeper) -> RegistrySequence, LoginError: keeper.login(it.0).await;
    Goodbye(it, keeper) -> (), std::convert::Infallible: { keeper.goodbye(&it.name, it.session); Ok(()) };
    Get(it, keeper) -> Option<AgentView>, std::convert::Infallible: Ok(keeper.get(&it.name));
    List(_it, keeper) -> Vec<AgentView>, std::convert::Infallible: Ok(keeper.list());
}
