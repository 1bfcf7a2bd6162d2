//! What an agent needs to join: who it is, whom it trusts, what it may do. How it is stored is not known
//! here.

use rustls::pki_types::CertificateDer;
use testudo_rules::token;
use testudo_wire::{AgentName, Holder, SecretKey, SwarmId};

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
