//! A swarm's keys, and its folder: `testudo.toml`, the keys, the CA's certificate, the data. Made by `testudo init`.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use testudo_bus::env::{Env, random};
use testudo_bus::node::Bodies;
use testudo_bus::roots::{HeldCa, Holding};
use testudo_bus::tls::{EmbeddedCa, IssuerError};
use testudo_wire::{NodeName, SecretKey, SwarmId};
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::{AuditSection, Config, GuardSection, NodeSection, Silence, SwarmSection};
use crate::export::config::ExportSection;
use crate::files::{self, FileError};
use crate::rollover;

/// Longest key or certificate file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a swarm's folder cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The CA.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// A key file that is not one, or for another purpose.
    #[error("{0} does not hold this swarm's {1} key; restore it from a backup")]
    Key(PathBuf, &'static str),
    /// A certificate file that is not one.
    #[error("{0} is not a certificate; restore it from a backup")]
    Certificate(PathBuf),
    /// The file of the trust statements is none.
    #[error("{0} is not the file of this swarm's trust statements; restore it from a backup")]
    Trust(PathBuf),
    /// The CA's certificate is for another key.
    #[error("{0}/ca.pem and {0}/ca.key do not belong together; restore both from a backup")]
    CaPair(PathBuf),
    /// A key or certificate is gone.
    #[error("{0} does not exist; restore it from a backup, or correct node.keys in the configuration")]
    Gone(PathBuf),
    /// The authority key is not the swarm's.
    #[error("{0} is not the key of this swarm's authority; use the right folder")]
    OtherSwarm(PathBuf),
    /// The name is unusable.
    #[error("{0:?} is no name for a swarm; use 1 to 63 letters, digits, dots, dashes")]
    Name(String),
    /// The configuration cannot be written.
    #[error("cannot write the configuration: {0}")]
    Toml(#[from] toml::ser::Error),
}

/// What each of the four keys is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyPurpose {
    /// An agent's own, of an embedded swarm with a folder; in a folder of its own.
    Agent,
    /// Tokens and trust statements.
    Authority,
    /// Certificates.
    Ca,
    /// Audit checkpoints.
    Log,
    /// The node's TLS, welcomes, receipts, notices.
    Node,
    /// A witness's cosignatures; in a folder of its own.
    Witness,
}

impl KeyPurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Authority => "authority",
            Self::Ca => "ca",
            Self::Log => "log",
            Self::Node => "node",
            Self::Witness => "witness",
        }
    }
}

fn key_path(keys: &Path, purpose: KeyPurpose) -> PathBuf {
    keys.join(format!("{}.key", purpose.as_str()))
}

fn key_text(purpose: KeyPurpose, key: &SecretKey) -> Zeroizing<String> {
    let seed = Zeroizing::new(hex::encode(*key.seed()));
    Zeroizing::new(format!("testudo-key-1:{}:{}\n", purpose.as_str(), *seed))
}

/// Writes a key that is not there yet.
pub(crate) fn write_key(keys: &Path, purpose: KeyPurpose, key: &SecretKey) -> Result<(), FileError> {
    files::write_new(&key_path(keys, purpose), key_text(purpose, key).as_bytes())
}

/// Writes a key to any file, over whatever is there.
pub(crate) fn write_key_at(path: &Path, purpose: KeyPurpose, key: &SecretKey) -> Result<(), FileError> {
    files::replace(path, key_text(purpose, key).as_bytes())
}

/// Advice for a file that was there once.
fn gone(error: FileError) -> SwarmError {
    if let FileError::Missing(path) = error { SwarmError::Gone(path) } else { SwarmError::File(error) }
}

/// Reads one of the four keys.
///
/// # Errors
/// [`SwarmError::File`] or [`SwarmError::Key`].
pub fn read_key(keys: &Path, purpose: KeyPurpose) -> Result<SecretKey, SwarmError> {
    read_key_at(&key_path(keys, purpose), purpose)
}

