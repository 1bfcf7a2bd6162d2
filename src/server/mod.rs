//! The composition: a configuration becomes a running node with its operator's socket and its health pages.
//!
//! The one place where keys, files, sockets, clocks and actors meet.

mod admin;
mod web;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use testudo_bus::audit::{self, AuditLog, LogReader, OpenError};
use testudo_bus::env::{Env, SharedEnv};
use testudo_bus::metrics::Account;
use testudo_bus::node::{Node, NodeParts, Office, OfficeParts, StartError};
use testudo_bus::tls::{self, EmbeddedCa, Issuer as _, IssuerError, LeafError};
use testudo_bus::transport::Socket;
use testudo_registry::{BookRules, SqliteStore, Store, StoreError, StoreKey};
use testudo_rules::audit::Origin;
use testudo_rules::inspect::Inspector;
use testudo_rules::token;
use testudo_wire::{RegistrySequence, SecretKey, SpiffeId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::env::System;
use crate::files::{self, FileError};
use crate::operator::Operator;
use crate::swarm::{self, KeyPurpose, SwarmError};

use admin::SocketFile;
pub use admin::{AskError, ask};

/// Socket buffers that hold a burst of handshakes (measured fact M13).
const SOCKET_BYTES: usize = 4 * 1024 * 1024;

/// Why a node, or an operator's command on its folder, cannot start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] OpenError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate authority.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The audit log's last checkpoint.
    #[error("{0}; run `testudo audit verify`")]
    Log(String),
    /// The audit log was taken away: what a registry change went through always holds a checkpoint.
    #[error(
        "the audit log is missing while the registry is at sequence {0}; restore data/audit from a backup"
    )]
    LogMissing(RegistrySequence),
    /// The node.
    #[error(transparent)]
    Node(#[from] StartError),
    /// The port is taken.
    #[error("{0} is taken by another process; stop it, or choose another address with {1}")]
    PortTaken(SocketAddr, &'static str),
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

/// Everything that comes from the swarm's folder.
struct Folder {
    config: Config,
    authority: SecretKey,
    node: SecretKey,
    ca: Arc<EmbeddedCa>,
    trust: tls::Trust,
    store: Box<dyn Store>,
    audit: Arc<AuditLog>,
    witnessed: RegistrySequence,
    env: SharedEnv,
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

/// The highest registry sequence that the log speaks of: the registry must not be older (threat A75).
fn witnessed(
    dir: &Path,
    config: &Config,
    key: &SecretKey,
    stored: RegistrySequence,
) -> Result<RegistrySequence, ServerError> {
    let sealed = audit::latest_checkpoint(dir, &key.public(), &origin(config));
    let sealed = sealed.map_err(|error| ServerError::Log(error.to_string()))?;
    if sealed.is_none() && stored > RegistrySequence(0) {
        return Err(ServerError::LogMissing(stored));
    }
    let from = sealed.map_or(0, |(checkpoint, _)| checkpoint.size.saturating_sub(1));
    let mut highest = RegistrySequence(0);
    for record in LogReader::new(dir, from) {
        // A torn tail is the opening's business; what comes before it counts.
        let Ok((_, record)) = record else { break };
        highest = highest.max(record.registry);
    }
    Ok(highest)
}

/// Opens the registry's store, sealed with a secret that only this node has.
fn open_store(config: &Config, node: &SecretKey) -> Result<SqliteStore, ServerError> {
    let data = &config.node.data;
    let key = Zeroizing::new(blake3::derive_key("testudo/1 registry store", &*node.seed()));
    SqliteStore::open(&data.join("registry.db"), &config.swarm.id, StoreKey::new(key)).map_err(|error| {
        let second = matches!(error, StoreError::InUse { .. });
        if second { ServerError::SecondNode(data.clone()) } else { ServerError::Store(error) }
    })
}

/// Checks that the CA's key is its certificate's: otherwise nobody could join, and only the joiners would notice.
fn pair(
    config: &Config,
    ca: &EmbeddedCa,
    trust: &tls::Trust,
    node: &SecretKey,
    env: &dyn Env,
) -> Result<(), ServerError> {
    let id = SpiffeId::Node(config.swarm.id, config.node.name);
    let leaf = ca.issue(&id, &node.public(), tls::LIFETIME, env)?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(env.now().as_millis()));
    match tls::check(tls::Role::Node, trust, &leaf, &[], now) {
        Ok(_) => Ok(()),
        Err(LeafError::Path) => Err(SwarmError::CaPair(config.node.keys.clone()).into()),
        Err(other) => Err(other.into()),
    }
}

impl Folder {
    fn open(config: &Config) -> Result<Self, ServerError> {
        let env = System::shared();
        let (keys, data) = (&config.node.keys, &config.node.data);
        let authority = swarm::read_key(keys, KeyPurpose::Authority)?;
        if authority.public() != config.swarm.authority {
            return Err(SwarmError::OtherSwarm(keys.join("authority.key")).into());
        }
        let log = swarm::read_key(keys, KeyPurpose::Log)?;
        let certificate = swarm::read_ca(keys)?;
        let trust = tls::Trust::new(config.swarm.id, std::slice::from_ref(&certificate))?;
        let ca = EmbeddedCa::load(certificate, &swarm::read_key(keys, KeyPurpose::Ca)?)?;
        let node = swarm::read_key(keys, KeyPurpose::Node)?;
        pair(config, &ca, &trust, &node, &*env)?;
        files::private_dir(data)?;
        let dir = audit_dir(config);
        files::private_dir(&dir)?;
        // Before the log is opened, which writes to it: a refused start must not make up for a missing log.
        let store = open_store(config, &node)?;
        let witnessed = witnessed(&dir, config, &log, store.sequence()?)?;
        let (audit, recovery) =
            AuditLog::open(&dir, origin(config), log, env.now(), witnessed).map_err(|error| {
                let second = matches!(error, OpenError::InUse);
                if second { ServerError::SecondNode(data.clone()) } else { ServerError::Audit(error) }
            })?;
        if recovery.recovered_bytes > 0 || recovery.crashed > 0 {
            let (bytes, messages) = (recovery.recovered_bytes, recovery.crashed);
            tracing::warn!(bytes, messages, "the node did not end in good order; the log was recovered");
        }
        Ok(Self {
            config: config.clone(),
            authority,
            node,
            ca: Arc::new(ca),
            trust,
            store: Box::new(store),
            audit,
            witnessed,
            env,
        })
    }

    fn rules(&self) -> BookRules {
        BookRules {
            interval: Duration::from_millis(u64::from(self.config.node.heartbeat_ms)),
            on_silence: self.config.node.on_silence.into(),
            ..BookRules::default()
        }
    }
}

/// An operator on a folder whose node does not run. Call inside an actix system.
///
/// # Errors
/// [`ServerError`].
pub fn offline(config: &Config) -> Result<Operator, ServerError> {
    let folder = Folder::open(config)?;
    tokio::spawn(folder.audit.clone().run_sync());
    let (rules, operator_at) = (folder.rules(), config.node.listen);
    let (ca, env) = (folder.ca.clone(), folder.env.clone());
    let office = Office::open(OfficeParts {
        authority_trust: token::Trust::of(folder.authority.public()),
        authority: Some(folder.authority),
        store: folder.store,
        rules,
        audit: folder.audit,
        witnessed: folder.witnessed,
        env: folder.env,
    })
    .map_err(StartError::from)?;
    let (swarm, authority) = (config.swarm.id, config.swarm.authority);
    Ok(Operator { office, ca, swarm, authority, node: operator_at, env })
}

/// A node as the command runs it.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
    listen: SocketAddr,
    health: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
    syncing: JoinHandle<()>,
    socket: SocketFile,
}

impl Server {
    /// Opens the folder and starts everything. Call inside an actix system.
    ///
    /// # Errors
    /// [`ServerError`]; nothing of it then runs on.
    pub fn start(config: &Config) -> Result<Self, ServerError> {
        // Sockets first: a taken port must not leave a started log behind.
        let links = udp(config.node.listen).map_err(|e| listen_error(config.node.listen, "--listen", e))?;
        let pages = TcpListener::bind(config.node.health)
            .map_err(|e| listen_error(config.node.health, "--health", e))?;
        let folder = Folder::open(config)?;
        let syncing = tokio::spawn(folder.audit.clone().run_sync());
        let bound = |error| ServerError::Socket(config.node.listen, error);
        // Everything that may fail comes before the actors start; the folder's lock is ours by now.
        let (operators, socket) = admin::listen(&config.node.data.join("admin.sock"))?;
        let pages = web::listen(pages).map_err(|e| listen_error(config.node.health, "--health", e))?;
        let listen = links.local_addr().map_err(bound)?;
        let health = pages.local_addr().map_err(bound)?;
        let (rules, ca, env) = (folder.rules(), folder.ca.clone(), folder.env.clone());
        let node = Arc::new(Node::start(NodeParts {
            name: config.node.name,
            key: folder.node,
            trust: folder.trust,
            issuer: folder.ca,
            authority_trust: token::Trust::of(folder.authority.public()),
            authority: Some(folder.authority),
            store: folder.store,
            rules,
            audit: folder.audit,
            witnessed: folder.witnessed,
            window: config.node.window_bytes,
            inspector: Inspector::standard(),
            env: folder.env,
            socket: Socket::Udp(links),
        })?);
        let operator = Operator {
            office: node.office(),
            ca,
            swarm: config.swarm.id,
            authority: config.swarm.authority,
            node: listen,
            env,
        };
        let tasks = vec![admin::serve(operators, operator, node.clone()), web::serve(pages, node.clone())];
        Ok(Self { node, listen, health, tasks, syncing, socket })
    }

    /// Where agents dial.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where the health pages are.
    #[must_use]
    pub const fn health(&self) -> SocketAddr {
        self.health
    }

    /// Resolves with the sequence that proves this node's registry to be an old copy.
    pub fn stale(&self) -> watch::Receiver<Option<RegistrySequence>> {
        self.node.stale()
    }

    /// Drains, seals the log, and returns the last account.
    pub async fn shut_down(self) -> Account {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        drop(self.socket);
        let account = self.node.shut_down().await;
        self.syncing.abort();
        account
    }
}
