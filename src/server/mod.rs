//! The composition: a configuration becomes a running node with its operator's socket and its health pages.
//!
//! The one place where keys, files, sockets, clocks and actors meet.

mod admin;
mod checks;
mod clock;
mod expiry;
mod folder;
mod guard;
mod office;
mod web;
mod witnessing;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use testudo_bus::audit::{OpenError, lowest_cursor, was_exported};
use testudo_bus::env::SharedEnv;
use testudo_bus::join::JoinPort;
use testudo_bus::metrics::Account;
use testudo_bus::node::{Bodies, Node, NodeParts, Office, OfficeParts, StartError};
use testudo_bus::roots::{Keep, RootsError};
use testudo_bus::tls::{self, IssuerError};
use testudo_bus::transport::Socket;
use testudo_registry::StoreError;
use testudo_rules::audit::{Origin, Record, VerifierKey};
use testudo_rules::event::EventSource;
use testudo_wire::RegistrySequence;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::export::config::{exporters, on_record};
use crate::export::{Exporters, Following, States, Traces, TracesView};
use crate::files::FileError;
use crate::health::Checker;
use crate::issuer::VaultError;
use crate::operator::{JoinDoor, Operator};
use crate::packs::{InUse, PacksError};
use crate::rollover::{InFolder, Nowhere};
use crate::swarm::{Keys, SwarmError};

use admin::SocketFile;
pub use admin::{AskError, ask};
pub(crate) use checks::ca_ends;
use folder::Folder;
pub(crate) use folder::belong_together;
use guard::Rules;
use office::Office as OperatorsOffice;
use web::Secret;
use witnessing::Witnessing;

/// What shows a health page that the operator asks, in the data folder; another one at each start.
const HEALTH_SECRET: &str = "health.secret";
/// Socket buffers that hold a burst of handshakes (measured fact M13).
pub(crate) const SOCKET_BYTES: usize = 4 * 1024 * 1024;

/// Why a node, or an operator's command on its folder, cannot start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] OpenError),
    /// The exporters.
    #[error("{0}")]
    Export(String),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate authority.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The PKI service's settings.
    #[error(transparent)]
    Pki(#[from] VaultError),
    /// The audit log's last checkpoint.
    #[error("{0}; run `testudo audit verify`")]
    Log(String),
    /// The audit log was taken away: what a registry change went through always holds a checkpoint.
    #[error(
        "the audit log is missing while the registry is at sequence {0}; restore data/audit from a backup"
    )]
    LogMissing(RegistrySequence),
    /// The log has records, and nothing that signs them.
    #[error("the audit log's checkpoints are missing; restore data/audit/checkpoints from a backup")]
    Unsigned,
    /// The node.
    #[error(transparent)]
    Node(#[from] StartError),
    /// What is trusted.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The content guard's packs of rules.
    #[error(transparent)]
    Packs(#[from] PacksError),
    /// The port is taken.
    #[error("{0} is taken by another process; stop it, or choose another address with {1}")]
    PortTaken(SocketAddr, &'static str),
    /// The log takes no record.
    #[error("the audit log takes no record of the guard's rules; see /healthz")]
    RulesUnrecorded,
    /// Another node runs on this data.
    #[error("another node or command works on {0}; stop it, or try again when it has ended")]
    SecondNode(PathBuf),
    /// The socket.
    #[error("cannot listen on {0}: {1}; choose an address of this machine")]
    Socket(SocketAddr, io::Error),
    /// The registry's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The swarm's folder.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The CA's certificate.
    #[error("the CA's certificate cannot be used: {0}; restore keys/ca.pem from a backup")]
    Trust(#[from] tls::LeafError),
}

/// Bodies over 64 KiB; half of the machine's processors may work on them.
fn bodies(config: &Config) -> Bodies {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Bodies {
        bytes_max: config.node.body_bytes,
        memory_bytes: config.node.body_memory_bytes,
        threads: processors / 2,
    }
}

/// A UDP socket with buffers that hold a burst.
///
/// # Errors
/// The system's.
pub fn udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(at),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // Smaller buffers only cost speed: the system's limit may forbid large ones.
    let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BYTES);
    socket.bind(&at.into())?;
    Ok(socket.into())
}

fn listen_error(at: SocketAddr, flag: &'static str, error: io::Error) -> ServerError {
    if error.kind() == io::ErrorKind::AddrInUse {
        ServerError::PortTaken(at, flag)
    } else {
        ServerError::Socket(at, error)
    }
}

/// The origin of a swarm's audit log.
#[must_use]
pub fn origin(config: &Config) -> Origin {
    Origin::of_swarm(&config.swarm.id)
}

/// Where a node keeps its audit log.
#[must_use]
pub fn audit_dir(config: &Config) -> PathBuf {
    config.node.data.join("audit")
}

/// An operator on a folder whose node does not run. Call inside an actix system.
///
/// # Errors
/// [`ServerError`].
pub fn offline(config: &Config) -> Result<Operator, ServerError> {
    let folder = Folder::open(config, Keys::read(&config.node.keys)?)?;
    tokio::spawn(folder.audit.clone().run_sync());
    let (rules, operator_at) = (folder.rules(), config.node.listen);
    let (issuer, env): (_, SharedEnv) = (folder.issuer.clone(), folder.clock.clone());
    let office = Office::open(OfficeParts {
        roots: folder.roots,
        store: folder.store,
        rules,
        audit: folder.audit,
        witnessed: folder.witnessed,
        env: env.clone(),
    })
    .map_err(StartError::from)?;
    let (swarm, authority) = (config.swarm.id, config.swarm.authority);
    let token_days_max = config.swarm.token_days_max;
    let join = JoinDoor::Configured(config.node.join_at());
    let keep = Arc::new(InFolder(config.node.keys.clone()));
    Ok(Operator { office, issuer, swarm, authority, node: operator_at, join, token_days_max, env, keep })
}

/// Takes a node's port. Comes first: one that is taken must not leave a started log behind.
///
/// # Errors
/// [`ServerError`]; its advice names `flag`.
pub(crate) fn bind(at: SocketAddr, flag: &'static str) -> Result<UdpSocket, ServerError> {
    udp(at).map_err(|error| listen_error(at, flag, error))
}

/// The same for the health pages.
pub(crate) fn bind_pages(at: SocketAddr, flag: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(at).map_err(|error| listen_error(at, flag, error))
}

/// Who may ask a node's operator over its socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operators {
    /// Whoever may open the socket in the data folder.
    Served,
    /// Nobody: there is no socket.
    None,
}

