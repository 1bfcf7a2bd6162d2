//! A swarm's keys and configuration in one encrypted file, to live on after a lost disk.
//!
//! The file is an [age](https://age-encryption.org/v1) file, so that `age -d` opens it as well; what is in it is
//! text. It holds what cannot be made again: the four keys, the CA's certificate, the configuration. It does not
//! hold the registry or the audit log: an old copy of those would bring revoked agents back (threat A75).
//! Knows nothing of passphrase prompts.

mod error;
mod lock;

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use testudo_bus::env::Env;
use testudo_wire::{SecretKey, SwarmId};
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::Config;
use crate::files::{self, FileError};
use crate::rollover;
use crate::server::ServerError;
use crate::swarm::{Keys, SwarmError, from_pem, pem};

pub use error::BackupError;
pub use lock::{Identities, Lock, Passphrase, Recipient, Unlock};

/// What is in the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    testudo_backup: u8,
    made_ms: u64,
    authority: String,
    ca: String,
    log: String,
    node: String,
    certificate: String,
    config: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trust: Option<String>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        for key in [&mut self.authority, &mut self.ca, &mut self.log, &mut self.node] {
            key.zeroize();
        }
        self.trust.zeroize();
    }
}

/// Everything that a swarm lives on, checked to go together.
#[derive(Debug)]
pub struct Backup {
    keys: Keys,
    config: Config,
    text: String,
    made_ms: u64,
}

/// A swarm that was restored.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// Its id, to be compared with what its members hold.
    pub swarm: SwarmId,
    /// What people call it.
    pub name: String,
    /// Its configuration.
    pub config: PathBuf,
    /// When the backup was made, in milliseconds since the Unix epoch.
    pub made_ms: u64,
    /// Where registry and audit log are expected.
    pub data: PathBuf,
    /// Whether a registry is there.
    pub has_registry: bool,
}

impl Backup {
    /// Reads a swarm's folder by its configuration, and checks that a swarm could live on from it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn take(path: &Path, config: &Config, env: &dyn Env) -> Result<Self, BackupError> {
        let (text, _) = Config::text(path)?;
        let backup = Self {
            keys: Keys::read(&config.node.keys)?,
            config: Config::parse(path, &text)?,
            text,
            made_ms: env.now().as_millis(),
        };
        backup.check(env).map_err(|error| BackupError::Unusable(error.to_string()))?;
        Ok(backup)
    }

    /// The swarm's id.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.config.swarm.id
    }

    /// What a node checks at its start.
    fn check(&self, env: &dyn Env) -> Result<(), ServerError> {
        crate::server::belong_together(&self.config, &self.keys, env)
    }

    /// Encrypts it.
    ///
    /// # Errors
    /// [`BackupError::Encrypt`].
    pub fn seal(&self, lock: &Lock) -> Result<Vec<u8>, BackupError> {
        let plain =
            toml::to_string(&self.stored()).map_err(|error| BackupError::Encrypt(error.to_string()))?;
        lock.close(Zeroizing::new(plain).as_bytes())
    }

    fn stored(&self) -> Stored {
        let seed = |key: &SecretKey| hex::encode(*key.seed());
        Stored {
            testudo_backup: 1,
            made_ms: self.made_ms,
            authority: seed(&self.keys.authority),
            ca: seed(&self.keys.ca),
            log: seed(&self.keys.log),
            node: seed(&self.keys.node),
            certificate: pem(&self.keys.certificate),
            config: self.text.clone(),
            trust: self
                .keys
                .rolled
                .as_ref()
                .and_then(|rolled| rollover::text(rolled).ok())
                .map(|text| text.to_string()),
        }
    }

    /// Reads and opens a backup, to its last byte, before anything of it is used.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn open(path: &Path, unlock: &Unlock, env: &dyn Env) -> Result<Self, BackupError> {
        let sealed = files::read_private_bytes(path, lock::FILE_BYTES_MAX)?;
        let plain = lock::opened(path, &sealed, unlock)?;
        let content = |what: String| BackupError::Content(path.to_owned(), what);
        let stored: Stored = toml::from_str(&plain).map_err(|error| content(error.message().to_owned()))?;
        if stored.testudo_backup != 1 {
            return Err(content(format!("version {} is not known here", stored.testudo_backup)));
        }
        let backup = Self {
            keys: stored.keys().map_err(|what| content(what.to_owned()))?,
            config: Config::parse(path, &stored.config).map_err(|error| content(error.to_string()))?,
            text: stored.config.clone(),
            made_ms: stored.made_ms,
        };
        backup.check(env).map_err(|error| content(error.to_string()))?;
        Ok(backup)
    }

    /// Writes keys and configuration into a folder. Nothing that is there is overwritten, and what is in its data
    /// folder is left as it is. The keys go into `keys`, wherever they were.
    ///
    /// # Errors
    /// [`BackupError`]; then nothing was written.
    pub fn restore(self, dir: &Path) -> Result<Restored, BackupError> {
        let (path, keys) = (dir.join("testudo.toml"), dir.join("keys"));
        let mut files = self.keys.files(&keys).to_vec();
        files.push((path.clone(), self.moved()?));
        if let Some((there, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
            return Err(FileError::Exists(there.clone()).into());
        }
        files::private_dir(&keys)?;
        for (done, (path, text)) in files.iter().enumerate() {
            if let Err(error) = files::write_new(path, text.as_bytes()) {
                // Half a swarm must not stay: it would stop the next attempt.
                files[..done].iter().for_each(|(path, _)| _ = std::fs::remove_file(path));
                return Err(error.into());
            }
        }
        let data = dir.join(&self.config.node.data);
        Ok(Restored {
            swarm: self.config.swarm.id,
            name: self.config.swarm.name,
            config: path,
            made_ms: self.made_ms,
            has_registry: data.join("registry.db").exists(),
            data,
        })
    }

    /// The configuration as it was, unless its keys were elsewhere.
    fn moved(&self) -> Result<Zeroizing<String>, SwarmError> {
        if self.config.node.keys == Path::new("keys") {
            return Ok(Zeroizing::new(self.text.clone()));
        }
        let mut config = self.config.clone();
        config.node.keys = "keys".into();
        Ok(Zeroizing::new(toml::to_string(&config)?))
    }
}

impl Stored {
    fn keys(&self) -> Result<Keys, &'static str> {
        let certificate: CertificateDer<'static> =
            from_pem(&self.certificate).ok_or("its CA certificate is none")?;
        if let Some(text) = &self.trust {
            let rolled = rollover::parse(text).ok_or("its trust statements are none")?;
            let keys = Keys::rolled(rolled, key(&self.log)?, key(&self.node)?);
            return keys.ok_or("a key of its trust statements is missing");
        }
        Ok(Keys {
            rolled: None,
            authority: key(&self.authority)?,
            ca: key(&self.ca)?,
            certificate,
            log: key(&self.log)?,
            node: key(&self.node)?,
        })
    }
}

fn key(text: &str) -> Result<SecretKey, &'static str> {
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, &mut *seed).map_err(|_| "a key is not 64 hex digits")?;
    Ok(SecretKey::from_seed(&seed))
}
