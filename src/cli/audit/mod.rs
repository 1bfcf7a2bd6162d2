//! `testudo audit`: what the swarm did, and proof that nobody rewrote it.

mod events;
mod prove;
mod tail;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use testudo::config::{Config, Overrides};
use testudo::rules::audit::VerifierKey;
use testudo::server::{audit_dir, origin};
use testudo::swarm::{self, KeyPurpose};

use super::{At, CliError, Done};

/// The audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check a proof that a record stands on a log; needs nothing but the log's key
    Check(prove::Check),
    /// Check signed events that an exporter sent; needs nothing but the log's key
    Events(events::Events),
    /// Print the log's public key, for those who check its proofs
    Key(prove::Key),
    /// Write a proof that a record stands on the log
    Prove(prove::Prove),
    /// Print records, oldest first
    Tail(tail::Tail),
    /// Check every record and every checkpoint
    Verify(verify::Verify),
}

impl Audit {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Check(check) => check.run(),
            Self::Events(events) => events.run(),
            Self::Key(key) => key.run(),
            Self::Prove(prove) => prove.run(),
            Self::Tail(tail) => tail.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}

/// The log of a swarm's folder.
struct Log {
    config: Config,
    dir: PathBuf,
}

impl Log {
    fn of(at: &At) -> Result<Self, CliError> {
        let config = Config::load(&at.config, Overrides::default())?;
        let dir = audit_dir(&config);
        Ok(Self { config, dir })
    }

    /// Where it is, or will be.
    fn dir_to_be(&self) -> &Path {
        &self.dir
    }

    /// Where it is: a log that is not there proves nothing.
    fn dir(&self) -> Result<&Path, CliError> {
        if self.dir.is_dir() {
            return Ok(&self.dir);
        }
        let dir = self.dir.display();
        Err(CliError::Usage(format!(
            "there is no audit log in {dir}; start the node once, or pass the right --config"
        )))
    }

    /// Its name and public key.
    fn key(&self) -> Result<VerifierKey, CliError> {
        let key = swarm::read_key(&self.config.node.keys, KeyPurpose::Log)?.public();
        Ok(VerifierKey { origin: origin(&self.config), key })
    }
}
