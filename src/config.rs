//! The configuration of a node: one TOML file; flag > `TESTUDO_SECTION__KEY` > file > default. Unknown keys are
//! errors. The one reader of the environment.

mod issuer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use testudo_bus::node::Bodies;
use testudo_registry::OnSilence;
use testudo_wire::{NodeName, PublicKey, SwarmId};

use crate::export::TracesSection;
use crate::export::config::{ExportSection, ExporterSection, exporters};
use crate::files::{self, FileError};

mod audit;

pub use audit::{AuditSection, Commit};
pub use issuer::{AppRole, IssuerKind, IssuerSection, LoginBy, Vault};

/// Longest configuration file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("{0} does not exist; make a swarm with `testudo init DIR`, then pass --config DIR/testudo.toml")]
    Missing(PathBuf),
    /// It is a folder.
    #[error("{0} is a folder; pass the file in it, such as --config {0}/testudo.toml")]
    Folder(PathBuf),
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// An environment variable is wrong.
    #[error("the environment variable {variable}: {what}; correct or unset it")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong.
        what: String,
    },
    /// A key, a type or the syntax is wrong.
    #[error("{path}: {what}; compare with the file that `testudo init` writes")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// `[swarm]`: written by `testudo init`, the same for all nodes of a swarm.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SwarmSection {
    /// The name that people call it by.
    pub name: String,
    /// The fingerprint of its authority key.
    pub id: SwarmId,
    /// The authority's public key.
    pub authority: PublicKey,
    /// The longest life of a token that is minted here, in days.
    #[serde(default = "token_days_max")]
    pub token_days_max: u16,
}

pub(crate) const fn token_days_max() -> u16 {
    365
}

/// What happens to an agent that falls silent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Silence {
    /// It is out until an operator reinstates it.
    #[default]
    Revoke,
    /// It is out until its next login; it needs new tokens then.
    Suspend,
}

impl From<Silence> for OnSilence {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Revoke => Self::Revoke,
            Silence::Suspend => Self::Suspend,
        }
    }
}

/// `[node]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Its name in the swarm, for its certificate.
    pub name: NodeName,
    /// UDP address that agents dial.
    pub listen: SocketAddr,
    /// TCP address of `/livez`, `/readyz`, `/healthz` and `/metrics`; keep it on loopback.
    pub health: SocketAddr,
    /// UDP address that newcomers dial, open only while an invitation is outstanding. Unless given: two ports above
    /// `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<SocketAddr>,
    /// Start by the wall clock although the log's last record is of a later time. For one start: see `--clock-is-right`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_is_right: bool,
    /// Registry, audit log and operator's socket.
    #[serde(default = "data")]
    pub data: PathBuf,
    /// The four keys and the CA's certificate.
    #[serde(default = "keys")]
    pub keys: PathBuf,
    /// Agents send a heartbeat this often, in milliseconds; two missed ones are silence.
    #[serde(default = "heartbeat_ms")]
    pub heartbeat_ms: u32,
    /// What silence means.
    #[serde(default)]
    pub on_silence: Silence,
    /// Bytes that one sender may have unsettled at the node.
    #[serde(default = "window_bytes")]
    pub window_bytes: u32,
    /// The largest body, in bytes; bodies over 64 KiB travel on lanes of their own.
    #[serde(default = "body_bytes")]
    pub body_bytes: u32,
    /// Bytes of memory for all bodies over 64 KiB that are on their way at once.
    #[serde(default = "body_memory_bytes")]
    pub body_memory_bytes: u64,
}

impl NodeSection {
    /// Where newcomers dial.
    #[must_use]
    pub fn join_at(&self) -> SocketAddr {
        self.join.unwrap_or_else(|| {
            let port = match self.listen.port() {
                0 => 0,
                port => port.checked_add(2).unwrap_or(port - 2),
            };
            SocketAddr::new(self.listen.ip(), port)
        })
    }
}

fn data() -> PathBuf {
    "data".into()
}
fn keys() -> PathBuf {
    "keys".into()
}
const fn heartbeat_ms() -> u32 {
    30_000
}
const fn window_bytes() -> u32 {
    512 * 1024
}
fn body_bytes() -> u32 {
    Bodies::default().bytes_max
}
fn body_memory_bytes() -> u64 {
    Bodies::default().memory_bytes
}

/// `[guard]`: the content guard.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSection {
    /// Packs of rules besides the standard ones, each on top of those before; `testudo guard reload` reads them again.
    #[serde(default)]
    pub packs: Vec<PathBuf>,
}

/// A whole configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The swarm.
    pub swarm: SwarmSection,
    /// The node.
    pub node: NodeSection,
    /// The content guard.
    #[serde(default)]
    pub guard: GuardSection,
    /// Who certifies agents.
    #[serde(default, skip_serializing_if = "IssuerSection::is_embedded")]
    pub issuer: IssuerSection,
    /// What all exporters share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub export: ExportSection,
    /// Where the log's events go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exporter: Vec<ExporterSection>,
    /// Whether sampled messages are traced.
    #[serde(default, skip_serializing_if = "TracesSection::is_default")]
    pub traces: TracesSection,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditSection,
}

fn is_default(section: &ExportSection) -> bool {
    *section == ExportSection::default()
}

