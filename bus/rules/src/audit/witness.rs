//! What a witness decides: C2SP `tlog-witness` (<https://c2sp.org/tlog-witness>), `add-checkpoint`.
//!
//! ```text
//! old <size>\n<consistency proof hash, base64>\n..\n\n<checkpoint>
//! ```
//!
//! A witness signs a head only if the log's key signed it and it extends the last head that the witness signed: two
//! stories of one log never both get its signature (threats A73, A74). Pure: who keeps the last head, and how
//! durably, is the caller's business, and so is that nothing comes between the decision and the keeping.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, parse_base64, parse_size};
use super::merkle::{LogHash, empty_root, verify_consistency};
use super::verifier::VerifierKey;

/// Hashes of the longest proof.
const PROOF_MAX: usize = 63;

/// A checkpoint as it is submitted to a witness.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submission {
    /// The size that the proof starts from: what the witness signed last.
    pub old: u64,
    /// The proof that the log only grew since.
    pub proof: Vec<LogHash>,
    /// The signed note.
    pub checkpoint: String,
}

/// Why a witness does not sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Another head of the same size was signed before: the log told two stories.
    #[error("another head of {size} records was signed before: this log was rewritten")]
    Forked {
        /// Its size.
        size: u64,
    },
    /// Not the form of a request, or an old size above the new one.
    #[error("not an add-checkpoint request: {0}")]
    Malformed(&'static str),
    /// The proof does not lead from the last head to this one.
    #[error("it is not shown to extend the {size} records that were signed before")]
    NotExtending {
        /// The size of the last head.
        size: u64,
    },
    /// The proof does not start from the last head.
    #[error("the last head that was signed has {size} records; prove from there")]
    Stale {
        /// The size of the last head.
        size: u64,
    },
    /// A log that the witness does not watch.
    #[error("a log that this witness does not watch")]
    UnknownLog,
    /// Not signed by the log's key.
    #[error("not signed by the log's key")]
    Unsigned,
}

impl Refused {
    /// The HTTP status that the protocol has for it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Forked { .. } | Self::Stale { .. } => 409,
            Self::NotExtending { .. } => 422,
        }
    }
}

impl Submission {
    /// No request is longer, in bytes.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// The body of the request.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&STANDARD.encode(hash.as_bytes()));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let malformed = Refused::Malformed;
        if bytes.len() > Self::BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).map(parse_size);
        let Some(Ok(old)) = old else { return Err(malformed("it has no old size")) };
        let proof: Result<Vec<_>, _> = lines.map(|line| parse_base64(line).map(LogHash::new)).collect();
        let proof = proof.ok().filter(|proof| proof.len() <= PROOF_MAX);
        let proof = proof.ok_or_else(|| malformed("its proof is no list of hashes"))?;
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Of which of these logs it is, and what it says.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn of<'a>(&self, logs: &'a [VerifierKey]) -> Result<(&'a VerifierKey, Checkpoint), Refused> {
        let (name, _) =
            Checkpoint::read(&self.checkpoint).map_err(|_| Refused::Malformed("no checkpoint"))?;
        let log = logs.iter().find(|log| log.origin.as_str() == name).ok_or(Refused::UnknownLog)?;
        match Checkpoint::verify(&self.checkpoint, &log.origin, &log.key) {
            Ok(checkpoint) => Ok((log, checkpoint)),
            Err(CheckpointError::Unauthentic) => Err(Refused::Unsigned),
            Err(_) => Err(Refused::Malformed("no checkpoint")),
        }
    }

    /// Whether a checkpoint whose signature was checked may be signed after the last head.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn extends(&self, last: Option<Checkpoint>, next: Checkpoint) -> Result<(), Refused> {
        if self.old > next.size {
            return Err(Refused::Malformed("its old size is above the new one"));
        }
        let size = last.map_or(0, |last| last.size);
        if self.old != size {
            return Err(Refused::Stale { size });
        }
        let root = last.map_or_else(empty_root, |last| last.root);
        if size == next.size && root != next.root {
            return Err(Refused::Forked { size });
        }
        let proved = match size {
            // From nothing, anything follows: there is nothing to prove.
            0 => self.proof.is_empty(),
            _ => verify_consistency((size, &root), (next.size, &next.root), &self.proof).is_ok(),
        };
        if proved { Ok(()) } else { Err(Refused::NotExtending { size }) }
    }
}
