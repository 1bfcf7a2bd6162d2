//! How a backup is closed and opened: an age file, with a passphrase or to recipients. Knows nothing of what is in it.

use std::io::{Read as _, Write as _};
use std::path::Path;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, EncryptError, Encryptor, scrypt, x25519};
use zeroize::Zeroizing;

use super::BackupError;
use crate::files;

/// Longest backup, and longest age identity file: keys and a configuration are far smaller.
pub(super) const FILE_BYTES_MAX: u64 = 256 * 1024;
/// scrypt with N = 2^17, r = 8: 128 MiB and about a third of a second. Fixed, so that no clock decides it.
const WORK_LOG2: u8 = 17;
/// What a file may ask of its reader; `age -p` writes 18. More would let a file take memory at will.
pub(super) const WORK_LOG2_MAX: u8 = 18;
/// A passphrase stands against a search that takes no part of a second for each guess.
pub(super) const PASSPHRASE_CHARS_MIN: usize = 12;

/// For whom a backup is encrypted.
#[derive(Debug)]
pub enum Lock {
    /// Whoever knows it.
    Passphrase(Passphrase),
    /// Whoever has one of their identities.
    Recipients(Vec<Recipient>),
}

/// What a backup is opened with.
#[derive(Debug)]
pub enum Unlock {
    /// The passphrase.
    Passphrase(Passphrase),
    /// An age identity file.
    Identities(Identities),
}

/// A passphrase; never shown.
pub struct Passphrase(SecretString);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// A new one, to encrypt with.
    ///
    /// # Errors
    /// [`BackupError::Short`].
    pub fn choose(text: &str) -> Result<Self, BackupError> {
        let long = text.chars().count() >= PASSPHRASE_CHARS_MIN;
        if long { Ok(Self::given(text)) } else { Err(BackupError::Short) }
    }

    /// One that a file was encrypted with.
    #[must_use]
    pub fn given(text: &str) -> Self {
        Self(SecretString::from(text.to_owned()))
    }
}

/// An age recipient, `age1...`.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for Recipient {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        text.parse().map(Self).map_err(|_| BackupError::Recipient(text.to_owned()))
    }
}

/// The keys of an age identity file; never shown.
pub struct Identities(Vec<x25519::Identity>);

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    /// Reads an age identity file, which nobody but its owner may read.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn load(path: &Path) -> Result<Self, BackupError> {
        let text = Zeroizing::new(files::read_private(path, FILE_BYTES_MAX)?);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found: Result<Vec<x25519::Identity>, _> = lines.map(str::parse).collect();
        let found = found.ok().filter(|found| !found.is_empty());
        found.map(Self).ok_or_else(|| BackupError::Identities(path.to_owned()))
    }
}

impl Lock {
    /// Encrypts.
    pub(super) fn close(&self, plain: &[u8]) -> Result<Vec<u8>, BackupError> {
        let failed = |error: &dyn std::fmt::Display| BackupError::Encrypt(error.to_string());
        let encryptor = self.encryptor().map_err(|error| failed(&error))?;
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| failed(&error))?;
        writer.write_all(plain).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        Ok(sealed)
    }

    fn encryptor(&self) -> Result<Encryptor, EncryptError> {
        match self {
            Self::Passphrase(Passphrase(secret)) => {
                let mut recipient = scrypt::Recipient::new(secret.clone());
                recipient.set_work_factor(WORK_LOG2);
                Encryptor::with_recipients(std::iter::once(&recipient as _))
            }
            Self::Recipients(list) => Encryptor::with_recipients(list.iter().map(|one| &one.0 as _)),
        }
    }
}

pub(super) fn opened(path: &Path, sealed: &[u8], unlock: &Unlock) -> Result<Zeroizing<String>, BackupError> {
    let decryptor = Decryptor::new_buffered(sealed).map_err(|error| told(path, error))?;
    let reader = match (unlock, decryptor.is_scrypt()) {
        (Unlock::Passphrase(Passphrase(secret)), true) => {
            let mut identity = scrypt::Identity::new(secret.clone());
            identity.set_max_work_factor(WORK_LOG2_MAX);
            decryptor.decrypt(std::iter::once(&identity as _))
        }
        (Unlock::Identities(Identities(list)), false) => decryptor.decrypt(list.iter().map(|one| one as _)),
        (Unlock::Passphrase(_), false) => {
            return Err(BackupError::OtherLock(
                path.to_owned(),
                "to a recipient; open it with --identity FILE",
            ));
        }
        (Unlock::Identities(_), true) => {
            return Err(BackupError::OtherLock(path.to_owned(), "with a passphrase; leave --identity out"));
        }
    };
    let mut plain = Zeroizing::new(String::new());
    let mut reader = reader.map_err(|error| told(path, error))?;
    // The last piece of an age file says that it is the last: what is cut off does not end well.
    let read = reader.by_ref().take(FILE_BYTES_MAX).read_to_string(&mut plain);
    read.map_err(|_| BackupError::Damaged(path.to_owned()))?;
    Ok(plain)
}

fn told(path: &Path, error: DecryptError) -> BackupError {
    let path = path.to_owned();
    match error {
        DecryptError::ExcessiveWork { required, .. } => BackupError::Work(path, required),
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => BackupError::Foreign(path),
        DecryptError::Io(_) => BackupError::Damaged(path),
        DecryptError::DecryptionFailed
        | DecryptError::InvalidMac
        | DecryptError::KeyDecryptionFailed
        | DecryptError::NoMatchingKeys => BackupError::Locked(path),
        // The enum is not ours, and may grow.
        _ => BackupError::Foreign(path),
    }
}
