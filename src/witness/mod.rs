//! A witness: it cosigns the checkpoints of logs, and never two stories of one (threats A73, A74). A process of its
//! own, with a key of its own, on a machine of its own if that can be.
//!
//! A folder holds `witness.key`, `name`, a lock, and `heads/`: for each log the last checkpoint that was signed, with
//! the signature. *Invariant*: a head is on disk before its signature leaves, and one that was lost is not begun
//! again.

mod client;
mod server;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use testudo_bus::env::Env;
use testudo_rules::audit::witness::{Refused, Submission};
use testudo_rules::audit::{Checkpoint, Origin, VerifierKey, WitnessKey, cosign, cosigned, with_cosignature};
use testudo_wire::{SecretKey, Timestamp};

use crate::files::{self, FileError};
use crate::swarm::{KeyPurpose, SwarmError, new_key, read_key, write_key};

pub use client::{SubmitError, submit};
pub use server::serve;

/// Longest name and note that are read back.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// Why a witness cannot work.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The memory of what was signed is gone.
    #[error(
        "{0} is missing: this witness no longer knows what it signed, and must not sign again; restore it, or make \
         a new witness in another folder"
    )]
    Forgotten(PathBuf),
    /// What was signed last was changed.
    #[error("{0} is not what this witness signed; restore it, or make a new witness in another folder")]
    Head(PathBuf),
    /// The system refused.
    #[error("the witness's folder {0}: {1}")]
    Io(PathBuf, io::Error),
    /// Another process has the folder.
    #[error("another witness works on {0}; stop that one first")]
    InUse(PathBuf),
    /// The key.
    #[error(transparent)]
    Key(#[from] SwarmError),
    /// The name.
    #[error(
        "{0:?} is no name for a witness; use letters, digits, dots and slashes, such as witness.example/w1"
    )]
    Name(String),
    /// The folder belongs to a witness of another name.
    #[error("the witness in this folder is called {0}; a witness keeps its name")]
    Renamed(Origin),
}

/// Why a checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// It must not be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be remembered.
    #[error(transparent)]
    Failed(#[from] WitnessError),
}

/// A witness of some logs.
#[derive(Debug)]
pub struct Witness {
    heads: PathBuf,
    name: Origin,
    key: SecretKey,
    logs: Vec<VerifierKey>,
    /// Held from the look at a head until the next one is on disk.
    signing: Mutex<()>,
    _lock: File,
}

impl Witness {
    /// Opens the witness in `dir`, or makes one of this name.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn open(dir: &Path, name: &str, logs: Vec<VerifierKey>, env: &dyn Env) -> Result<Self, WitnessError> {
        let name = Origin::parse(name)
            .filter(WitnessKey::takes)
            .ok_or_else(|| WitnessError::Name(name.to_owned()))?;
        files::private_dir(dir)?;
        let lock = lock(dir)?;
        let (heads, named) = (dir.join("heads"), dir.join("name"));
        if !dir.join("witness.key").exists() {
            files::private_dir(&heads)?;
            if !named.exists() {
                files::write_new(&named, format!("{name}\n").as_bytes())?;
            }
            // Last: a folder with a key has signed, or may have.
            write_key(dir, KeyPurpose::Witness, &new_key(env))?;
        }
        let key = read_key(dir, KeyPurpose::Witness)?;
        let kept = files::read_public(&named, NOTE_BYTES_MAX)?;
        if kept.trim_end() != name.as_str() {
            let kept = Origin::parse(kept.trim_end()).ok_or(WitnessError::Head(named))?;
            return Err(WitnessError::Renamed(kept));
        }
        if !heads.is_dir() {
            return Err(WitnessError::Forgotten(heads));
        }
        let witness = Self { heads, name, key, logs, signing: Mutex::new(()), _lock: lock };
        // What cannot be trusted is found now, not at the first request.
        for log in &witness.logs {
            witness.head(log)?;
        }
        Ok(witness)
    }

    /// Its public key, for those who ask for its signature.
    #[must_use]
    pub fn verifier(&self) -> WitnessKey {
        WitnessKey { name: self.name.clone(), key: self.key.public() }
    }

    /// The logs that it watches.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    fn path(&self, log: &VerifierKey) -> PathBuf {
        // Origins hold slashes.
        self.heads.join(blake3::hash(log.origin.as_str().as_bytes()).to_hex().as_str())
    }

    /// The last head of a log that was signed. One that this witness did not sign is none.
    fn head(&self, log: &VerifierKey) -> Result<Option<Checkpoint>, WitnessError> {
        let path = self.path(log);
        let note = match files::read_public(&path, NOTE_BYTES_MAX) {
            Ok(note) => note,
            Err(FileError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let head = Checkpoint::verify(&note, &log.origin, &log.key);
        match (head, cosigned(&note, &self.verifier())) {
            (Ok(head), Ok(_)) => Ok(Some(head)),
            (Err(_), _) | (_, Err(_)) => Err(WitnessError::Head(path)),
        }
    }

    /// Signs the checkpoint of an `add-checkpoint` request, if it extends what was signed before: the signature line,
    /// once it is remembered.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Result<String, NotSigned> {
        let submission = Submission::parse(body)?;
        let (log, next) = submission.of(&self.logs)?;
        let _one = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        submission.extends(self.head(log)?, next)?;
        let line = cosign(&submission.checkpoint, &self.name, &self.key, now.as_secs())
            .map_err(|_| Refused::Malformed("no checkpoint"))?;
        // Only the log's own signature and ours: others could fill the file.
        let bare = testudo_rules::audit::only_signed_by(&submission.checkpoint, &log.origin, &log.key)
            .map_err(|_| Refused::Unsigned)?;
        let path = self.path(log);
        files::replace(&path, with_cosignature(&bare, &line).as_bytes()).map_err(WitnessError::from)?;
        files::sync_folder(&self.heads).map_err(|error| WitnessError::Io(self.heads.clone(), error))?;
        Ok(line)
    }
}

fn lock(dir: &Path) -> Result<File, WitnessError> {
    let path = dir.join("lock");
    let failed = |error| WitnessError::Io(dir.to_owned(), error);
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(WitnessError::InUse(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests;
