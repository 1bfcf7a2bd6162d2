//! A node: accepts links, has their bundles judged, delivers, and accounts for every message.
//!
//! [`Node::start`] puts the parts together on the current arbiter; which socket, clock, store and keys they
//! are is the composition root's choice. Everything a node runs ends with [`Node::shut_down`].

mod accept;
mod allowance;
mod bodies;
mod bounds;
mod certifier;
mod control;
mod doors;
mod floods;
mod gossip;
mod greet;
mod intake;
mod journal;
mod lanes;
mod line;
mod link;
mod news;
mod notices;
mod office;
mod outbox;
mod outboxes;
mod outcomes;
mod pace;
mod parcel;
mod parts;
mod patience;
mod receipts;
mod requests;
mod services;
mod settle;
mod shared;
mod subscriptions;
mod sweep;
mod tally;
mod telling;
mod topics;
mod trust;
mod turns;
mod view;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use testudo_registry::{Directory, RegistryDoor};
use testudo_rules::audit::{Cause, Event, NodeEvent};
use testudo_rules::inspect::Inspector;
use testudo_wire::frame::CloseReason;
use testudo_wire::{AgentName, Digest, Holder, Refusal, RegistrySequence};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::audit::AuditLog;
use crate::capability::CapabilityDoor;
use crate::guard::{GuardDoor, run_commits};
use crate::join::{Bind, Desk, JoinPort, PortParts};
use crate::metrics::{Account, Metrics};
use crate::tls::{self, ChainToCa, Listed, Listing, NodeCertificate, TlsError, server_config};
use crate::traced::Tracing;
use crate::transport::{self, Acceptor};

pub use crate::guard::Commit;
pub use bodies::Bodies;
pub use office::{Office, OfficeParts};
pub use parts::{NodeParts, StartError};
pub use tally::Tallied;
pub use view::{LinkView, Traffic, Waiting};

pub(crate) use doors::Doors;
pub(crate) use lanes::outbox;
pub(crate) use link::{Held, Judging, Link};
pub(crate) use outbox::{Outbox, Permit};
pub(crate) use parcel::{Answer, Carried, Ended, Parcel, Place};
pub(crate) use receipts::Pending;
pub(crate) use requests::Request;
pub(crate) use services::Candidates;
pub(crate) use settle::{Reservation, Ticket};
pub(crate) use shared::Shared;
pub(crate) use topics::may as may_subscribe;
pub(crate) use trust::{announced, dependents};

use certifier::Certifier;
use shared::Given;

/// How long a shut-down may drain; with the rest of it that makes five seconds.
const DRAIN: Duration = Duration::from_secs(4);
/// How long it waits until every peer has heard of it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What one accept loop needs.
pub(crate) struct Listener {
    pub(crate) shared: Arc<Shared>,
    pub(crate) guard: GuardDoor,
    pub(crate) acceptor: Acceptor,
    pub(crate) doors: Doors,
    pub(crate) is_stale: watch::Sender<Option<RegistrySequence>>,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    guard: GuardDoor,
    is_stale: watch::Receiver<Option<RegistrySequence>>,
    certificate: Arc<NodeCertificate>,
    certified: watch::Receiver<tls::Leaf>,
    tasks: Vec<JoinHandle<()>>,
}

/// The directory, asked at every handshake.
struct List(Directory);

impl Listing for List {
    fn look_up(&self, holder: &Holder) -> Listed {
        let snapshot = self.0.load();
        match snapshot.agent(&holder.name) {
            Some(_) if snapshot.may_link(holder) => Listed::Good,
            Some(standing) if standing.key == holder.key => Listed::Revoked,
            Some(_) | None => Listed::Unknown,
        }
    }
}

impl Node {
    /// Starts a node on the current arbiter.
    ///
    /// # Errors
    /// [`StartError`]; nothing of it then runs on.
    pub fn start(parts: NodeParts) -> Result<Self, StartError> {
        let NodeParts { name, key, roots, agents, clock, audit, .. } = parts;
        clock.go_on_from(audit.began());
        let env: crate::env::SharedEnv = clock;
        let certifier = Certifier::new(agents, roots.clone(), env.clone());
        let (first, leaf) = certifier.own(name, &key)?;
        let certificate = Arc::new(NodeCertificate::new(first));
        let office = Office::open(OfficeParts {
            roots: roots.clone(),
            store: parts.store,
            rules: parts.rules,
            audit: audit.clone(),
            witnessed: parts.witnessed,
            env: env.clone(),
        })?;
        // Whatever a crash came between: the log says what is in force.
        office.note_trust(&roots.load().trust, &*env);
        let Office { registry, capability, .. } = office;
        let listing = Arc::new(List(registry.directory().clone()));
        let tls = Arc::new(server_config(roots.clone(), listing, certificate.clone(), env.clone())?);
        let endpoint = transport::listen_as(&key, tls.clone(), parts.socket)?;
        let shared = Arc::new(Shared::new(Given {
            swarm: roots.load().trust.swarm(),
            roots: roots.clone(),
            key,
            env: env.clone(),
            heartbeat: parts.rules.interval,
            window: parts.window,
            bodies: parts.bodies,
            registry,
            capability,
            audit: audit.clone(),
            commit: parts.commit,
            tracing: Tracing::new(parts.spans),
            certifier,
        }));
        roots.serves(&shared);
        let guard = GuardDoor::start(shared.clone(), parts.inspector);
        let (stale, is_stale) = watch::channel(None);
        let (certifying, certified) = watch::channel(leaf.clone());
        let listener = Arc::new(Listener {
            shared: shared.clone(),
            guard: guard.clone(),
            acceptor: Acceptor::new(tls),
            doors: Doors::default(),
            is_stale: stale,
        });
        // It ends with the log by itself: to be cut off within a cut would leave half of one.
        tokio::spawn(audit.clone().run_retention(env.clone()));
        let tasks = vec![
            tokio::spawn(listen(endpoint.clone(), listener)),
            tokio::spawn(receipts::run(shared.clone())),
            tokio::spawn(run_commits(shared.clone())),
            tokio::spawn(notices::run(shared.clone())),
            tokio::spawn(gossip::run(shared.clone())),
            tokio::spawn(subscriptions::run(shared.clone())),
            tokio::spawn(sweep::sweep(shared.clone())),
            tokio::spawn(certifier::rotate(shared.clone(), name, certificate.clone(), leaf, certifying)),
        ];
        Ok(Self { endpoint, shared, guard, is_stale, certificate, certified, tasks })
    }

