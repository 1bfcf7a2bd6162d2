//! A whole swarm inside the caller's process: its own authority, CA and node, on loopback, every check on.
//!
//! ```
//! use testudo::agents::Handlers;
//! use testudo::{AgentName, Capability, Role, Swarm};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let swarm = Swarm::embedded("docs").await?;
//! let adder = Handlers::new().on("add:numbers", |n: Vec<u64>, _| async move { Ok(n.iter().sum::<u64>()) });
//! let adder = adder.build()?;
//! swarm.spawn("adder", Role::new().serve("add:numbers"), move || adder.clone()).await?;
//!
//! let me = swarm.connect("me", Role::new().allow("add:numbers")).await?;
//! let add = Capability::parse("add:numbers")?;
//! let sum: u64 = me.bus().ask(AgentName::parse("adder")?, add, &[1, 2, 3]).await?;
//! assert_eq!(sum, 6);
//! assert!(swarm.shut_down().await?.is_balanced());
//! # Ok(())
//! # }
//! ```
//!
//! Node and agents run on one thread of their own, `testudo`; the caller's runtime is never blocked, nor does it
//! need actors. Agents of other processes may join: give them a saved [`Identity`].
//!
//! *Invariant*: a swarm in the same process is checked as one elsewhere: same links, same node, same log.

mod builder;
mod error;
mod kept;
mod life;
mod role;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use testudo_agents::{Agent, HostHandle, HostOptions};
use testudo_bus::metrics::{Account, Metrics};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{AgentName, Grant, PublicKey, RegistrySequence, SecretKey, SwarmId};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::connection::{Connection, connect};
use crate::env::System;
use crate::export::{ExporterStatus, TracesView};
use crate::identity::Identity;
use crate::operator::{Answer, Request};
use crate::runtime::{End, Thread, ThreadError};
use crate::swarm::new_key;

pub use builder::Builder;
pub use error::EmbeddedError;
use life::{Hosts, Plan, Started};
pub use role::{Role, RoleError};

/// The name of a swarm's thread.
const THREAD: &str = "testudo";

/// An end takes no longer: agents stop, the node drains, each within five seconds.
const END: Duration = Duration::from_secs(15);

/// A swarm in this process. [`Swarm::shut_down`] ends it and says what became of every message. Dropping it ends
/// it as well, in the background: a process that ends before that leaves its log unsealed and its temporary folder
/// behind.
#[derive(Debug)]
pub struct Swarm {
    thread: Thread,
    end: End<Option<Account>>,
    hosts: Hosts,
    started: Started,
    /// Names that this run has given to agents of its own.
    given: Mutex<HashSet<AgentName>>,
}

impl Swarm {
    fn started(thread: Thread, end: End<Option<Account>>, hosts: Hosts, started: Started) -> Self {
        Self { thread, end, hosts, started, given: Mutex::default() }
    }

    /// Starts a swarm with keys of its own in memory, and with its registry and audit log in a temporary folder
    /// that goes when the swarm ends.
    ///
    /// # Errors
    /// [`EmbeddedError`]; nothing of it then runs on.
    pub async fn embedded(name: &str) -> Result<Self, EmbeddedError> {
        Self::builder(name).start().await
    }

    /// The same, with a choice.
    pub fn builder(name: &str) -> Builder {
        let name = name.to_owned();
        Builder(Plan {
            name,
            folder: None,
            listen: None,
            packs: Vec::new(),
            exporters: Vec::new(),
            traces: None,
        })
    }

    /// Enrols an agent: the result is all that it needs to join from anywhere that reaches the node.
    ///
    /// # Errors
    /// [`EmbeddedError`]; then nobody is enrolled.
    pub async fn enrol(&self, name: &str, role: Role) -> Result<Identity, EmbeddedError> {
        let name = AgentName::parse(name)?;
        self.enrol_key(name, role.grant()?, new_key(&System)).await
    }

