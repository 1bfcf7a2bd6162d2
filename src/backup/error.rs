//! Why a backup cannot be made or used.

use std::path::PathBuf;

use crate::backup::lock::{PASSPHRASE_CHARS_MIN, WORK_LOG2_MAX};
use crate::config::ConfigError;
use crate::files::FileError;
use crate::swarm::SwarmError;

/// Why there is no backup, or no swarm from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file, or one that it would become.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keys to be backed up.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// Keys and configuration do not go together.
    #[error("this swarm is not backed up, since it could not live on from it: {0}")]
    Unusable(String),
    /// The encryption.
    #[error("the backup cannot be encrypted: {0}")]
    Encrypt(String),
    /// Too short to protect keys.
    #[error("the passphrase is shorter than {PASSPHRASE_CHARS_MIN} characters; choose a longer one")]
    Short,
    /// Not an age recipient.
    #[error("{0:?} is no age recipient; give what `age-keygen` prints, which starts with age1")]
    Recipient(String),
    /// Not an age identity file.
    #[error("{0} is no age identity file; give the one that `age-keygen` wrote")]
    Identities(PathBuf),
    /// Encrypted, but not for this passphrase or identity, or changed in its head.
    #[error("{0} does not open with this; it is another passphrase or identity, or the file was changed")]
    Locked(PathBuf),
    /// A passphrase was given for a file that wants an identity, or the other way round.
    #[error("{0} is encrypted {1}")]
    OtherLock(PathBuf, &'static str),
    /// It asks for more work than any backup of ours.
    #[error("{0} wants scrypt with 2^{1}, more than 2^{WORK_LOG2_MAX}; it is no backup of Testudo")]
    Work(PathBuf, u8),
    /// Cut off or changed.
    #[error("{0} is cut off or was changed; use another copy")]
    Damaged(PathBuf),
    /// Not an age file.
    #[error("{0} is no backup of Testudo; give what `testudo swarm backup` wrote")]
    Foreign(PathBuf),
    /// It opened, and what is in it is not a swarm.
    #[error("{0} opened, but is no backup of Testudo ({1}); use another copy")]
    Content(PathBuf, String),
}
