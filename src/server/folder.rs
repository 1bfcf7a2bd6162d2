//! What a node works on: its swarm's keys, its registry's store, its audit log, opened and checked against each
//! other.
//!
//! Starts nothing; whoever holds a [`Folder`] is alone on its data.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use testudo_bus::audit::{self, AuditLog, LogReader, OpenError};
use testudo_bus::env::{Env, SharedEnv};
use testudo_bus::tls::{self, EmbeddedCa, Issuer, LeafError};
use testudo_registry::{BookRules, SqliteStore, Store, StoreError, StoreKey};
use testudo_wire::{AgentName, PublicKey, RegistrySequence, SecretKey, SpiffeId};
use zeroize::Zeroizing;

use super::{ServerError, audit_dir, origin};
use crate::config::Config;
use crate::env::System;
use crate::files;
use crate::issuer;
use crate::operator::OFFICE;
use crate::swarm::{Keys, SwarmError};

/// Everything that a node works on.
pub(super) struct Folder {
    pub(super) config: Config,
    pub(super) authority: SecretKey,
    pub(super) node: SecretKey,
    /// The log's public key.
    pub(super) log: PublicKey,
    pub(super) ca: Arc<EmbeddedCa>,
    pub(super) issuer: Arc<dyn Issuer>,
    pub(super) trust: tls::Trust,
    pub(super) store: Box<dyn Store>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) witnessed: RegistrySequence,
    pub(super) env: SharedEnv,
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
    // The last sealed record may be one that retention removed.
    let oldest = LogReader::oldest(dir).map_err(|error| ServerError::Log(error.to_string()))?.cursor();
    let from = from.max(oldest);
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

/// Checks that these keys are those of the configuration's swarm, and belong together.
pub(crate) fn belong_together(config: &Config, keys: &Keys, env: &dyn Env) -> Result<(), ServerError> {
    if keys.authority.public() != config.swarm.authority {
        return Err(SwarmError::OtherSwarm(config.node.keys.join("authority.key")).into());
    }
    let trust = tls::Trust::new(config.swarm.id, std::slice::from_ref(&keys.certificate))?;
    let ca = EmbeddedCa::load(keys.certificate.clone(), &keys.ca)?;
    pair(config, &ca, &trust, &keys.node, env)
}

impl Folder {
    /// Opens the data of a configuration whose keys these are.
    pub(super) fn open(config: &Config, keys: Keys) -> Result<Self, ServerError> {
        let env = System::shared();
        let data = &config.node.data;
        if keys.authority.public() != config.swarm.authority {
            return Err(SwarmError::OtherSwarm(config.node.keys.join("authority.key")).into());
        }
        let Keys { authority, ca, certificate, log, node } = keys;
        let trust = tls::Trust::new(config.swarm.id, std::slice::from_ref(&certificate))?;
        let ca = Arc::new(EmbeddedCa::load(certificate, &ca)?);
        pair(config, &ca, &trust, &node, &*env)?;
        let issuer = issuer::of(config, ca.clone(), env.clone())?;
        let trust = trust.with_agents_by(issuer.roots())?;
        files::private_dir(data)?;
        let dir = audit_dir(config);
        files::private_dir(&dir)?;
        // Before the log is opened, which writes to it: a refused start must not make up for a missing log.
        let store = open_store(config, &node)?;
        let witnessed = witnessed(&dir, config, &log, store.sequence()?)?;
        let (kept, public) = (config.audit.log(), log.public());
        let (audit, recovery) = AuditLog::open_with(&dir, origin(config), log, env.now(), witnessed, kept)
            .map_err(|error| {
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
            log: public,
            ca,
            issuer,
            trust,
            store: Box::new(store),
            audit,
            witnessed,
            env,
        })
    }

    pub(super) fn rules(&self) -> BookRules {
        BookRules {
            interval: Duration::from_millis(u64::from(self.config.node.heartbeat_ms)),
            on_silence: self.config.node.on_silence.into(),
            resident: AgentName::parse(OFFICE).ok(),
            ..BookRules::default()
        }
    }
}