    async fn enrol_key(
        &self,
        name: AgentName,
        grant: Grant,
        key: SecretKey,
    ) -> Result<Identity, EmbeddedError> {
        let csr = self.csr(name, &key)?;
        let answer = self.ask(name, Request::AgentAdd { name, key: key.public(), grant, csr }).await?;
        let identity = identity(name, key, answer);
        self.or_out(name, identity).await
    }

    /// Invites an agent that runs elsewhere and makes its own key: the line is a secret, good for one agent within
    /// `lifetime`, which joins by [`crate::accept_invitation`] or `testudo join`.
    ///
    /// # Errors
    /// [`EmbeddedError`]; then nobody is invited.
    pub async fn invite(
        &self,
        name: &str,
        role: Role,
        lifetime: Duration,
    ) -> Result<Zeroizing<String>, EmbeddedError> {
        let name = AgentName::parse(name)?;
        let (grant, key, seconds) = (role.grant()?, new_key(&System), lifetime.as_secs());
        let request = Request::AgentInvite { name, key: key.public(), grant, seconds, host: None };
        let answer = self.ask(name, request).await?;
        let Answer::Invited(invited) = answer else { return Err(unexpected(name, &answer)) };
        Ok(invited.token(key).to_text())
    }

    /// A fresh certificate and token for an agent of this swarm, and the node's present address.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub async fn renew(&self, old: &Identity) -> Result<Identity, EmbeddedError> {
        self.renew_key(old.client.name, old.client.key.clone()).await
    }

    async fn renew_key(&self, name: AgentName, key: SecretKey) -> Result<Identity, EmbeddedError> {
        let csr = self.csr(name, &key)?;
        let answer = self.ask(name, Request::AgentRenew { name, csr }).await?;
        identity(name, key, answer)
    }

    /// Enrols an agent, or finds the one that an earlier start of this [folder](Builder::data) enrolled, and hosts it
    /// on the swarm's thread; returns when it hears its topics and has started, or
    /// has failed to (see [`HostHandle::ready`]). `factory` makes the agent, and makes it anew after a
    /// fault. What blocks it blocks the swarm: long work belongs in `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// [`EmbeddedError`]; then nobody is enrolled.
    pub async fn spawn<F, A>(&self, name: &str, role: Role, factory: F) -> Result<HostHandle, EmbeddedError>
    where
        F: Fn() -> A + Send + 'static,
        A: Agent,
    {
        self.spawn_with(name, role, factory, HostOptions::default()).await
    }

    /// The same, hosted as these options say.
    ///
    /// # Errors
    /// [`EmbeddedError`]; then nobody is enrolled.
    pub async fn spawn_with<F, A>(
        &self,
        name: &str,
        role: Role,
        factory: F,
        options: HostOptions,
    ) -> Result<HostHandle, EmbeddedError>
    where
        F: Fn() -> A + Send + 'static,
        A: Agent,
    {
        let held = self.hold(name, role).await?;
        let (identity, hosts) = (held.identity.clone(), self.hosts.clone());
        let traces = self.started.traces.clone();
        let hosted = self.thread.run(move || async move {
            let host = traced(connect(&identity).await?, traces.as_ref()).host(factory, options).await?;
            hosts.add(host.clone());
            Ok(host)
        });
        let hosted = hosted.await.unwrap_or_else(|error| Err(error.into()));
        if let Ok(host) = &hosted {
            // Why it does not stand is on the log, and in what the handle says of its end.
            let _ = host.ready().await;
        }
        self.or_let_go(held, hosted).await
    }

    /// Enrols an agent, or finds it as [`Swarm::spawn`] does, and connects it in the caller's runtime.
    ///
    /// # Errors
    /// [`EmbeddedError`]; then nobody is enrolled.
    pub async fn connect(&self, name: &str, role: Role) -> Result<Connection, EmbeddedError> {
        let held = self.hold(name, role).await?;
        let connection = connect(&held.identity).await.map_err(EmbeddedError::from);
        let connection = connection.map(|made| traced(made, self.started.traces.as_ref()));
        self.or_let_go(held, connection).await
    }

    /// Puts an agent out, at once and for good: when this returns, no byte more goes from it or to it.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub async fn revoke(&self, name: &str) -> Result<RegistrySequence, EmbeddedError> {
        let name = AgentName::parse(name)?;
        let sequence = self.put_out(name).await?;
        self.let_go(name).await;
        Ok(sequence)
    }

    async fn put_out(&self, name: AgentName) -> Result<RegistrySequence, EmbeddedError> {
        let cause = RevocationCause::Operator;
        let answer = self.ask(name, Request::AgentRevoke { name, cause }).await?;
        let Answer::Changed { sequence } = answer else { return Err(unexpected(name, &answer)) };
        Ok(sequence)
    }

    /// Where agents dial.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.started.operator.node
    }

    /// The swarm's id: the fingerprint of its authority's key.
    #[must_use]
    pub const fn id(&self) -> SwarmId {
        self.started.operator.swarm
    }

    /// The node's counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.started.metrics
    }

    /// What has become of all messages so far.
    #[must_use]
    pub fn account(&self) -> Account {
        self.started.metrics.account()
    }

    /// How its exporters are.
    #[must_use]
    pub fn exporters(&self) -> Vec<ExporterStatus> {
        self.started.exporters.all()
    }

    /// The spans of its sampled messages and what becomes of them, if it traces any.
    #[must_use]
    pub fn traces(&self) -> Option<TracesView> {
        self.started.traces.clone()
    }

    /// Where the audit log is. Without [`Builder::data`] it goes with the swarm.
    #[must_use]
    pub fn audit_dir(&self) -> &Path {
        &self.started.audit
    }

    /// The key that the audit log is verified with.
    #[must_use]
    pub const fn log_key(&self) -> &PublicKey {
        &self.started.log
    }

    /// Lets the agents on the swarm's thread finish, drains the node for at most five seconds, seals the log, and
    /// returns the last account.
    ///
    /// # Errors
    /// [`EmbeddedError::Thread`] when the swarm's thread has failed.
    pub async fn shut_down(self) -> Result<Account, EmbeddedError> {
        let Self { thread, end, .. } = self;
        drop(thread);
        Ok(end.within(END).await?.ok_or(ThreadError::Ended(THREAD))?)
    }

    fn csr(&self, name: AgentName, key: &SecretKey) -> Result<Option<String>, EmbeddedError> {
        let made = crate::identity::request(self.id(), name, key);
        made.map(Some).map_err(|what| EmbeddedError::Refused(name, what))
    }

    /// Asks the operator, on the thread where the actors are.
    async fn ask(&self, about: AgentName, request: Request) -> Result<Answer, EmbeddedError> {
        let operator = self.started.operator.clone();
        let answer = self.thread.run(move || async move { operator.answer(request).await }).await?;
        if let Answer::Refused { error } = answer {
            return Err(EmbeddedError::Refused(about, error));
        }
        Ok(answer)
    }

    /// Nobody but the caller who hears of an error could hold this agent's key: it must not stay enrolled.
    async fn or_out<T>(&self, name: AgentName, done: Result<T, EmbeddedError>) -> Result<T, EmbeddedError> {
        if done.is_err() {
            self.out(name).await;
        }
        done
    }

    /// Puts an agent out that nobody holds; says whether that was done.
    async fn out(&self, name: AgentName) -> bool {
        let done = self.put_out(name).await;
        if let Err(error) = &done {
            tracing::warn!(%error, "an agent that nobody holds stays enrolled");
        }
        done.is_ok()
    }
}

fn traced(connection: Connection, traces: Option<&TracesView>) -> Connection {
    match traces {
        Some(traces) => connection.traced(traces.spans()),
        None => connection,
    }
}

fn identity(name: AgentName, key: SecretKey, answer: Answer) -> Result<Identity, EmbeddedError> {
    let Answer::Credentials(credentials) = answer else { return Err(unexpected(name, &answer)) };
    Identity::issued(name, key, *credentials).map_err(|what| EmbeddedError::Refused(name, what))
}

fn unexpected(name: AgentName, answer: &Answer) -> EmbeddedError {
    EmbeddedError::Refused(name, format!("the operator gave an unexpected answer: {answer:?}"))
}
