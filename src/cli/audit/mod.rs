//! `testudo audit`: what the swarm did, and proof that nobody rewrote it.

mod against;
mod events;
mod prove;
mod read;
mod seen;
mod tail;
mod verify;
mod witness;

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
    /// Have a witness cosign the last checkpoint
    Cosign(witness::Cosign),
    /// Print the log's public key, for those who check its proofs
    Key(prove::Key),
    /// Write a proof that a record stands on the log
    Prove(prove::Prove),
    /// What agents were told of their node's log: check it, and compare it
    Seen(seen::Seen),
    /// The log in numbers
    Stats(read::ShowStats),
    /// Print records, oldest first
    Tail(tail::Tail),
    /// The story of one piece of work across agents
    Trace(read::Trace),
    /// Check every record and every checkpoint
    Verify(verify::Verify),
    /// Run a witness: it cosigns checkpoints, and never two stories of one log
    Witness(witness::Watch),
}

impl Audit {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Check(check) => check.run(),
            Self::Events(events) => events.run(),
            Self::Cosign(cosign) => cosign.run(),
            Self::Key(key) => key.run(),
            Self::Prove(prove) => prove.run(),
            Self::Seen(seen) => seen.run(),
            Self::Stats(stats) => stats.run(),
            Self::Tail(tail) => tail.run(),
            Self::Trace(trace) => trace.run(),
            Self::Verify(verify) => verify.run(),
            Self::Witness(witness) => witness.run(),
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
