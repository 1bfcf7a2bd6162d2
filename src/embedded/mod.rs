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

mod life;
mod role;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testudo_agents::{Agent, HostHandle, HostOptions};
use testudo_bus::client::DialError;
use testudo_bus::metrics::{Account, Metrics};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{AgentName, NameError, PublicKey, RegistrySequence, SecretKey, SwarmId};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::config::ConfigError;
use crate::connection::{Connection, connect};
use crate::env::System;
use crate::export::config::ExporterSection;
use crate::export::{ExporterStatus, TracesSection, TracesView};
use crate::files::FileError;
use crate::identity::Identity;
use crate::operator::{Answer, Request};
use crate::runtime::{End, Thread, ThreadError};
use crate::server::ServerError;
use crate::swarm::{SwarmError, new_key};

use life::{Hosts, Plan, Started, live};
pub use role::{Role, RoleError};

/// The name of a swarm's thread.
const THREAD: &str = "testudo";

/// An end takes no longer: agents stop, the node drains, each within five seconds.
const END: Duration = Duration::from_secs(15);

/// Why something could not be done with an embedded swarm. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The folder's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An agent could not connect.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The name of an agent breaks the grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The folder is another swarm's.
    #[error("{} holds the swarm {found:?}, not {wanted:?}; choose another folder or that name", folder.display())]
    OtherSwarm {
        /// The folder.
        folder: PathBuf,
        /// Its swarm's name.
        found: String,
        /// The name that was given.
        wanted: String,
    },
    /// The registry says no.
    #[error("{0}: {1}")]
    Refused(AgentName, String),
    /// The role cannot be given.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The node cannot be started.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The keys cannot be made or read.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The swarm's thread.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}

/// What a swarm is to be, when a name is not enough.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(Plan);

impl Builder {
    /// Keeps keys, registry and audit log in a folder, as `testudo init` makes it: the next start is the same
    /// swarm, `testudo audit` and `testudo agent` work on it, and `testudo node` can take it over.
    /// Agents stay enrolled: keep their identities, too, and [`Swarm::renew`] them.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.folder = Some(folder.into());
        self
    }

    /// Listens at this UDP address instead of any free port of 127.0.0.1.
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.0.listen = Some(address);
        self
    }

    /// Adds a pack of rules for the content guard, a TOML file, to the standard rules and those of the folder.
    pub fn guard_pack(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.packs.push(file.into());
        self
    }

    /// Sends what the audit log tells to one place more, as `[[exporter]]` of a node's configuration does.
    pub fn export(mut self, exporter: ExporterSection) -> Self {
        self.0.exporters.push(exporter);
        self
    }

    /// Sends spans of sampled messages to an OpenTelemetry collector, as `[traces]` of a node's configuration does:
    /// the node's, and those of the agents that run in this process.
    pub fn traces(mut self, traces: TracesSection) -> Self {
        self.0.traces = Some(traces);
        self
    }

    /// Starts the swarm.
    ///
    /// # Errors
    /// [`EmbeddedError`]; nothing of it then runs on.
    pub async fn start(self) -> Result<Swarm, EmbeddedError> {
        let Self(plan) = self;
        let hosts = Hosts::default();
        let (ready, is_ready) = oneshot::channel();
        let with = hosts.clone();
        let (thread, end) = Thread::start(THREAD, move |jobs| live(plan, with, ready, jobs)).await?;
        let started = is_ready.await.map_err(|_| ThreadError::Ended(THREAD))??;
        Ok(Swarm { thread, end, hosts, started })
    }
}

/// A swarm in this process. [`Swarm::shut_down`] ends it and says what became of every message. Dropping it ends
/// it as well, in the background: a process that ends before that leaves its log unsealed and its temporary folder
/// behind.
#[derive(Debug)]
pub struct Swarm {
    thread: Thread,
    end: End<Option<Account>>,
    hosts: Hosts,
    started: Started,
}

impl Swarm {
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
        let (grant, key) = (role.grant()?, new_key(&System));
        let answer = self
            .ask(name, Request::AgentAdd { name, key: key.public(), grant, csr: self.csr(name, &key)? })
            .await?;
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
        let name = old.client.name;
        let answer =
            self.ask(name, Request::AgentRenew { name, csr: self.csr(name, &old.client.key)? }).await?;
        identity(name, old.client.key.clone(), answer)
    }

    /// Enrols an agent and hosts it on the swarm's thread; returns when it hears its topics and has started, or
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
        let identity = self.enrol(name, role).await?;
        let (name, hosts) = (identity.client.name, self.hosts.clone());
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
        self.or_out(name, hosted).await
    }

    /// Enrols an agent and connects it in the caller's runtime.
    ///
    /// # Errors
    /// [`EmbeddedError`]; then nobody is enrolled.
    pub async fn connect(&self, name: &str, role: Role) -> Result<Connection, EmbeddedError> {
        let identity = self.enrol(name, role).await?;
        let connection = connect(&identity).await.map_err(EmbeddedError::from);
        let connection = connection.map(|made| traced(made, self.started.traces.as_ref()));
        self.or_out(identity.client.name, connection).await
    }

    /// Puts an agent out, at once and for good: when this returns, no byte more goes from it or to it.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub async fn revoke(&self, name: &str) -> Result<RegistrySequence, EmbeddedError> {
        let name = AgentName::parse(name)?;
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
            let out = Request::AgentRevoke { name, cause: RevocationCause::Operator };
            if let Err(error) = self.ask(name, out).await {
                tracing::warn!(%error, "an agent that nobody holds stays enrolled");
            }
        }
        done
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
