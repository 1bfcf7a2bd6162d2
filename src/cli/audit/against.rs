//! A log held against what others were given of it: two auditors who were shown two logs find out when they exchange a
//! checkpoint or a proof (threat A74).

use std::fs::File;
use std::path::{Path, PathBuf};

use testudo::bus::audit::{ProveError, ReadError, read_tail};
use testudo::rules::audit::checkpoint::last_whole;
use testudo::rules::audit::{Checkpoint, Proof, VerifierKey};
use testudo::seen::{heads_of, of_text};

use super::prove::read;
use super::verify::{NotExtended, extends};

/// More than a note can be long.
const TAIL_BYTES: u64 = 16 * 1024;

/// The most records that one of these files covers, after each of them was found to be of the log in `dir`.
pub(super) fn check(dir: &Path, by: &VerifierKey, files: &[PathBuf]) -> Result<Option<u64>, String> {
    let mut most = None;
    for file in files {
        let named = |what: &str| format!("{}: {what}", file.display());
        let given = given(file, by).map_err(|what| named(&what))?;
        if given.iter().all(|checkpoint| checkpoint.size == 0) {
            return Err(named("it covers no record, and so says nothing"));
        }
        for checkpoint in given.into_iter().filter(|checkpoint| checkpoint.size > 0) {
            extends(dir, by, checkpoint).map_err(|error| named(&apart(checkpoint.size, &error)))?;
            most = most.max(Some(checkpoint.size));
        }
    }
    Ok(most)
}

/// The checkpoints that somebody was given, by themselves, as part of a proof, or as an agent keeps them.
fn given(file: &Path, by: &VerifierKey) -> Result<Vec<Checkpoint>, String> {
    let bytes = read(file).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    if text.starts_with("testudo_seen") {
        return seen(text, by);
    }
    if let Ok(proof) = Proof::parse(&bytes) {
        let proven = proof.verify(by).map_err(|fault| format!("proves nothing of this log: {fault}"))?;
        return Ok(vec![proven.checkpoint]);
    }
    // Many may stand in a file, as beside a log: the last counts.
    let tail = File::open(file).and_then(|file| read_tail(&file, TAIL_BYTES));
    let (_, bytes) = tail.map_err(|error| error.to_string())?;
    let note = last_whole(&bytes).and_then(|range| std::str::from_utf8(&bytes[range]).ok());
    let note = note.ok_or("is neither a checkpoint nor a proof")?;
    Checkpoint::verify(note, &by.origin, &by.key)
        .map(|checkpoint| vec![checkpoint])
        .map_err(|error| format!("as a checkpoint of this log, {error}"))
}

/// All heads that an agent keeps, those of an alarm among them: of two that do not fit together one is not of this log.
fn seen(text: &str, by: &VerifierKey) -> Result<Vec<Checkpoint>, String> {
    let (log, seen) = of_text(text)?;
    if log != *by {
        return Err(format!("that agent goes by another log: {log}"));
    }
    let alarm = seen.alarm.as_ref().map(heads_of).unwrap_or_default();
    let heads = seen.newest.into_iter().chain(seen.gaps).chain(alarm);
    Ok(heads.filter(|head| head.log == by.key).map(|head| Checkpoint::of_head(&head)).collect())
}

/// Why the log is not shown to begin with so many records of theirs.
fn apart(size: u64, error: &NotExtended) -> String {
    match error {
        NotExtended::Prove(ProveError::Shorter { size: sealed, .. }) => format!(
            "it covers {size} records, and this log has {sealed} under a checkpoint: it is an older copy, or was cut; check the \
             longer log against this one"
        ),
        NotExtended::Prove(ProveError::Read(ReadError::Missing { .. })) => {
            format!(
                "it covers {size} records, and retention removed more of this log: they cannot be compared"
            )
        }
        NotExtended::Refused(refused) => {
            format!("the log's key signed another story of the first {size} records: {refused}")
        }
        NotExtended::Prove(
            error @ (ProveError::Dir(_)
            | ProveError::Forged { .. }
            | ProveError::Read(_)
            | ProveError::Unsealed { .. }),
        ) => error.to_string(),
        NotExtended::Unsealed => error.to_string(),
    }
}
