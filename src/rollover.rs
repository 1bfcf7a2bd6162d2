//! Where a swarm's folder keeps its trust statements, with the keys that go with the last one: one file, so that
//! whatever a crash comes between, statement and keys are of one piece. Until the first rollover there is none, and
//! the keys of `testudo init` are where it put them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testudo_bus::roots::{HeldCa, Holding, Keep, KeepError};
use testudo_rules::token;
use testudo_rules::trust::Trust;
use testudo_wire::trust::SignedStatement;
use testudo_wire::{PublicKey, SecretKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::Config;
use crate::files::{self, FileError};
use crate::swarm::{from_pem, pem};

/// Longest file: 512 statements of 4 CAs.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Its name in the folder of the keys.
pub(crate) const FILE: &str = "trust.toml";
/// What it takes the place of.
const SUPERSEDED: [&str; 3] = ["authority.key", "ca.key", "ca.pem"];

/// What is in the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    testudo_trust: u8,
    genesis: PublicKey,
    authority: Option<String>,
    cas: Vec<StoredCa>,
    statements: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredCa {
    key: String,
    certificate: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.authority.zeroize();
        self.cas.iter_mut().for_each(|ca| ca.key.zeroize());
    }
}

/// The file of a folder of keys.
pub(crate) fn path(keys: &Path) -> PathBuf {
    keys.join(FILE)
}

/// The file's text.
///
/// # Errors
/// In words.
pub(crate) fn text(holding: &Holding) -> Result<Zeroizing<String>, String> {
    let statement = |signed: &SignedStatement| signed.encode().map(hex::encode);
    let statements: Result<Vec<_>, _> = holding.chain.iter().map(statement).collect();
    let seed = |key: &SecretKey| hex::encode(*key.seed());
    let ca = |ca: &HeldCa| StoredCa { key: seed(&ca.key), certificate: pem(&ca.certificate) };
    let stored = Stored {
        testudo_trust: 1,
        genesis: holding.genesis,
        authority: holding.authority.as_ref().map(seed),
        cas: holding.cas.iter().map(ca).collect(),
        statements: statements.map_err(|error| error.to_string())?,
    };
    toml::to_string(&stored).map(Zeroizing::new).map_err(|error| error.to_string())
}

fn key(text: &str) -> Option<SecretKey> {
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, &mut *seed).ok()?;
    Some(SecretKey::from_seed(&seed))
}

/// Reads the file's text. Whether its parts belong together is found when they are used.
pub(crate) fn parse(text: &str) -> Option<Holding> {
    let stored: Stored = toml::from_str(text).ok().filter(|stored: &Stored| stored.testudo_trust == 1)?;
    let authority = match &stored.authority {
        Some(text) => Some(key(text)?),
        None => None,
    };
    let ca = |ca: &StoredCa| Some(HeldCa { certificate: from_pem(&ca.certificate)?, key: key(&ca.key)? });
    let statement = |text: &String| SignedStatement::decode(&hex::decode(text).ok()?).ok();
    let cas: Option<Vec<_>> = stored.cas.iter().map(ca).collect();
    let chain: Option<Vec<_>> = stored.statements.iter().map(statement).collect();
    Some(Holding { genesis: stored.genesis, authority, cas: cas?, chain: chain? })
}