/// A node with its operator, in whatever process.
#[derive(Debug)]
pub(crate) struct Running {
    node: Arc<Node>,
    operator: Operator,
    rules: Rules,
    port: JoinPort,
    listen: SocketAddr,
    checker: Checker,
    serving: Option<(JoinHandle<()>, SocketFile)>,
    office: OperatorsOffice,
    syncing: JoinHandle<()>,
    exporters: Exporters,
    traces: Option<Traces>,
    witnessing: Option<JoinHandle<()>>,
}

impl Running {
    /// Opens the data and starts the node on `links`. Call inside an actix system.
    ///
    /// # Errors
    /// [`ServerError`]; nothing of it then runs on.
    pub(crate) fn start(
        config: &Config,
        keys: Keys,
        links: UdpSocket,
        operators: Operators,
    ) -> Result<Self, ServerError> {
        let keep: Arc<dyn Keep> = match operators {
            Operators::Served => Arc::new(InFolder(config.node.keys.clone())),
            Operators::None => Arc::new(Nowhere),
        };
        let rules = Rules::of(config);
        let packs = rules.read()?;
        let folder = Folder::open(config, keys)?;
        // Everything that may fail comes before the actors start; the folder's lock is ours by now.
        let door = match operators {
            Operators::Served => Some(admin::listen(&config.node.data.join("admin.sock"))?),
            Operators::None => None,
        };
        let witnessing = config.audit.witness().map(|(url, witness)| Witnessing {
            dir: audit_dir(config),
            by: VerifierKey { origin: origin(config), key: folder.log },
            url: url.to_owned(),
            witness,
        });
        tls::not_after(folder.roots.load().own().certificate())?;
        let bound = |error| ServerError::Socket(config.node.listen, error);
        let listen = links.local_addr().map_err(bound)?;
        let (book, clock) = (folder.rules(), folder.clock.clone());
        let env: SharedEnv = clock.clone();
        let issuer = folder.issuer.clone();
        let exporting = exporters(config.export, &config.exporter).map_err(ServerError::Export)?;
        let following = Following {
            log: folder.audit.clone(),
            dir: audit_dir(config),
            source: EventSource::of_node(config.swarm.id, config.node.name),
        };
        let sends = !config.exporter.is_empty() || config.traces.url.is_some();
        if sends || was_exported(&following.dir) {
            let event = on_record(&config.exporter, &config.traces).into();
            let record = Record { at: env.now(), registry: folder.witnessed, event };
            let _ = folder.audit.append(&record).map_err(OpenError::from)?;
        }
        // Retention leaves what an exporter has not read.
        let (dir, names) =
            (following.dir.clone(), config.exporter.iter().map(|one| one.name).collect::<Vec<_>>());
        folder.audit.hold(move || lowest_cursor(&dir, names.iter().map(testudo_wire::NodeName::as_str)));
        let instance = following.source.as_str();
        let tracing_to = Traces::start(&config.traces, config.export, ("testudo", instance), env.clone())
            .map_err(ServerError::Export)?;
        // Dropped with whatever fails below, which ends them.
        let exporters = Exporters::start(exporting, &following)
            .map_err(|error| ServerError::Export(format!("the exporters cannot be started: {error}")))?;
        drop(following);
        let syncing = tokio::spawn(folder.audit.clone().run_sync());
        let node = Node::start(NodeParts {
            name: config.node.name,
            key: folder.node,
            roots: folder.roots,
            agents: issuer.clone(),
            store: folder.store,
            rules: book,
            audit: folder.audit,
            commit: config.audit.commit.into(),
            witnessed: folder.witnessed,
            window: config.node.window_bytes,
            bodies: bodies(config),
            inspector: packs.inspector.clone(),
            spans: tracing_to.as_ref().map(|traces| traces.view().spans()),
            clock: folder.clock,
            socket: Socket::Udp(links),
        });
        let node = Arc::new(node.inspect_err(|_| syncing.abort())?);
        if packs.in_use.packs > 0 {
            Rules::apply(packs, &node)?;
        }
        let mut operator = Operator {
            office: node.office(),
            issuer,
            swarm: config.swarm.id,
            authority: config.swarm.authority,
            node: listen,
            join: JoinDoor::Configured(config.node.join_at()),
            token_days_max: config.swarm.token_days_max,
            env,
            keep,
        };
        let (at, desk) = (config.node.join_at(), Arc::new(operator.clone()));
        let newcomers = Box::new(move || udp(at).map(Socket::Udp));
        let port = node.listen_for_newcomers(desk, newcomers);
        let port = port.map_err(StartError::from).inspect_err(|_| syncing.abort())?;
        operator.join = JoinDoor::Port(port.state());
        operator.issuer.watch();
        let checker = checks::of_node(&node, exporters.states(), &operator.issuer, &clock);
        let witnessing =
            witnessing.map(|witnessing| witnessing.start(node.office(), operator.env.clone(), &checker));
        let served = admin::Served {
            operator: operator.clone(),
            rules: rules.clone(),
            exporters: exporters.states(),
            checker: checker.clone(),
        };
        let office = OperatorsOffice::open(served.clone(), node.clone());
        let serving = door.map(|(listener, file)| (admin::serve(listener, served, node.clone()), file));
        Ok(Self {
            node,
            operator,
            rules,
            port,
            listen,
            checker,
            serving,
            office,
            syncing,
            exporters,
            traces: tracing_to,
            witnessing,
        })
    }