/// What flags may override.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--health`.
    pub health: Option<SocketAddr>,
    /// `--join`.
    pub join: Option<SocketAddr>,
    /// `--clock-is-right`.
    pub clock_is_right: bool,
}

impl Config {
    /// Reads a file, the environment and the flags. Relative paths are taken from the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, flags: Overrides) -> Result<Self, ConfigError> {
        let (text, folder) = Self::text(path)?;
        // TESTUDO_OPERATOR__IDENTITY and _TOKEN are the commands', who need no node's configuration.
        let ours = |key: &str| key.contains("__") && !key.to_ascii_lowercase().starts_with("operator__");
        let env = Env::prefixed("TESTUDO_").filter(move |key| ours(key.as_str())).split("__");
        // Where spans go to stands in the file alone, as for exporters (threat A76).
        if let Some((key, _)) = env.iter().find(|(key, _)| key.as_str().to_lowercase().starts_with("traces"))
        {
            return Err(ConfigError::Environment {
                variable: format!("TESTUDO_{}", key.as_str().replace('.', "__").to_uppercase()),
                what: "[traces] is read from the file alone".to_owned(),
            });
        }
        let mut figment = Figment::from(Toml::string(&text)).merge(env);
        if let Some(listen) = flags.listen {
            figment = figment.merge(Serialized::default("node.listen", listen));
        }
        if let Some(health) = flags.health {
            figment = figment.merge(Serialized::default("node.health", health));
        }
        if let Some(join) = flags.join {
            figment = figment.merge(Serialized::default("node.join", join));
        }
        if flags.clock_is_right {
            figment = figment.merge(Serialized::default("node.clock_is_right", true));
        }
        let mut config: Self = figment.extract().map_err(|error| invalid(path, &error))?;
        config.node.data = folder.join(&config.node.data);
        config.node.keys = folder.join(&config.node.keys);
        config.guard.packs.iter_mut().for_each(|pack| *pack = folder.join(&*pack));
        config.issuer.resolve(&folder);
        config.exporter.iter_mut().for_each(|exporter| exporter.within(&folder));
        config.traces.within(&folder);
        config.check(path)?;
        Ok(config)
    }

    /// The text of a file, and the folder that its relative paths are taken from.
    pub(crate) fn text(path: &Path) -> Result<(String, PathBuf), ConfigError> {
        if path.is_dir() {
            return Err(ConfigError::Folder(path.to_owned()));
        }
        let text = files::read_public(path, FILE_BYTES_MAX).map_err(|error| {
            if let FileError::Missing(path) = error {
                ConfigError::Missing(path)
            } else {
                ConfigError::File(error)
            }
        })?;
        Ok((text, path.parent().map(Path::to_owned).unwrap_or_default()))
    }

    /// What a text says by itself: no environment, no flags, paths as they are written. Errors speak of `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            Figment::from(Toml::string(text)).extract().map_err(|error| invalid(path, &error))?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |what: &str| Err(ConfigError::Invalid { path: path.to_owned(), what: what.to_owned() });
        if self.swarm.token_days_max == 0 {
            return wrong("swarm.token_days_max is 0, and every token lives longer; write at least 1");
        }
        if SwarmId::of(&self.swarm.authority) != self.swarm.id {
            return wrong("swarm.id is not the fingerprint of swarm.authority");
        }
        if !(100..=600_000).contains(&self.node.heartbeat_ms) {
            return wrong("node.heartbeat_ms must be 100 to 600000");
        }
        if self.node.join_at() == self.node.listen && self.node.listen.port() != 0 {
            return wrong("node.join must be another address than node.listen");
        }
        if !(256 * 1024..=64 * 1024 * 1024).contains(&self.node.window_bytes) {
            return wrong("node.window_bytes must be 262144 (one bundle) to 67108864");
        }
        if !(64 * 1024..=Bodies::MAX).contains(&self.node.body_bytes) {
            return wrong("node.body_bytes must be 65536 to 16777216");
        }
        if self.node.body_memory_bytes < u64::from(self.node.body_bytes) {
            return wrong("node.body_memory_bytes must be at least node.body_bytes");
        }
        if let Err(what) = self.issuer.vault() {
            return wrong(&what);
        }
        if let Err(what) = exporters(self.export, &self.exporter) {
            return wrong(&what);
        }
        if let Err(what) = self.traces.check(self.export) {
            return wrong(&what);
        }
        self.audit.check().or_else(|what| wrong(&what))
    }
}

/// Says in one line which key of which source is wrong. Figment lists every fault: the first is enough.
fn invalid(path: &Path, error: &figment::Error) -> ConfigError {
    let first = error.clone().into_iter().next().unwrap_or_else(|| error.clone());
    let what = one_line(&first.kind.to_string());
    if first.metadata.as_ref().is_some_and(|source| source.name.contains("environment")) {
        let variable = format!("TESTUDO_{}", first.path.join("__").to_uppercase());
        return ConfigError::Environment { variable, what };
    }
    let key = first.path.join(".");
    let what = if key.is_empty() { what } else { format!("{key}: {what}") };
    ConfigError::Invalid { path: path.to_owned(), what }
}

/// A TOML fault comes as a drawing of several lines: its first line says where, its last what.
fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    lines.next_back().map_or_else(|| first.clone(), |last| format!("{first}: {last}"))
}
