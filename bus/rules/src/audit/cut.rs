//! What stays of records that retention removed: their number and the roots of their perfect subtrees, signed by the
//! log's key. Whatever was signed or proved of the rest still holds against it, and nobody without the key can
//! pass off a removed beginning as retention.
//!
//! ```text
//! testudo audit cut\n<origin>\n<size, decimal>\n<subtree root, base64, largest first>\n..\n\n— <origin> <signature>\n
//! ```
//!
//! Its first line holds spaces, which no origin may: a cut never reads as a checkpoint, nor one as a cut.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testudo_wire::{PublicKey, SecretKey};

use super::checkpoint::{CheckpointError, Origin, parse_base64, parse_size, sign_note, signed_text};
use super::merkle::{Frontier, LogHash};

/// What a statement starts with.
const HEAD: &str = "testudo audit cut";

/// The removed beginning of a log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cut {
    /// The tree of the removed records; its size is the index of the first record that is there.
    pub base: Frontier,
}

impl Cut {
    /// No statement is longer, in bytes.
    pub const BYTES_MAX: usize = 8 * 1024;

    /// The signed statement.
    #[must_use]
    pub fn sign(&self, origin: &Origin, key: &SecretKey) -> String {
        let mut text = format!("{HEAD}\n{origin}\n{}\n", self.base.size());
        for peak in self.base.peaks() {
            text.push_str(&STANDARD.encode(peak.as_bytes()));
            text.push('\n');
        }
        sign_note(&text, origin, key)
    }

    /// Reads a statement and checks that the log's key signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(note: &str, origin: &Origin, key: &PublicKey) -> Result<Self, CheckpointError> {
        let mut lines = signed_text(note, origin, key)?.lines();
        if lines.next() != Some(HEAD) {
            return Err(CheckpointError::Shape);
        }
        if lines.next() != Some(origin.as_str()) {
            return Err(CheckpointError::WrongOrigin);
        }
        let size = parse_size(lines.next().unwrap_or_default())?;
        let peaks: Result<Vec<_>, _> = lines.map(|line| parse_base64(line).map(LogHash::new)).collect();
        Ok(Self { base: Frontier::restore(size, peaks?).ok_or(CheckpointError::Shape)? })
    }
}