/// Reads the file, if there is one.
///
/// # Errors
/// [`FileError`]; `Some(None)` for a file that is none.
pub(crate) fn read(keys: &Path) -> Result<Option<Option<Holding>>, FileError> {
    match files::read_private(&path(keys), FILE_BYTES_MAX) {
        Ok(text) => Ok(Some(parse(&Zeroizing::new(text)))),
        Err(FileError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keys that the file has taken the place of must not lie around: one of them may be retired.
pub(crate) fn tidy(keys: &Path) {
    for name in SUPERSEDED {
        let _ = std::fs::remove_file(keys.join(name));
    }
}

/// Keeps what is rolled over in a folder of keys.
#[derive(Debug)]
pub struct InFolder(pub PathBuf);

impl InFolder {
    fn keep_with(
        &self,
        holding: &Holding,
        sync: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<(), KeepError> {
        let text = text(holding).map_err(KeepError::Unchanged)?;
        let replaced = files::replace(&path(&self.0), text.as_bytes());
        replaced.map_err(|error| KeepError::Unchanged(error.to_string()))?;
        // The name is of the folder: without this a power cut could take it back. Then either file is whole, and what
        // it supersedes must still be there for the older one.
        sync(&self.0).map_err(|error| {
            KeepError::Unknown(format!("{} could not be synced: {error}", self.0.display()))
        })?;
        tidy(&self.0);
        Ok(())
    }
}

impl Keep for InFolder {
    fn keep(&self, holding: &Holding) -> Result<(), KeepError> {
        self.keep_with(holding, files::sync_folder)
    }
}

/// Keys that live in memory alone are not rolled over: nobody would have them at the next start.
#[derive(Debug)]
pub struct Nowhere;

impl Keep for Nowhere {
    fn keep(&self, _: &Holding) -> Result<(), KeepError> {
        let why = "this swarm's keys are in memory alone; give it a folder of data to roll them over";
        Err(KeepError::Unchanged(why.into()))
    }
}

/// Whose tokens count by the statements that are kept for this configuration; none before the first.
///
/// # Errors
/// What is wrong with what is kept: nobody goes by the first key because the last cannot be read.
pub fn trusted(config: &Config) -> Result<Option<token::Trust>, String> {
    let unreadable =
        |why: &dyn std::fmt::Display| format!("the trust statements in keys/ cannot be read: {why}");
    let holding = read(&config.node.keys).map_err(|error| unreadable(&error))?;
    let holding = match holding {
        None => return Ok(None),
        Some(parsed) => parsed.ok_or_else(|| unreadable(&"it is no such file"))?,
    };
    if holding.genesis != config.swarm.authority {
        return Ok(None);
    }
    let trust = Trust::genesis(holding.genesis, Vec::new()).fold(&holding.chain);
    Ok(Some(trust.map_err(|error| unreadable(&error))?.tokens()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::System;
    use crate::swarm::{KeyPurpose, Keys, write_key};

    /// A folder of keys as `testudo init` leaves it, and what it holds one statement later.
    fn folder() -> (tempfile::TempDir, Keys, Holding) {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::make(&System).unwrap();
        for (path, text) in keys.files(dir.path()) {
            files::write_new(&path, text.as_bytes()).unwrap();
        }
        let mut next = keys.holding();
        let cas = vec![keys.certificate.to_vec()];
        let trust = Trust::genesis(next.genesis, cas.clone());
        let now = testudo_bus::env::Env::now(&System);
        let (signed, _) = trust.next((vec![next.genesis], cas), now, &keys.authority).unwrap();
        next.chain.push(signed);
        (dir, keys, next)
    }

    fn number(dir: &Path) -> usize {
        Keys::read(dir).unwrap().holding().chain.len()
    }

    #[test]
    fn what_was_not_written_has_changed_nothing() {
        let (dir, _, next) = folder();
        let lost = InFolder(dir.path().join("gone"));
        assert!(matches!(lost.keep(&next), Err(KeepError::Unchanged(_))));
        assert_eq!(number(dir.path()), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_synced_is_told_and_either_file_starts() {
        let (dir, keys, next) = folder();
        let fails = |_: &Path| Err(std::io::Error::other("the disk is gone"));
        let why = InFolder(dir.path().to_owned()).keep_with(&next, fails).unwrap_err();
        assert!(matches!(why, KeepError::Unknown(_)), "{why}");
        assert!(why.to_string().contains("restart the node, then look"), "{why}");
        // It may have come to the disk ...
        assert_eq!(number(dir.path()), 1);
        assert!(dir.path().join("authority.key").exists(), "nothing is taken away before that is known");
        // ... or not.
        std::fs::remove_file(path(dir.path())).unwrap();
        assert_eq!(number(dir.path()), 0);
        assert_eq!(Keys::read(dir.path()).unwrap().swarm(), keys.swarm());
        InFolder(dir.path().to_owned()).keep(&next).unwrap();
        assert!(!dir.path().join("authority.key").exists());
        assert_eq!(number(dir.path()), 1);
        assert!(write_key(dir.path(), KeyPurpose::Node, &keys.node).is_err(), "that one stays");
    }
}
