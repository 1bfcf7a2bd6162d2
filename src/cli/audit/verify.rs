//! `audit verify`: every record and every checkpoint.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};
use testudo::bus::audit::{cosigned_checkpoint, extension, verify_dir};
use testudo::rules::audit::{Checkpoint, VerifierKey};

use super::super::{At, CliError, Done, say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    at: At,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What was found of a log.
struct Found {
    records: u64,
    sealed: u64,
    /// How many of its records the configured witness has cosigned, and its name.
    cosigned: Option<(u64, String)>,
}

impl Verify {
    pub(super) fn run(self) -> Done {
        match Found::of(&Log::of(&self.at)?) {
            Ok(found) => {
                say(&if self.json { found.json().to_string() } else { found.to_string() });
                Ok(())
            }
            Err(CliError::Failed(error)) => {
                if self.json {
                    say(&json!({"verified": false, "error": error}).to_string());
                }
                Err(CliError::Failed(error))
            }
            Err(error) => Err(error),
        }
    }
}

impl Found {
    fn of(log: &Log) -> Result<Self, CliError> {
        let by = log.key()?;
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let verified = verify_dir(log.dir()?, &by.key, &by.origin).map_err(|error| failed(&error))?;
        let (records, sealed) = (verified.records, verified.sealed);
        // The first start of a node signs before anything else can be written.
        if sealed == 0 {
            return Err(CliError::Failed(format!(
                "no signed checkpoint covers any of {records} records: the file checkpoints is missing or was emptied, so \
                 nobody can say whether records are missing, too; restore it from a backup"
            )));
        }
        let Some((_, witness)) = log.config.audit.witness() else {
            return Ok(Self { records, sealed, cosigned: None });
        };
        let cosigned = cosigned_checkpoint(log.dir()?, &by, &witness).map_err(|error| failed(&error))?;
        let size = match cosigned {
            Some((checkpoint, _)) => {
                extends(log.dir()?, &by, checkpoint).map_err(|what| {
                    let (size, name) = (checkpoint.size, &witness.name);
                    CliError::Failed(format!(
                        "{name} cosigned {size} records of this log, and it is not that log any more: {what}"
                    ))
                })?;
                checkpoint.size
            }
            None => 0,
        };
        Ok(Self { records, sealed, cosigned: Some((size, witness.name.to_string())) })
    }

    fn json(&self) -> Value {
        let Self { records, sealed, cosigned } = self;
        let cosigned = cosigned.as_ref().map(|(size, _)| size);
        json!({"verified": true, "records": records, "sealed": sealed, "cosigned": cosigned})
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, sealed, cosigned } = self;
        write!(f, "verified: {records} records, {sealed} of them under a signed checkpoint")?;
        match cosigned {
            Some((size, name)) => write!(f, ", {size} cosigned by {name}"),
            None => Ok(()),
        }
    }
}

/// Whether the log still begins with what was cosigned: who holds its key could cut or rewrite both it and its
/// checkpoints.
fn extends(dir: &Path, by: &VerifierKey, cosigned: Checkpoint) -> Result<(), String> {
    let made = extension(dir, cosigned.size, by).map_err(|error| error.to_string())?;
    let submission = made.ok_or("it has no checkpoint")?;
    let logs = std::slice::from_ref(by);
    let (_, next) = submission.of(logs).map_err(|error| error.to_string())?;
    submission.extends(Some(cosigned), next).map_err(|error| error.to_string())
}
