//! What an operator needs of a node, with or without a listener: registry, capability actor, audit log.

use std::sync::Arc;

use testudo_registry::{
    BookRules, Registry, RegistryDoor, RegistryParts, StartError as RegistryError, Store, WriterBarrier,
};
use testudo_rules::audit::{Event, LinkChange, LinkEvent, Note, Record, Witnessed};
use testudo_wire::{AgentName, RegistrySequence, Timestamp};

use super::journal::AuditJournal;
use crate::audit::AuditLog;
use crate::capability::CapabilityDoor;
use crate::env::{Env, SharedEnv};
use crate::roots::Roots;

/// What an office is made of.
#[expect(missing_debug_implementations, reason = "holds keys and trait objects")]
pub struct OfficeParts {
    /// What the swarm trusts, and the keys that are at hand.
    pub roots: Arc<Roots>,
    /// Where the registry is kept.
    pub store: Box<dyn Store>,
    /// Heartbeats and what silence means.
    pub rules: BookRules,
    /// The audit log, open.
    pub audit: Arc<AuditLog>,
    /// The highest registry sequence on that log.
    pub witnessed: RegistrySequence,
    /// Clock and dice.
    pub env: SharedEnv,
}

/// A registry and a capability actor over one audit log.
#[derive(Clone, Debug)]
pub struct Office {
    /// The registry.
    pub registry: RegistryDoor,
    /// The capability actor.
    pub capability: CapabilityDoor,
    /// The audit log.
    pub audit: Arc<AuditLog>,
    /// What the swarm trusts.
    pub roots: Arc<Roots>,
}

impl Office {
    /// Starts the actors on the current arbiter.
    ///
    /// # Errors
    /// The registry's; nothing of it then runs on.
    pub fn open(parts: OfficeParts) -> Result<Self, RegistryError> {
        let clock = parts.env;
        let registry = Registry::open(RegistryParts {
            store: parts.store,
            journal: Arc::new(AuditJournal(parts.audit.clone())),
            clock: Arc::new(move || clock.now()),
            rules: parts.rules,
            witnessed: parts.witnessed,
            trusted: parts.roots.load().trusted(),
            barrier: WriterBarrier::new(),
        })?;
        let roots = parts.roots;
        let capability = CapabilityDoor::start(roots.authority(), roots.load().tokens.clone());
        Ok(Self { registry: registry.launch(), capability, audit: parts.audit, roots })
    }

    /// An operator, or the join port, gives an agent a certificate.
    pub fn note_certified(&self, agent: AgentName, until: Timestamp, env: &dyn Env) {
        let what = LinkChange::certified(until);
        // No link: it is carried to where it is needed.
        let event =
            Event::Link(LinkEvent { agent: Some(agent), session: None, remote: Note::new("-"), what });
        let record = Record { at: env.now(), registry: self.registry.directory().sequence(), event };
        if let Err(error) = self.audit.keep(record) {
            tracing::error!(%error, "a certificate that was issued could not be recorded");
        }
    }

    /// A witness cosigned the log's checkpoint. From now on its signature must be beside the log.
    pub fn note_cosigned(&self, witnessed: &Witnessed, env: &dyn Env) {
        let event = witnessed.event().into();
        let record = Record { at: env.now(), registry: self.registry.directory().sequence(), event };
        if let Err(error) = self.audit.keep(record) {
            tracing::error!(%error, "a cosignature could not be recorded");
        }
    }

    /// Ends the registry and seals the log.
    pub async fn close(&self) {
        if let Err(error) = self.registry.shut_down().await {
            tracing::error!(%error, "the registry did not end in good order");
        }
        if let Err(error) = self.audit.shutdown().await {
            tracing::error!(%error, "the audit log could not be sealed");
        }
    }
}
