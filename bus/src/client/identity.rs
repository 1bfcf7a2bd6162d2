//! What an agent needs to join: who it is, whom it trusts, what it may do. How it is stored is not known
//! here.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use testudo_rules::replay::ReceiverWindows;
use testudo_rules::token;
use testudo_wire::{AgentName, Holder, SecretKey, SwarmId, Timestamp};

use crate::tls;

/// One agent's identity.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The agent's name.
    pub name: AgentName,
    /// Its key: TLS, envelopes, heartbeats and delegations are all signed with it.
    pub key: SecretKey,
    /// Its certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The CAs of the swarm.
    pub trust: tls::Trust,
    /// The authority keys of the swarm.
    pub authority: token::Trust,
    /// The token that came with the identity; unsealed, so that parts of it can be handed on.
    pub token: token::Token,
    /// What was received under this identity, by all links of this process together.
    pub memory: Memory,
}

/// What a receiver remembers of messages: it outlives links, or a node could end a link to have the next one
/// forget. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Option<ReceiverWindows>>>);

impl Memory {
    /// Works on the windows; they begin with the first link.
    pub(super) fn with<T>(&self, now: Timestamp, work: impl FnOnce(&mut ReceiverWindows) -> T) -> T {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(windows.get_or_insert_with(|| ReceiverWindows::new(now)))
    }
}

impl ClientIdentity {
    /// The swarm.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.trust.swarm()
    }

    /// Name and key.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { name: self.name, key: self.key.public() }
    }
}
