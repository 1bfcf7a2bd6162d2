//! An agent's link as its program uses it, whatever runtime that program has: to an embedded swarm or to a
//! node elsewhere, the same.

use std::sync::Arc;
use std::time::Duration;

use testudo_agents::{Agent, Bus, HostHandle, HostOptions, Transport as _, host};
use testudo_bus::client::{Arrivals, DialError, Ended, Member};
use testudo_wire::Spans;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::timeout;

use crate::hosting::{Carrier, Ledger, Mail, carrier};
use crate::identity::{self, Identity};
use crate::runtime::{Jobs, Thread, ThreadError};

/// The thread for agents of callers who have no actix system.
const AGENTS: &str = "testudo-agents";

/// How long [`connect`] waits for the first link.
const FIRST: Duration = Duration::from_secs(5);

/// An agent's place in its swarm, whatever links it takes: when one ends it dials again for ever, subscribes
/// again and shows its tokens again; what was open is unknown and never sent again. Whoever is asked or told
/// something hosts an agent on it; whoever only asks needs no more than its [`Bus`].
#[derive(Debug)]
pub struct Connection {
    member: Member,
    out: Carrier,
    mail: Mail,
    ledger: Arc<Ledger>,
}

/// Connects an agent to its node, in any tokio runtime, and waits for the first link.
///
/// # Errors
/// [`DialError`], [`DialError::Unreachable`] when there is no link within 5 s.
pub async fn connect(identity: &Identity) -> Result<Connection, DialError> {
    let (member, arrivals) = join(identity).await?;
    let (out, mail, ledger) = carrier(member.clone(), arrivals);
    Ok(Connection { member, out, mail, ledger })
}

/// As [`connect`], for a program that takes its messages itself, one after the other.
///
/// # Errors
/// As [`connect`].
pub async fn join(identity: &Identity) -> Result<(Member, Arrivals), DialError> {
    let (member, arrivals) = identity::member(identity);
    match timeout(FIRST, member.connected()).await {
        Ok(Ok(())) => {
            member.seen().into_iter().for_each(|seen| identity.saw(seen));
            Ok((member, arrivals))
        }
        Ok(Err(Ended::Refused(why))) => Err(Arc::unwrap_or_clone(why)),
        Ok(Err(Ended::Left)) | Err(_) => Err(DialError::Unreachable(identity.node)),
    }
}

impl Connection {
    /// Gives the spans of traced messages that are handled here to `spans`, such as those of
    /// [`crate::export::Traces`]. Say it before [`Connection::host`].
    #[must_use]
    pub fn traced(self, spans: Arc<dyn Spans>) -> Self {
        Self { out: self.out.traced(spans), ..self }
    }

    /// The way to other agents.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.out.clone())
    }

    /// The member below: its links, its end, its counts.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// What went over its links.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Hosts an agent on this link: on the caller's actix system if there is one, else on a thread
    /// `testudo-agents` that all of this process share. What blocks it blocks every agent there.
    /// `factory` makes the agent, and makes it anew after a fault.
    ///
    /// # Errors
    /// [`ThreadError`].
    pub async fn host<F, A>(self, factory: F, options: HostOptions) -> Result<HostHandle, ThreadError>
    where
        F: Fn() -> A + Send + 'static,
        A: Agent,
    {
        let Self { out, mail, .. } = self;
        // A system that has ended leaves its name behind on its thread.
        if let Some(here) = actix::Arbiter::try_current().filter(actix::ArbiterHandle::alive) {
            let (answer, word) = oneshot::channel();
            // By way of the arbiter: a task of the runtime is not yet among the system's own.
            here.spawn_fn(move || {
                let _ = answer.send(host(out, mail, factory, options));
            });
            return word.await.map_err(|_| ThreadError::Ended("of the actix system"));
        }
        static SHARED: OnceCell<Thread> = OnceCell::const_new();
        let start = || async { Thread::start(AGENTS, Jobs::done).await.map(|(thread, _)| thread) };
        let thread = SHARED.get_or_try_init(start).await?;
        thread.run(move || async move { host(out, mail, factory, options) }).await
    }

    /// Leaves in good order: what was sent before goes first.
    pub async fn goodbye(self) {
        self.out.goodbye().await;
    }
}
