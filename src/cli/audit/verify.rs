//! `audit verify`: every record and every checkpoint.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use testudo::bus::audit::{ProveError, cosigned_checkpoint, extension, verify_dir};
use testudo::rules::audit::witness::Refused;
use testudo::rules::audit::{Checkpoint, VerifierKey, WitnessKey, Witnessed};

use super::super::{At, CliError, Done, say};
use super::{Log, against};

#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    at: At,
    /// A checkpoint of this log, a proof from it, or what an agent has seen (NAME.seen): it must be of the same story
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What was found of a log.
struct Found {
    records: u64,
    sealed: u64,
    /// How many of its records its witness has cosigned, and its name.
    cosigned: Option<(u64, String)>,
    /// How many of its records others were shown, too.
    shared: Option<u64>,
}

impl Verify {
    pub(super) fn run(self) -> Done {
        match Found::of(&Log::of(&self.at)?, &self.against) {
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
    fn of(log: &Log, others: &[PathBuf]) -> Result<Self, CliError> {
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
        let configured = log.config.audit.witness().map(|(_, witness)| witness);
        let cosigned =
            Word { dir: log.dir()?, by: &by, first: verified.first, said: verified.witnessed, configured }
                .check();
        let cosigned = cosigned.map_err(CliError::Failed)?;
        let shared = against::check(log.dir()?, &by, others).map_err(CliError::Failed)?;
        Ok(Self { records, sealed, cosigned, shared })
    }

    fn json(&self) -> Value {
        let Self { records, sealed, cosigned, shared } = self;
        let cosigned = cosigned.as_ref().map(|(size, _)| size);
        json!({
            "verified": true, "records": records, "sealed": sealed, "cosigned": cosigned, "shared": shared,
        })
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, sealed, cosigned, shared } = self;
        write!(f, "verified: {records} records, {sealed} of them under a signed checkpoint")?;
        if let Some((size, name)) = cosigned {
            write!(f, ", {size} cosigned by {name}")?;
        }
        shared.map_or(Ok(()), |size| write!(f, ", {size} the same as others were shown"))
    }
}

/// What is known of a witness, of which the file with its signature must not be the only trace: who can write to the
/// log's folder can take that away.
struct Word<'a> {
    dir: &'a Path,
    by: &'a VerifierKey,
    /// The first record that retention left.
    first: u64,
    /// The log's own word, sealed.
    said: Option<Witnessed>,
    /// The operator's.
    configured: Option<WitnessKey>,
}

impl Word<'_> {
    /// How many records the witness cosigned, and who it is; nothing where there never was one.
    fn check(&self) -> Result<Option<(u64, String)>, String> {
        let said = self.said.as_ref();
        let Some(witness) = self.configured.as_ref().or_else(|| said.map(|said| &said.witness)) else {
            return Ok(None);
        };
        let mut kept = self.kept(witness)?;
        let mut by = witness;
        if let (None, Some(said)) = (&kept, said) {
            // The configured one is new, and has not signed.
            (kept, by) = (self.kept(&said.witness)?, &said.witness);
        }
        let size = kept.map_or(0, |checkpoint| checkpoint.size);
        if let Some(Witnessed { records, witness }) = said.filter(|said| said.records > size) {
            return Err(format!(
                "the log says that {} cosigned {records} records, and the file cosigned does not show it: it was \
                 removed, changed or exchanged; `testudo audit cosign` asks the witness again, and what it refuses then \
                 was rewritten",
                witness.name
            ));
        }
        let Some(cosigned) = kept.filter(|_| by == witness) else {
            return Err(format!(
                "the word of {} is missing: it is the configured witness, and nothing shows that it cosigned this log; \
                 start the node, or run `testudo audit cosign`",
                witness.name
            ));
        };
        if (1..self.first).contains(&size) {
            // Retention went past it: what was cosigned is gone under a signed cut. A node leaves what its witness is still to
            // sign, so it had none then.
            return match self.configured {
                None => Ok(None),
                Some(_) => Err(format!(
                    "{} cosigned {size} records of this log, and {} were removed since: nothing shows that the rest is the log \
                     that it saw. Retention does that while no witness is configured, and no honest node while one is; begin \
                     with a new witness (another --dir and --name)",
                    by.name, self.first
                )),
            };
        }
        extends(self.dir, self.by, cosigned).map_err(|what| {
            format!(
                "{} cosigned {size} records of this log, and it is not that log any more: {what}",
                by.name
            )
        })?;
        Ok(Some((size, by.name.to_string())))
    }

    /// The checkpoint that this witness cosigned, as it is kept.
    fn kept(&self, witness: &WitnessKey) -> Result<Option<Checkpoint>, String> {
        let kept = cosigned_checkpoint(self.dir, self.by, witness).map_err(|error| error.to_string())?;
        Ok(kept.map(|(checkpoint, _)| checkpoint))
    }
}

/// Whether the log still begins with what was cosigned: who holds its key could cut or rewrite both it and its
/// checkpoints.
pub(super) fn extends(dir: &Path, by: &VerifierKey, signed: Checkpoint) -> Result<(), NotExtended> {
    let submission = extension(dir, signed.size, by)?.ok_or(NotExtended::Unsealed)?;
    let (_, next) = submission.of(std::slice::from_ref(by))?;
    Ok(submission.extends(Some(signed), next)?)
}

/// Why a log does not begin with what was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotExtended {
    #[error(transparent)]
    Prove(#[from] ProveError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("it has no checkpoint")]
    Unsealed,
}
