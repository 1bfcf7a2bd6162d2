//! What a node is put together from, and why it may not start.

use std::sync::Arc;

use testudo_registry::{BookRules, StartError as RegistryError, Store};
use testudo_rules::inspect::Inspector;
use testudo_wire::{NodeName, RegistrySequence, SecretKey, Spans};

use super::bodies::Bodies;
use crate::audit::AuditLog;
use crate::clock::NodeClock;
use crate::guard::Commit;
use crate::roots::Roots;
use crate::tls::{self, Issuer, IssuerError, TlsError};
use crate::transport::Socket;

/// What a node is made of.
#[expect(missing_debug_implementations, reason = "holds keys and trait objects")]
pub struct NodeParts {
    /// The node's name, for its certificate.
    pub name: NodeName,
    /// The node's key: TLS, welcomes, receipts, notices.
    pub key: SecretKey,
    /// What the swarm trusts, with the CAs and the authority key that live with the node.
    pub roots: Arc<Roots>,
    /// Who certifies agents: those with a link are renewed by the same. `roots` holds its CAs for agents.
    pub agents: Arc<dyn Issuer>,
    /// Where the registry is kept.
    pub store: Box<dyn Store>,
    /// Heartbeats and what silence means.
    pub rules: BookRules,
    /// The audit log, open.
    pub audit: Arc<AuditLog>,
    /// What a hand-over waits for.
    pub commit: Commit,
    /// The highest registry sequence on that log.
    pub witnessed: RegistrySequence,
    /// Bytes that a sender may have unsettled.
    pub window: u32,
    /// Bodies over 64 KiB.
    pub bodies: Bodies,
    /// The content guard.
    pub inspector: Inspector,
    /// Who takes the spans of sampled messages; nobody, then nothing is traced.
    pub spans: Option<Arc<dyn Spans>>,
    /// Clock and dice. It goes on from the time of the log.
    pub clock: Arc<NodeClock>,
    /// Where links come in.
    pub socket: Socket,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What the issuer gave is no certificate for this swarm.
    #[error("the issuer's certificate cannot be used: {0}; check that it is the CA of this swarm")]
    Certificate(tls::LeafError),
    /// The node's certificate cannot be issued.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The registry cannot be opened.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The socket cannot be used.
    #[error("the socket cannot be used: {0}")]
    Socket(#[from] std::io::Error),
    /// The certificate or the settings are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