    /// The node.
    pub(crate) const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Its operator.
    pub(crate) const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// What it sends elsewhere, for its metrics.
    fn sending(&self) -> web::Sending {
        web::Sending { exporters: self.exporters(), traces: self.traces() }
    }

    /// How its exporters are.
    pub(crate) fn exporters(&self) -> States {
        self.exporters.states()
    }

    /// The spans of its messages, if they are traced.
    pub(crate) fn traces(&self) -> Option<TracesView> {
        self.traces.as_ref().map(Traces::view)
    }

    /// Drains, seals the log, lets the exporters send what it holds, and returns the last account.
    pub(crate) async fn shut_down(self) -> Account {
        if let Some((serving, socket)) = self.serving {
            serving.abort();
            let _ = serving.await;
            drop(socket);
        }
        self.office.close().await;
        drop(self.port);
        if let Some(witnessing) = self.witnessing {
            witnessing.abort();
        }
        let account = self.node.shut_down().await;
        self.syncing.abort();
        if let Some(traces) = self.traces
            && !traces.shut_down().await
        {
            tracing::warn!("not every span was delivered; see /metrics for how many");
        }
        if !self.exporters.shut_down().await {
            tracing::warn!(
                "not every event of the log was delivered to every exporter; what failed goes out after the next start"
            );
        }
        account
    }
}

/// A node as the command runs it: one with health pages.
#[derive(Debug)]
pub struct Server {
    running: Running,
    health: SocketAddr,
    pages: JoinHandle<()>,
}

impl Server {
    /// Opens the folder and starts everything. Call inside an actix system.
    ///
    /// # Errors
    /// [`ServerError`]; nothing of it then runs on.
    pub fn start(config: &Config) -> Result<Self, ServerError> {
        let links = bind(config.node.listen, "--listen")?;
        let listen = |e| listen_error(config.node.health, "--health", e);
        let pages = web::listen(bind_pages(config.node.health, "--health")?).map_err(listen)?;
        let health = pages.local_addr().map_err(listen)?;
        let keys = Keys::read(&config.node.keys)?;
        let running = Running::start(config, keys, links, Operators::Served)?;
        let secret = Secret::make(&config.node.data.join(HEALTH_SECRET), &*running.operator.env)?;
        let pages =
            web::serve(pages, running.node.clone(), running.checker.clone(), secret, running.sending());
        Ok(Self { running, health, pages })
    }

    /// Where agents dial.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.running.listen
    }

    /// Where the health pages are.
    #[must_use]
    pub const fn health(&self) -> SocketAddr {
        self.health
    }

    /// Resolves with the sequence that proves this node's registry to be an old copy.
    pub fn stale(&self) -> watch::Receiver<Option<RegistrySequence>> {
        self.running.node.stale()
    }

    /// Reads the guard's packs of rules again; rules that cannot be used change nothing.
    ///
    /// # Errors
    /// Why the old ones stay in use, in one line.
    pub async fn reload(&self) -> Result<InUse, String> {
        self.running.rules.reload(&self.running.node).await
    }

    /// Drains, seals the log, and returns the last account.
    pub async fn shut_down(self) -> Account {
        self.pages.abort();
        let _ = self.pages.await;
        self.running.shut_down().await
    }
}