/// Reads a key from any file.
pub(crate) fn read_key_at(path: &Path, purpose: KeyPurpose) -> Result<SecretKey, SwarmError> {
    let text = Zeroizing::new(files::read_private(path, FILE_BYTES_MAX).map_err(gone)?);
    let wrong = || SwarmError::Key(path.to_owned(), purpose.as_str());
    let seed = text
        .trim_end()
        .strip_prefix("testudo-key-1:")
        .and_then(|rest| rest.strip_prefix(purpose.as_str()))
        .and_then(|rest| rest.strip_prefix(':'))
        .ok_or_else(wrong)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(seed, &mut bytes).map_err(|_| wrong())?;
    let key = SecretKey::from_seed(&bytes);
    bytes.zeroize();
    Ok(key)
}

/// The four keys of a swarm and its CA's certificate. Whoever holds them is the swarm.
#[derive(Clone)]
pub struct Keys {
    /// Tokens and trust statements.
    pub authority: SecretKey,
    /// Certificates.
    pub ca: SecretKey,
    /// The CA's own certificate.
    pub certificate: CertificateDer<'static>,
    /// Audit checkpoints.
    pub log: SecretKey,
    /// The node's TLS, welcomes, receipts, notices.
    pub node: SecretKey,
    /// All of what is trusted, once that is not what the swarm began with.
    pub rolled: Option<Holding>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("swarm", &self.swarm()).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of a new swarm.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn make(env: &dyn Env) -> Result<Self, IssuerError> {
        let [authority, ca, log, node] = std::array::from_fn(|_| new_key(env));
        let certificate =
            EmbeddedCa::create(&SwarmId::of(&authority.public()), &ca, env)?.certificate().clone();
        Ok(Self { authority, ca, certificate, log, node, rolled: None })
    }

    /// Reads what [`init`] wrote.
    ///
    /// # Errors
    /// [`SwarmError`].
    pub fn read(keys: &Path) -> Result<Self, SwarmError> {
        if let Some(rolled) = rollover::read(keys)? {
            let (log, node) = (read_key(keys, KeyPurpose::Log)?, read_key(keys, KeyPurpose::Node)?);
            let rolled = rolled.and_then(|rolled| Self::rolled(rolled, log, node));
            return rolled.ok_or_else(|| SwarmError::Trust(rollover::path(keys)));
        }
        Ok(Self {
            rolled: None,
            authority: read_key(keys, KeyPurpose::Authority)?,
            log: read_key(keys, KeyPurpose::Log)?,
            certificate: read_ca(keys)?,
            ca: read_key(keys, KeyPurpose::Ca)?,
            node: read_key(keys, KeyPurpose::Node)?,
        })
    }

    /// Those of a swarm that was rolled over; none where the authority's key or every CA is missing.
    pub(crate) fn rolled(rolled: Holding, log: SecretKey, node: SecretKey) -> Option<Self> {
        let newest = rolled.cas.last()?.clone();
        let authority = rolled.authority.clone()?;
        let (ca, certificate) = (newest.key, newest.certificate);
        Some(Self { authority, ca, certificate, log, node, rolled: Some(rolled) })
    }

    /// What is trusted, with the keys that go with it.
    #[must_use]
    pub fn holding(&self) -> Holding {
        self.rolled.clone().unwrap_or_else(|| Holding {
            genesis: self.authority.public(),
            authority: Some(self.authority.clone()),
            cas: vec![HeldCa { certificate: self.certificate.clone(), key: self.ca.clone() }],
            chain: Vec::new(),
        })
    }

    /// The files that they are kept in, in the order of their writing.
    pub(crate) fn files(&self, keys: &Path) -> Vec<(PathBuf, Zeroizing<String>)> {
        let secret = |purpose, key| (key_path(keys, purpose), key_text(purpose, key));
        // What was read or made as a statement can be written as one.
        if let Some(text) = self.rolled.as_ref().and_then(|rolled| rollover::text(rolled).ok()) {
            return vec![
                (rollover::path(keys), text),
                secret(KeyPurpose::Node, &self.node),
                secret(KeyPurpose::Log, &self.log),
            ];
        }
        vec![
            secret(KeyPurpose::Authority, &self.authority),
            secret(KeyPurpose::Ca, &self.ca),
            (keys.join("ca.pem"), Zeroizing::new(pem(&self.certificate))),
            secret(KeyPurpose::Node, &self.node),
            secret(KeyPurpose::Log, &self.log),
        ]
    }

    /// The swarm that they make.
    #[must_use]
    pub fn swarm(&self) -> SwarmId {
        let first = self.rolled.as_ref().map(|rolled| rolled.genesis);
        SwarmId::of(&first.unwrap_or_else(|| self.authority.public()))
    }
}

