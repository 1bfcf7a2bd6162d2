//! Has a log's last checkpoint cosigned, and keeps the signature: the log's side of `add-checkpoint`.

use std::path::Path;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use testudo_bus::audit::{self, DirError, ProveError};
use testudo_rules::audit::{Checkpoint, VerifierKey, WitnessKey, cosigned, with_cosignature};

use crate::files::FileError;
use crate::trouble::unanswered;

/// A witness may take so long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No answer is longer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// What it answered is not its signature of this checkpoint.
    #[error("the witness's answer is not its signature; is {0} its key?")]
    Answer(Box<WitnessKey>),
    /// What is kept of it.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The witness cannot be reached.
    #[error("the witness cannot be reached: {}", unanswered(.0))]
    Http(#[from] reqwest::Error),
    /// There is no checkpoint yet.
    #[error("the log has no checkpoint yet; start the node once")]
    NoCheckpoint,
    /// No proof can be made.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The log cannot be read beside the runtime.
    #[error("the proof was not made: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// It refused.
    #[error("the witness refused ({status}): {}", meaning(*.status))]
    Refused {
        /// The HTTP status. Of what it said beside that nothing is kept.
        status: u16,
    },
    /// It names another size each time.
    #[error("the witness changes its mind about what it signed")]
    Fickle,
    /// It signed more than there is.
    #[error(
        "the witness has signed {size} records of this log, and there are fewer; was an old copy restored?"
    )]
    Ahead {
        /// What it signed.
        size: u64,
    },
}

/// Submits the last checkpoint of the log in `dir`, keeps the cosigned note, and returns what it covers.
///
/// # Errors
/// [`SubmitError`].
pub async fn submit(
    dir: &Path,
    by: &VerifierKey,
    url: &str,
    witness: &WitnessKey,
) -> Result<Checkpoint, SubmitError> {
    let client = Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let known = audit::cosigned_checkpoint(dir, by, witness)?;
    let mut old = known.map_or(0, |(checkpoint, _)| checkpoint.size);
    // The second time with what the witness says that it signed last.
    for _ in 0..2 {
        let submission = extension(dir, old, by).await?;
        let (checkpoint, text) = (submission.checkpoint.clone(), submission.to_text());
        let answer =
            client.post(format!("{}/add-checkpoint", url.trim_end_matches('/'))).body(text).send().await?;
        let (status, kind) = (answer.status(), answer.headers().get(CONTENT_TYPE).cloned());
        let said = limited(answer).await?;
        if status == StatusCode::OK {
            return keep(dir, by, witness, &checkpoint, &said);
        }
        let size =
            kind.filter(|kind| kind == "text/x.tlog.size").and_then(|_| said.trim_end().parse::<u64>().ok());
        match size {
            Some(size) if size != old && status == StatusCode::CONFLICT => old = size,
            Some(_) | None => return Err(SubmitError::Refused { status: status.as_u16() }),
        }
    }
    Err(SubmitError::Fickle)
}

/// What the protocol means by a status (C2SP tlog-witness).
const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "it found the request malformed",
        403 => "the checkpoint is not signed by a key that it has for this log",
        404 => "it does not watch this log",
        409 => "it has signed another size of this log",
        422 => "the log does not extend what it has signed",
        503 => "it is busy, and will be asked again",
        _ => "for a reason that the protocol does not have",
    }
}

/// Beside the runtime: it reads the whole log.
async fn extension(
    dir: &Path,
    old: u64,
    by: &VerifierKey,
) -> Result<testudo_rules::audit::witness::Submission, SubmitError> {
    let (dir, by) = (dir.to_owned(), by.clone());
    let made = tokio::task::spawn_blocking(move || audit::extension(&dir, old, &by)).await?;
    match made {
        Ok(made) => made.ok_or(SubmitError::NoCheckpoint),
        Err(ProveError::Shorter { old, .. }) => Err(SubmitError::Ahead { size: old }),
        Err(error) => Err(error.into()),
    }
}

async fn limited(mut answer: reqwest::Response) -> Result<String, SubmitError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            bytes.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Keeps the note with this witness's signature; lines of others are left out.
fn keep(
    dir: &Path,
    by: &VerifierKey,
    witness: &WitnessKey,
    checkpoint: &str,
    said: &str,
) -> Result<Checkpoint, SubmitError> {
    let wrong = || SubmitError::Answer(Box::new(witness.clone()));
    let signed = said.lines().map(|line| with_cosignature(checkpoint, &format!("{line}\n")));
    let note = signed.into_iter().find(|note| cosigned(note, witness).is_ok()).ok_or_else(wrong)?;
    let covered = Checkpoint::verify(&note, &by.origin, &by.key).map_err(|_| wrong())?;
    crate::files::replace(&dir.join(audit::COSIGNED), note.as_bytes())?;
    Ok(covered)
}
