//! What a log that is being written tells agents of itself: the head that is on disk, and that it only grew.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;
use std::sync::PoisonError;

use testudo_rules::audit::frame::{HEADER_BYTES, Header};
use testudo_rules::audit::{Checkpoint, Frontier, LogHash, ProofBuilder};
use testudo_wire::LogRoot;
use testudo_wire::frame::{LogHead, Shown};

use super::files;
use super::sync::blocking;
use super::writer::AuditLog;

impl AuditLog {
    /// A checkpoint of this tree is on disk.
    pub(super) fn is_sealed(&self, tree: Frontier) {
        *self.sealed.lock().unwrap_or_else(PoisonError::into_inner) = tree;
    }

    /// The tree of the last checkpoint that is on disk: what a power cut cannot take back.
    #[must_use]
    pub fn sealed(&self) -> Frontier {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The head of such a tree, signed: the signature is that of the checkpoint.
    #[must_use]
    pub fn head(&self, sealed: &Frontier) -> LogHead {
        let checkpoint = Checkpoint { size: sealed.size(), root: sealed.root() };
        checkpoint.head(&self.origin, &self.key)
    }

    /// That the tree of `new` records extends that of `old`. Reads the headers of the records behind the nearest tree
    /// that is known: the start of a segment, or one of `near`. `None` when retention removed what it needs, or the
    /// log is shorter, or cannot be read.
    pub async fn shown(&self, old: u64, new: u64, near: &[Frontier]) -> Option<Shown> {
        if old == 0 || old >= new || new > self.sealed().size() {
            return None;
        }
        let base = {
            let state = self.state();
            let known = state.starts.iter().map(|(_, tree)| tree).chain(near);
            known.filter(|tree| tree.size() <= old).max_by_key(|tree| tree.size())?.clone()
        };
        let dir = self.dir.clone();
        let shown = blocking(move || extension(&dir, &base, old, new)).await;
        shown
            .inspect_err(|error| tracing::warn!(%error, old, new, "no proof that the audit log grew"))
            .ok()?
    }
}

fn extension(dir: &Path, base: &Frontier, old: u64, new: u64) -> io::Result<Option<Shown>> {
    let Some(mut builder) = ProofBuilder::extension_behind(base, old, new) else { return Ok(None) };
    let mut before = base.clone();
    let whole = each_header(dir, base.size(), new, |leaf| {
        if before.size() < old {
            before.append(leaf);
        }
        builder.append(leaf);
    })?;
    let wire = |hash: &LogHash| LogRoot::new(*hash.as_bytes());
    let proof = builder.finish().filter(|_| whole);
    Ok(proof
        .map(|(_, hashes)| Shown { root: wire(&before.root()), hashes: hashes.iter().map(wire).collect() }))
}

/// Shows the leaves `from..to`, in order; `false` when some are not there. What they are of is not looked at: a proof
/// is held against signed roots by whoever is given it.
fn each_header(dir: &Path, from: u64, to: u64, mut show: impl FnMut(LogHash)) -> io::Result<bool> {
    let segments = files::segments(dir)?;
    let first = segments.iter().rposition(|first| *first <= from);
    let Some(segments) = first.and_then(|at| segments.get(at..)) else { return Ok(false) };
    let mut next = segments.first().copied().unwrap_or_default();
    for first in segments {
        if *first != next {
            return Ok(false);
        }
        let mut bytes = BufReader::new(File::open(files::segment_path(dir, *first))?);
        let mut head = [0; HEADER_BYTES];
        while next < to {
            match bytes.read_exact(&mut head) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            let header = Header::parse(&head).map_err(io::Error::other)?;
            if header.index != next {
                return Ok(false);
            }
            if next >= from {
                show(header.leaf);
            }
            next += 1;
            bytes.seek_relative(i64::try_from(header.len).map_err(io::Error::other)?)?;
        }
        if next == to {
            return Ok(true);
        }
    }
    Ok(false)
}