    /// The address that links come in at.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Vets by other rules from the next bundle on, once that is on record.
    ///
    /// # Errors
    /// The audit log's; the rules are then as they were.
    pub fn set_rules(&self, inspector: Inspector, digest: Digest, packs: u16) -> Result<(), Refusal> {
        let event = Event::Node(NodeEvent::Rules { digest, packs });
        let _ =
            self.shared.audit.append(&self.shared.record(event)).map_err(|_| Refusal::AuditUnavailable)?;
        self.guard.set_rules(inspector);
        Ok(())
    }

    /// Registry, capability actor and log, for an operator.
    #[must_use]
    pub fn office(&self) -> Office {
        Office {
            registry: self.shared.registry.clone(),
            capability: self.shared.capability.clone(),
            audit: self.shared.audit.clone(),
            roots: self.shared.roots.clone(),
        }
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &RegistryDoor {
        &self.shared.registry
    }

    /// The capability actor.
    #[must_use]
    pub fn capability(&self) -> &CapabilityDoor {
        &self.shared.capability
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> &Arc<AuditLog> {
        &self.shared.audit
    }

    /// Names of agents with an open link.
    #[must_use]
    pub fn linked(&self) -> Vec<AgentName> {
        self.shared.routes().keys().copied().collect()
    }

    /// Whether guard, registry, capability actor, the node's own tasks and the one that makes the audit log durable live.
    #[must_use]
    pub fn actors_live(&self) -> bool {
        let actors =
            self.guard.is_alive() && self.shared.registry.is_alive() && self.shared.capability.is_alive();
        let syncs = !self.shared.audit.is_sync_over();
        actors && syncs && !self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// The registry sequence that proves ours to be an old copy, once somebody has shown it. The node then
    /// accepts no link any more.
    #[must_use]
    pub fn stale(&self) -> watch::Receiver<Option<RegistrySequence>> {
        self.is_stale.clone()
    }

    /// The node's own certificate, as new links see it. It is replaced when it is due, while the node runs.
    #[must_use]
    pub fn certificate(&self) -> tls::Leaf {
        self.certified.borrow().clone()
    }

    /// Listens for newcomers on a port of its own, whenever an invitation is outstanding.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn listen_for_newcomers(&self, desk: Arc<dyn Desk>, bind: Bind) -> Result<JoinPort, TlsError> {
        let certificate = Arc::new(ChainToCa::new(self.certificate.clone(), self.shared.roots.clone()));
        let (shared, is_stale) = (self.shared.clone(), self.is_stale.clone());
        JoinPort::start(PortParts { shared, certificate, desk, bind, is_stale })
    }

    /// Stops taking anything in, drains for at most four seconds, closes every link, and seals the log, all of it
    /// within five. Returns the last account.
    pub async fn shut_down(&self) -> Account {
        if let Some(listening) = self.tasks.first() {
            listening.abort();
        }
        self.shared.drain();
        let metrics = self.shared.metrics.clone();
        let drained = async {
            let is_busy = || metrics.account().queued + metrics.account().in_flight > 0;
            while is_busy() || !self.shared.commits.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(DRAIN, drained).await;
        for link in self.shared.close_all(CloseReason::Shutdown) {
            self.shared.bury(&link.outboxes.close(), Cause::Shutdown);
        }
        if let Err(error) = self.shared.registry.shut_down().await {
            tracing::error!(%error, "the registry did not end in good order");
        }
        self.endpoint.close(CloseReason::Shutdown.code().into(), b"shutdown");
        let _ = timeout(LAST_WORDS, self.endpoint.wait_idle()).await;
        for task in self.tasks.iter().skip(1) {
            task.abort();
        }
        self.shared.note(Event::Node(NodeEvent::Stopped));
        if let Err(error) = self.shared.audit.shutdown().await {
            tracing::error!(%error, "the audit log could not be sealed");
        }
        self.shared.metrics.account()
    }
}

/// The accept loop: bounded handshakes, and an address check when many are under way.
async fn listen(endpoint: Endpoint, listener: Arc<Listener>) {
    while let Some(incoming) = endpoint.accept().await {
        if listener.is_stale.borrow().is_some() {
            incoming.refuse();
        } else if listener.doors.is_busy() && !incoming.remote_address_validated() {
            // The only error is that it was validated, which was asked just now.
            let _ = incoming.retry();
        } else if let Some(place) = listener.doors.queue() {
            tokio::spawn(accept::serve(listener.clone(), incoming, place));
        } else {
            incoming.refuse();
        }
    }
}
