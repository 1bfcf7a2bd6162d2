//! What a node works on: its swarm's keys, its registry's store, its audit log, opened and checked against each
//! other.
//!
//! Starts nothing; whoever holds a [`Folder`] is alone on its data.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use testudo_bus::audit::{self, AuditConfig, AuditLog, LogReader, OpenError};
use testudo_bus::clock::NodeClock;
use testudo_bus::env::{Env, SharedEnv};
use testudo_bus::roots::{Holding, Rooted, Roots};
use testudo_bus::tls::{self, Issuer, LeafError};
use testudo_registry::{BookRules, SqliteStore, Store, StoreError, StoreKey};
use testudo_wire::{AgentName, PublicKey, RegistrySequence, SecretKey, SpiffeId};
use zeroize::Zeroizing;

use super::{ServerError, audit_dir, origin};
use crate::config::Config;
use crate::env::System;
use crate::files;
use crate::operator::OFFICE;
use crate::swarm::{Keys, SwarmError};
use crate::{issuer, rollover};

/// Everything that a node works on.
pub(super) struct Folder {
    pub(super) config: Config,
    pub(super) roots: Arc<Roots>,
    pub(super) node: SecretKey,
    /// The log's public key.
    pub(super) log: PublicKey,
    pub(super) issuer: Arc<dyn Issuer>,
    pub(super) store: Box<dyn Store>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) witnessed: RegistrySequence,
    pub(super) clock: Arc<NodeClock>,
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
        let bytes = audit::size_of(dir).map_err(|error| ServerError::Log(error.to_string()))?;
        return Err(if bytes == 0 { ServerError::LogMissing(stored) } else { ServerError::Unsigned });
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
fn pair(config: &Config, rooted: &Rooted, node: &SecretKey, env: &dyn Env) -> Result<(), ServerError> {
    let id = SpiffeId::Node(config.swarm.id, config.node.name);
    let now = UnixTime::since_unix_epoch(Duration::from_millis(env.now().as_millis()));
    for ca in [rooted.own(), rooted.issuing()] {
        let leaf = ca.issue(&id, &node.public(), tls::LIFETIME, env)?;
        match tls::check(tls::Role::Node, &rooted.tls, &leaf, &[], now) {
            Ok(_) => {}
            Err(LeafError::Path) => return Err(SwarmError::CaPair(config.node.keys.clone()).into()),
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// Checks that these keys are those of the configuration's swarm, and belong together.
pub(crate) fn belong_together(config: &Config, keys: &Keys, env: &dyn Env) -> Result<(), ServerError> {
    let holding = of_swarm(config, keys)?;
    pair(config, &Roots::new(holding, None)?.load(), &keys.node, env)
}

/// What these keys hold, if it is what the configuration's swarm began with, or came from that.
fn of_swarm(config: &Config, keys: &Keys) -> Result<Holding, ServerError> {
    let holding = keys.holding();
    if holding.genesis == config.swarm.authority {
        return Ok(holding);
    }
    let file = if keys.rolled.is_some() { rollover::FILE } else { "authority.key" };
    Err(SwarmError::OtherSwarm(config.node.keys.join(file)).into())
}

impl Folder {
    /// Opens the data of a configuration whose keys these are.
    pub(super) fn open(config: &Config, keys: Keys) -> Result<Self, ServerError> {
        let clock = NodeClock::new(System::shared());
        let env: SharedEnv = clock.clone();
        let data = &config.node.data;
        let holding = of_swarm(config, &keys)?;
        let is_rolled = keys.rolled.is_some();
        let Keys { log, node, .. } = keys;
        let elsewhere = issuer::elsewhere(config, env.clone())?;
        let agents = elsewhere.as_ref().map(|issuer| issuer.roots());
        let roots = Arc::new(Roots::new(holding, agents)?);
        pair(config, &roots.load(), &node, &*env)?;
        let issuer = elsewhere.unwrap_or_else(|| Arc::new(tls::Embedded::following(&roots, env.clone())));
        if is_rolled {
            // A crash may have come between.
            rollover::tidy(&config.node.keys);
        }
        files::private_dir(data)?;
        let dir = audit_dir(config);
        files::private_dir(&dir)?;
        // Before the log is opened, which writes to it: a refused start must not make up for a missing log.
        let store = open_store(config, &node)?;
        let witnessed = witnessed(&dir, config, &log, store.sequence()?)?;
        let kept = AuditConfig { clock_is_right: config.node.clock_is_right, ..config.audit.log() };
        let public = log.public();
        let (audit, recovery) = AuditLog::open_with(&dir, origin(config), log, env.now(), witnessed, kept)
            .map_err(|error| {
                let second = matches!(error, OpenError::InUse);
                if second { ServerError::SecondNode(data.clone()) } else { ServerError::Audit(error) }
            })?;
        clock.go_on_from(audit.began());
        if clock.beside() > 0 {
            tracing::warn!(
                "this machine's clock is {} s behind the audit log's last record; the node goes on from there. Set the clock \
                 right, or, if it is right, start the node once with --clock-is-right",
                clock.beside() / 1000
            );
        }
        if recovery.recovered_bytes > 0 || recovery.crashed > 0 {
            let (bytes, messages) = (recovery.recovered_bytes, recovery.crashed);
            tracing::warn!(bytes, messages, "the node did not end in good order; the log was recovered");
        }
        Ok(Self {
            config: config.clone(),
            roots,
            node,
            log: public,
            issuer,
            store: Box::new(store),
            audit,
            witnessed,
            clock,
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
