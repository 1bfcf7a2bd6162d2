//! Proofs from a log on disk, which may be in use: one pass over it, with the memory of one record.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use testudo_rules::audit::frame::{FrameError, FrameReader};
use testudo_rules::audit::witness::Submission;
use testudo_rules::audit::{
    Checkpoint, Cut, Event, Frontier, LogHash, Proof, ProofBuilder, Verdict, VerifierKey,
};
use testudo_wire::MessageId;

use super::files;
use super::reader::{DirError, LogReader, ReadError, cut_of, latest_checkpoint};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The last checkpoint cannot be read or trusted.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The records are not those that were signed.
    #[error("the records before {size} are not what was signed; run `testudo audit verify`")]
    Forged {
        /// The checkpoint's size.
        size: u64,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log is shorter than what is to be extended.
    #[error("the last checkpoint covers {size} records, which is fewer than {old}")]
    Shorter {
        /// What was to be extended.
        old: u64,
        /// How many records the last checkpoint covers.
        size: u64,
    },
    /// No checkpoint covers the record.
    #[error("record {index} is not under a signed checkpoint ({sealed} records are); try again in a moment")]
    Unsealed {
        /// Its index.
        index: u64,
        /// How many records the last checkpoint covers.
        sealed: u64,
    },
}

/// The proof that record `index` of the log in `dir` stands under its last checkpoint.
///
/// # Errors
/// [`ProveError`]; also when the log is not what the checkpoint says, since nothing can be proved of such a one.
pub fn prove(dir: &Path, index: u64, by: &VerifierKey) -> Result<Proof, ProveError> {
    let latest = latest_checkpoint(dir, &by.key, &by.origin)?;
    let Some(latest) = latest else { return Err(ProveError::Unsealed { index, sealed: 0 }) };
    prove_under(dir, index, by, latest)
}

/// The same under a given checkpoint of the log, such as one that a witness cosigned.
///
/// # Errors
/// [`ProveError`].
pub fn prove_under(
    dir: &Path,
    index: u64,
    by: &VerifierKey,
    (checkpoint, note): (Checkpoint, String),
) -> Result<Proof, ProveError> {
    let size = checkpoint.size;
    let unsealed = ProveError::Unsealed { index, sealed: size };
    let Cut { base } = cut_of(dir, &by.origin, &by.key)?;
    if index < base.size() {
        return Err(ReadError::Missing { index }.into());
    }
    let Some(mut builder) = ProofBuilder::path_behind(&base, index, size) else { return Err(unsealed) };
    let mut record = None;
    each_leaf(dir, &base, size, |leaf, at, payload| {
        builder.append(leaf);
        if at == index {
            record = Some(payload.to_vec());
        }
    })?;
    match (builder.finish(), record) {
        (Some((root, path)), Some(record)) if root == checkpoint.root => {
            Ok(Proof { record, index, path, checkpoint: note })
        }
        (Some(_), _) => Err(ProveError::Forged { size }),
        (None, _) => Err(ReadError::Missing { index: builder.taken() }.into()),
    }
}

/// The last checkpoint of the log in `dir`, and the proof that it extends the first `old` records: what a witness
/// asks for. `None` while there is no checkpoint.
///
/// # Errors
/// [`ProveError`]; `Missing` when records were removed that the proof would need.
pub fn extension(dir: &Path, old: u64, by: &VerifierKey) -> Result<Option<Submission>, ProveError> {
    let Some((checkpoint, note)) = latest_checkpoint(dir, &by.key, &by.origin)? else { return Ok(None) };
    let size = checkpoint.size;
    if old > size {
        return Err(ProveError::Shorter { old, size });
    }
    let Cut { base } = cut_of(dir, &by.origin, &by.key)?;
    let builder = ProofBuilder::extension_behind(&base, old, size);
    let Some(mut builder) = builder else { return Err(ReadError::Missing { index: old }.into()) };
    each_leaf(dir, &base, size, |leaf, _, _| builder.append(leaf))?;
    match builder.finish() {
        Some((root, proof)) if root == checkpoint.root => {
            Ok(Some(Submission { old, proof, checkpoint: note }))
        }
        Some(_) => Err(ProveError::Forged { size }),
        None => Err(ReadError::Missing { index: builder.taken() }.into()),
    }
}

/// Shows the records behind `base` and before `size`, in order.
fn each_leaf(
    dir: &Path,
    base: &Frontier,
    size: u64,
    mut show: impl FnMut(LogHash, u64, &[u8]),
) -> Result<(), ReadError> {
    let mut index = base.size();
    for first in files::segments(dir)?.into_iter().filter(|first| *first >= base.size()) {
        if index == size {
            break;
        }
        if first != index {
            return Err(ReadError::Missing { index });
        }
        let mut frames = FrameReader::new(BufReader::new(File::open(files::segment_path(dir, first))?));
        while index < size {
            match frames.next_frame() {
                Ok(Some((header, payload))) if header.index == index => {
                    show(header.leaf, index, payload);
                    index += 1;
                }
                Ok(Some(_)) => return Err(ReadError::Missing { index }),
                Ok(None) => break,
                Err(FrameError::Read(error)) => return Err(error.into()),
                Err(error) => return Err(ReadError::Damaged { index, what: error.to_string() }),
            }
        }
    }
    Ok(())
}

/// The record that holds the verdict on a message: the one that allowed it, or else the first that refused it;
/// a replay of a message has its id, too. `None` when no record of now names it.
///
/// # Errors
/// [`ReadError`].
pub fn find_message(dir: &Path, message: MessageId) -> Result<Option<u64>, ReadError> {
    if !dir.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    }
    let mut refused = None;
    for entry in LogReader::oldest(dir)? {
        let (index, record) = entry?;
        let Event::Verdicts(verdicts) = record.event else { continue };
        for envelope in verdicts.envelopes.iter().filter(|envelope| envelope.message == message) {
            match envelope.verdict {
                Verdict::Allowed { .. } => return Ok(Some(index)),
                Verdict::Refused { .. } => refused = refused.or(Some(index)),
            }
        }
    }
    Ok(refused)
}