/// A key that nobody has had before.
pub(crate) fn new_key(env: &dyn Env) -> SecretKey {
    let mut seed: [u8; 32] = random(env);
    let key = SecretKey::from_seed(&seed);
    seed.zeroize();
    key
}

/// PEM, as every certificate tool writes it.
#[must_use]
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    testudo_bus::tls::pem("CERTIFICATE", certificate)
}

/// The first certificate of a PEM text.
#[must_use]
pub fn from_pem(text: &str) -> Option<CertificateDer<'static>> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(text.as_bytes()).ok()
}

/// All certificates of a PEM text; `None` when there is none, or something else.
#[must_use]
pub fn all_from_pem(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    use rustls_pki_types::pem::PemObject as _;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty())
}

/// Reads the CA's certificate.
///
/// # Errors
/// [`SwarmError`].
pub fn read_ca(keys: &Path) -> Result<CertificateDer<'static>, SwarmError> {
    let path = keys.join("ca.pem");
    let text = files::read_public(&path, FILE_BYTES_MAX).map_err(gone)?;
    from_pem(&text).ok_or(SwarmError::Certificate(path))
}

/// Where a new node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Agents, over UDP.
    pub listen: std::net::SocketAddr,
    /// Health and metrics, over TCP.
    pub health: std::net::SocketAddr,
}

impl Default for Addresses {
    /// Loopback, ports 7600 and 7601.
    fn default() -> Self {
        Self { listen: ([127, 0, 0, 1], 7600).into(), health: ([127, 0, 0, 1], 7601).into() }
    }
}

/// The configuration of a new swarm of these keys, with every default.
///
/// # Errors
/// [`SwarmError::Name`].
pub fn configuration(name: &str, keys: &Keys, at: Addresses) -> Result<Config, SwarmError> {
    let parse = |name: &str| NodeName::parse(name).map_err(|_| SwarmError::Name(name.to_owned()));
    Ok(Config {
        swarm: SwarmSection {
            name: parse(name)?.as_str().to_owned(),
            id: keys.swarm(),
            authority: keys.authority.public(),
            token_days_max: crate::config::token_days_max(),
        },
        node: NodeSection {
            clock_is_right: false,
            name: parse("node-1")?,
            listen: at.listen,
            health: at.health,
            join: None,
            data: "data".into(),
            keys: "keys".into(),
            heartbeat_ms: 30_000,
            on_silence: Silence::Revoke,
            window_bytes: 512 * 1024,
            body_bytes: Bodies::default().bytes_max,
            body_memory_bytes: Bodies::default().memory_bytes,
        },
        guard: GuardSection::default(),
        issuer: crate::config::IssuerSection::default(),
        export: ExportSection::default(),
        exporter: Vec::new(),
        traces: crate::export::TracesSection::default(),
        audit: AuditSection::default(),
    })
}

/// Makes a swarm in `dir`: four keys, the CA, the configuration. Nothing that is there is overwritten.
///
/// # Errors
/// [`SwarmError`]. The configuration is written last: without it the folder is no swarm.
pub fn init(dir: &Path, name: &str, at: Addresses, env: &dyn Env) -> Result<Config, SwarmError> {
    let made = Keys::make(env)?;
    let config = configuration(name, &made, at)?;
    let (path, keys) = (dir.join("testudo.toml"), dir.join("keys"));
    // All are looked at before any is made: a folder that is in use stays as it is.
    let files = made.files(&keys);
    let others = [path.clone(), dir.join("data/registry.db"), dir.join("data/audit"), rollover::path(&keys)];
    let mut planned = others.iter().chain(files.iter().map(|(path, _)| path));
    if let Some(there) = planned.find(|path| path.symlink_metadata().is_ok()) {
        return Err(FileError::Exists(there.clone()).into());
    }
    files::private_dir(&keys)?;
    files::private_dir(&dir.join("data"))?;
    for (path, text) in &files {
        files::write_new(path, text.as_bytes())?;
    }
    let text = format!(
        "# A Testudo swarm. Keys are in keys/: keep them secret, and keep a copy.\n{}",
        toml::to_string(&config)?
    );
    files::write_new(&path, text.as_bytes())?;
    Ok(config)
}
