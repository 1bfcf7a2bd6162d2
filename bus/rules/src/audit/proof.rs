//! A proof that a record stands on a log, for those who have nothing but the log's key: C2SP `tlog-proof`
//! (<https://c2sp.org/tlog-proof>), the record itself being its extra data.
//!
//! ```text
//! c2sp.org/tlog-proof@v1\nextra <record, base64>\nindex <index>\n<hash, base64>\n..\n\n<checkpoint>
//! ```
//!
//! The leaf is the record as it stands in its frame, so a reader of such proofs needs to know nothing of ours:
//! the leaf hash is `SHA-256(0x00 || extra)`. There is one text for a proof: anything else is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, Origin};
use super::cosign::{Cosigned, WitnessKey, cosigned};
use super::frame::PAYLOAD_BYTES_MAX;
use super::merkle::{LogHash, ProofError, leaf_hash, verify_inclusion};
use super::record::Record;
use super::verifier::VerifierKey;

/// What a proof starts with.
const HEAD: &str = "c2sp.org/tlog-proof@v1\n";
/// Hashes of the longest path: one for each bit of a size.
const PATH_MAX: usize = 64;

/// A proof that a record stands on a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// The record as the log holds it.
    pub record: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// The hashes beside the way from the leaf to the root.
    pub path: Vec<LogHash>,
    /// A signed checkpoint that covers it, as it was signed.
    pub checkpoint: String,
}

/// What a proof proves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proven {
    /// The record's index.
    pub index: u64,
    /// What it says.
    pub record: Record,
    /// The checkpoint under which it stands.
    pub checkpoint: Checkpoint,
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofFault {
    /// The checkpoint cannot be trusted.
    #[error("its checkpoint is {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The witness did not sign the checkpoint.
    #[error("its checkpoint is not cosigned by {0}; have the log's operator run `testudo audit cosign`")]
    NotCosigned(Origin),
    /// The record is not where the checkpoint says.
    #[error("record {index} does not stand on the log that was signed: {why}")]
    NotThere {
        /// The index that is claimed.
        index: u64,
        /// What is wrong.
        why: ProofError,
    },
    /// The record stands on the log, but is none of ours.
    #[error("record {index} stands on the log, but this version cannot read it; update testudo")]
    Record {
        /// Its index.
        index: u64,
    },
    /// Not the form of a proof.
    #[error("it is not a proof: {0}")]
    Shape(&'static str),
    /// The checkpoint is older than the record.
    #[error("its checkpoint covers {size} records, and record {index} is behind them")]
    TooEarly {
        /// The index that is claimed.
        index: u64,
        /// The records that the checkpoint covers.
        size: u64,
    },
}

impl Proof {
    /// No proof is longer, in bytes: a record in base64, a path, a checkpoint with its signatures.
    pub const BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 3 * 4 + 16 * 1024;

    /// The text of the proof.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEAD}extra {}\nindex {}\n", STANDARD.encode(&self.record), self.index);
        for hash in &self.path {
            text.push_str(&STANDARD.encode(hash.as_bytes()));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads what [`Proof::to_text`] makes. Nothing is proved by that; see [`Proof::verify`].
    ///
    /// # Errors
    /// [`ProofFault::Shape`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFault> {
        let shape = ProofFault::Shape;
        if bytes.len() > Self::BYTES_MAX {
            return Err(shape("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| shape("it is not text"))?;
        let rest = text.strip_prefix(HEAD).ok_or_else(|| shape("it does not start as one"))?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or_else(|| shape("it holds no checkpoint"))?;
        let mut lines = head.split('\n');
        let record = lines.next().and_then(|line| line.strip_prefix("extra "));
        let record = record.ok_or_else(|| shape("it does not hold the record"))?;
        let record = STANDARD.decode(record).map_err(|_| shape("its record is not base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(parse_index);
        let index = index.ok_or_else(|| shape("it has no index"))?;
        let path: Option<Vec<_>> = lines.map(parse_hash).collect();
        let path = path
            .filter(|path| path.len() <= PATH_MAX)
            .ok_or_else(|| shape("its path is no list of hashes"))?;
        Ok(Self { record, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that the record stands on the log that `by` names and signs.
    ///
    /// # Errors
    /// [`ProofFault`].
    pub fn verify(&self, by: &VerifierKey) -> Result<Proven, ProofFault> {
        let index = self.index;
        let checkpoint = Checkpoint::verify(&self.checkpoint, &by.origin, &by.key)?;
        if index >= checkpoint.size {
            return Err(ProofFault::TooEarly { index, size: checkpoint.size });
        }
        verify_inclusion(&leaf_hash(&self.record), index, checkpoint.size, &self.path, &checkpoint.root)
            .map_err(|why| ProofFault::NotThere { index, why })?;
        let record = Record::decode(&self.record).map_err(|_| ProofFault::Record { index })?;
        Ok(Proven { index, record, checkpoint })
    }

    /// What a witness said of the checkpoint; proves nothing of the record, see [`Proof::verify`].
    ///
    /// # Errors
    /// [`ProofFault::NotCosigned`].
    pub fn cosigned(&self, by: &WitnessKey) -> Result<Cosigned, ProofFault> {
        cosigned(&self.checkpoint, by).map_err(|_| ProofFault::NotCosigned(by.name.clone()))
    }
}

/// Refuses a sign and leading zeros.
fn parse_index(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|index| index.to_string() == text)
}

fn parse_hash(line: &str) -> Option<LogHash> {
    Some(LogHash::new(STANDARD.decode(line).ok()?.try_into().ok()?))
}
