//! Checks a whole log against its checkpoints and names the first index at which it is not what was signed.
//!
//! Streams: memory is one record, one checkpoint and O(log n) hashes. What it cannot see is a log cut
//! together with its checkpoints: that takes a checkpoint kept elsewhere (threats A73, A74).

use std::io::{self, BufRead, Read};

use testudo_wire::PublicKey;

use super::checkpoint::{Checkpoint, CheckpointError, Notes, Origin};
use super::frame::{FrameError, FrameReader};
use super::merkle::Frontier;
use super::witnessed::Witnessed;

/// One segment of a log.
#[derive(Debug)]
pub struct Segment<R> {
    /// The index of its first record, which is its name.
    pub first: u64,
    /// Its frames.
    pub bytes: R,
}

/// A log that is what was signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The first record that is there; those before were removed under a signed cut.
    pub first: u64,
    /// Records, with those that were removed.
    pub records: u64,
    /// Of these, how many the last checkpoint covers.
    pub sealed: u64,
    /// Records after the last checkpoint: whole, but nobody has signed that they are all.
    pub unsealed: u64,
    /// What the last record that says so, under a checkpoint, says of the log's witness.
    pub witnessed: Option<Witnessed>,
}

/// A log that is not what was signed.
#[derive(Debug, thiserror::Error)]
#[error("record {index}: {what}")]
pub struct Fault {
    /// The first index that is bad or missing. For a fault of a checkpoint, the first record that no good
    /// checkpoint covers.
    pub index: u64,
    /// What is wrong there.
    pub what: FaultKind,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// A checkpoint cannot be trusted.
    #[error("the checkpoint that should cover it is {0}")]
    Checkpoint(CheckpointError),
    /// The frame is damaged.
    #[error("it is damaged: {0}")]
    Damaged(FrameError),
    /// Another record stands here: a gap, a repeat or an exchange.
    #[error("record {found} stands in its place")]
    OutOfOrder {
        /// Its index.
        found: u64,
    },
    /// The records are not those that were signed: one of those up to the checkpoint was rewritten.
    #[error("from here on, something before record {size} is not what was signed")]
    Rewritten {
        /// The checkpoint's size.
        size: u64,
    },
    /// A checkpoint does not grow on the one before.
    #[error("a checkpoint of {found} records follows one of as many or more")]
    Shrinking {
        /// Its size.
        found: u64,
    },
    /// The log ends in half a record that no checkpoint covers: a write was cut off, or is going on.
    #[error("it is only half written ({bytes} bytes)")]
    TornTail {
        /// How much of it is there.
        bytes: u64,
    },
    /// The log ends before what was signed.
    #[error("it is missing, although {sealed} records were signed")]
    Truncated {
        /// How many there should be at least.
        sealed: u64,
    },
    /// A segment cannot be read.
    #[error("its segment cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Verifies `segments`, in order, against the file of `checkpoints`, all signed by `key` under `origin`.
///
/// # Errors
/// [`Fault`], the first there is.
pub fn verify<R: Read>(
    segments: impl IntoIterator<Item = io::Result<Segment<R>>>,
    checkpoints: impl BufRead,
    key: &PublicKey,
    origin: &Origin,
) -> Result<Verified, Fault> {
    verify_from(&Frontier::new(), segments, checkpoints, key, origin)
}

/// The same for a log whose beginning was removed; `base` is what its signed [`super::Cut`] says of that.
///
/// # Errors
/// [`Fault`], the first there is.
pub fn verify_from<R: Read>(
    base: &Frontier,
    segments: impl IntoIterator<Item = io::Result<Segment<R>>>,
    checkpoints: impl BufRead,
    key: &PublicKey,
    origin: &Origin,
) -> Result<Verified, Fault> {
    let mut frontier = base.clone();
    let mut seals = Seals {
        notes: Notes::new(checkpoints),
        key,
        origin,
        base: base.size(),
        sealed: 0,
        next: None,
        witnessed: None,
        claimed: None,
    };
    seals.load()?;
    seals.meet(&frontier)?;
    let mut segments = segments.into_iter().peekable();
    while let Some(segment) = segments.next() {
        let index = frontier.size();
        let segment = segment.map_err(|error| Fault { index, what: FaultKind::Unreadable(error) })?;
        if segment.first != index {
            return Err(Fault { index, what: FaultKind::OutOfOrder { found: segment.first } });
        }
        let place = if segments.peek().is_none() { Place::Last } else { Place::Within };
        verify_segment(segment.bytes, place, &mut frontier, &mut seals)?;
    }
    match seals.next {
        Some(next) => Err(Fault { index: frontier.size(), what: FaultKind::Truncated { sealed: next.size } }),
        None => {
            // A cut is signed as a checkpoint is, but says nothing of what follows it, and never stands alone.
            let sealed = if seals.sealed < base.size() { 0 } else { seals.sealed };
            Ok(Verified {
                first: base.size(),
                records: frontier.size(),
                sealed,
                unsealed: frontier.size() - sealed,
                witnessed: seals.witnessed,
            })
        }
    }
}

/// Where a segment stands: only the last may end in half a record.
#[derive(Clone, Copy)]
enum Place {
    Last,
    Within,
}

fn verify_segment<R: Read, C: BufRead>(
    bytes: R,
    place: Place,
    frontier: &mut Frontier,
    seals: &mut Seals<'_, C>,
) -> Result<(), Fault> {
    let mut frames = FrameReader::new(bytes);
    loop {
        let index = frontier.size();
        let what = match frames.next_frame() {
            Ok(None) => return Ok(()),
            Ok(Some((header, payload))) if header.index == index => {
                seals.claimed = Witnessed::of_payload(payload).or_else(|| seals.claimed.take());
                frontier.append(header.leaf);
                seals.meet(frontier)?;
                continue;
            }
            Ok(Some((header, _))) => FaultKind::OutOfOrder { found: header.index },
            Err(FrameError::Torn { bytes }) => match (place, seals.next) {
                (_, Some(next)) => FaultKind::Truncated { sealed: next.size },
                (Place::Last, None) => FaultKind::TornTail { bytes },
                (Place::Within, None) => FaultKind::Damaged(FrameError::Torn { bytes }),
            },
            Err(error) => FaultKind::Damaged(error),
        };
        return Err(Fault { index, what });
    }
}

/// The checkpoints, met one by one as the tree grows.
struct Seals<'a, C> {
    notes: Notes<C>,
    key: &'a PublicKey,
    origin: &'a Origin,
    /// Records that were removed: checkpoints of fewer have nothing to be compared with.
    base: u64,
    sealed: u64,
    next: Option<Checkpoint>,
    /// What the records up to the last checkpoint say of a witness; and what those behind it do, which anybody can write.
    witnessed: Option<Witnessed>,
    claimed: Option<Witnessed>,
}

