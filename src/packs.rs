//! The rules of a content guard from files: the standard ones and an operator's packs.
//!
//! Knows no node: whoever runs one says when they are read, and keeps the old rules when this fails.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testudo_rules::inspect::{Inspector, PACK_BYTES_MAX, PackError};
use testudo_wire::Digest;

use crate::files::{self, FileError};

/// Most packs of one node.
pub const PACKS_MAX: usize = 16;

/// Why packs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PacksError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What one says.
    #[error("{path}, {error}; try it with `testudo guard scan --rules {path}`", path = path.display())]
    Pack {
        /// Which.
        path: PathBuf,
        /// Where and what.
        error: PackError,
    },
    /// Too many.
    #[error("{0} packs of rules; a node takes {PACKS_MAX} at most")]
    TooMany(usize),
}

/// Rules, ready to use.
#[derive(Clone, Debug)]
pub struct Packs {
    /// The standard rules with those of the packs.
    pub inspector: Inspector,
    /// Which they are.
    pub in_use: InUse,
}

/// Which rules a guard vets by.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InUse {
    /// How many packs, besides the standard rules.
    pub packs: u16,
    /// BLAKE3 over the BLAKE3 of each pack, in their order.
    pub digest: Digest,
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the standard rules and {} packs, {}", self.packs, self.digest)
    }
}

impl Packs {
    /// Reads packs, each on top of those before.
    ///
    /// # Errors
    /// [`PacksError`]; it names the file and the line.
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self, PacksError> {
        if paths.len() > PACKS_MAX {
            return Err(PacksError::TooMany(paths.len()));
        }
        let (mut inspector, mut hasher) = (Inspector::standard(), blake3::Hasher::new());
        for path in paths {
            let path = path.as_ref();
            let text = files::read_public(path, PACK_BYTES_MAX as u64)?;
            inspector = inspector
                .with_pack(&text)
                .map_err(|error| PacksError::Pack { path: path.to_owned(), error })?;
            hasher.update(blake3::hash(text.as_bytes()).as_bytes());
        }
        let digest = Digest::new(hasher.finalize().into());
        let packs = u16::try_from(paths.len()).unwrap_or(u16::MAX);
        Ok(Self { inspector, in_use: InUse { packs, digest } })
    }

    /// The same with a limit on the size of a body, in bytes.
    #[must_use]
    pub fn with_body_limit(mut self, bytes_max: usize) -> Self {
        self.inspector = self.inspector.with_body_limit(bytes_max);
        self
    }
}