impl<C: BufRead> Seals<'_, C> {
    fn load(&mut self) -> Result<(), Fault> {
        self.load_one()?;
        while let Some(old) = self.next.filter(|next| next.size < self.base) {
            self.sealed = old.size;
            self.load_one()?;
        }
        Ok(())
    }

    fn load_one(&mut self) -> Result<(), Fault> {
        let fault = |what| Fault { index: self.sealed, what };
        let note = self.notes.next_note().map_err(|error| fault(FaultKind::Checkpoint(error)))?;
        let next = note
            .map(|note| Checkpoint::verify(&note, self.origin, self.key))
            .transpose()
            .map_err(|error| fault(FaultKind::Checkpoint(error)))?;
        if let Some(next) = next.filter(|next| next.size <= self.sealed) {
            return Err(fault(FaultKind::Shrinking { found: next.size }));
        }
        self.next = next;
        Ok(())
    }

    /// Compares roots when the tree has the size of the next checkpoint.
    fn meet(&mut self, frontier: &Frontier) -> Result<(), Fault> {
        let Some(next) = self.next.filter(|next| next.size == frontier.size()) else { return Ok(()) };
        if next.root != frontier.root() {
            return Err(Fault { index: self.sealed, what: FaultKind::Rewritten { size: next.size } });
        }
        self.sealed = next.size;
        self.witnessed = self.claimed.take().or_else(|| self.witnessed.take());
        self.load()
    }
}
