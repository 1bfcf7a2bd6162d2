//! Reading a log, also while it is being written: no lock, half a record at the end is "not yet".

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use testudo_rules::audit::checkpoint::last_whole;
use testudo_rules::audit::frame::{self, FrameError, Header};
use testudo_rules::audit::{
    Checkpoint, CheckpointError, Cut, Fault, FaultKind, Origin, Record, Segment, Verified, VerifierKey,
    WitnessKey, cosigned, verify_from,
};
use testudo_wire::PublicKey;

use super::files;

/// Tries of reading what looks torn while somebody may be writing it.
const TRIES: usize = 3;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is damaged.
    #[error("record {index} of the audit log is damaged ({what}); run `testudo audit verify`")]
    Damaged {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The system refused.
    #[error("the audit log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The log does not go back so far.
    #[error("record {index} of the audit log is not here")]
    Missing {
        /// Its index.
        index: u64,
    },
}

/// Reads records from an index on. As an iterator it gives `None` at the end for now: asked again later, it goes
/// on with what was written meanwhile. After an error it is at its end for good.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    /// The first record to return.
    from: u64,
    place: Option<Place>,
    failed: bool,
}

/// A frame's place.
#[derive(Debug)]
struct Place {
    /// Of its segment.
    first: u64,
    file: File,
    offset: u64,
    index: u64,
}

impl Place {
    fn at_start(dir: &Path, first: u64) -> io::Result<Self> {
        Ok(Self { first, file: File::open(files::segment_path(dir, first))?, offset: 0, index: first })
    }
}

impl LogReader {
    /// A reader of the log in `dir` that starts with record `from`; opens nothing yet.
    #[must_use]
    pub fn new(dir: &Path, from: u64) -> Self {
        Self { dir: dir.to_owned(), from, place: None, failed: false }
    }

    /// A reader that starts with the oldest record that retention left.
    ///
    /// # Errors
    /// The system's.
    pub fn oldest(dir: &Path) -> Result<Self, ReadError> {
        Ok(Self::new(dir, listed(dir)?.first().copied().unwrap_or(0)))
    }

    /// The index of the record that comes next: a durable cursor.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.from
    }

    /// The next record; `None` when it is not written yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_record(&mut self) -> Result<Option<(u64, Record)>, ReadError> {
        loop {
            let next = self.next_payload();
            if matches!(next, Err(ReadError::Io(_))) {
                // Whoever tries again tries from the file on.
                self.place = None;
            }
            let Some((index, payload)) = next? else { return Ok(None) };
            if index < self.from {
                continue;
            }
            self.from = index + 1;
            let record = Record::decode(&payload)
                .map_err(|error| ReadError::Damaged { index, what: error.to_string() })?;
            return Ok(Some((index, record)));
        }
    }

    fn next_payload(&mut self) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
        loop {
            if self.place.is_none() {
                self.place = self.locate()?;
            }
            let Some(place) = &mut self.place else { return Ok(None) };
            let index = place.index;
            let damaged = |what: String| ReadError::Damaged { index, what };
            match read_frame(&place.file, place.offset)? {
                Ok(Some((header, payload))) if header.index == index => {
                    place.offset += (frame::HEADER_BYTES + payload.len()) as u64;
                    place.index += 1;
                    return Ok(Some((index, payload)));
                }
                Ok(Some((header, _))) => {
                    return Err(damaged(format!("record {} stands in its place", header.index)));
                }
                Ok(None) if files::segment_path(&self.dir, index).exists() && place.offset > 0 => {
                    self.place = Some(Place::at_start(&self.dir, index)?);
                }
                // Removed by retention, and so is perhaps what followed.
                Ok(None) if !files::segment_path(&self.dir, place.first).exists() => {
                    return Err(ReadError::Missing { index });
                }
                Ok(None) => {
                    let later = listed(&self.dir)?.into_iter().find(|first| *first > index);
                    let Some(later) = later else { return Ok(None) };
                    // It may have been written, and followed by another segment, since this one was read.
                    let is_gap = matches!(read_frame(&place.file, place.offset)?, Ok(None))
                        && (place.offset == 0 || !files::segment_path(&self.dir, index).exists());
                    if is_gap && files::segment_path(&self.dir, place.first).exists() {
                        return Err(damaged(format!("it is missing, and record {later} follows")));
                    }
                }
                Err(error) => return Err(damaged(error.to_string())),
            }
        }
    }

    /// The start of the segment that holds the first record to return.
    fn locate(&self) -> Result<Option<Place>, ReadError> {
        let segments = listed(&self.dir)?;
        match segments.iter().rev().find(|first| **first <= self.from) {
            Some(first) => Ok(Some(Place::at_start(&self.dir, *first)?)),
            None if segments.is_empty() => Ok(None),
            None => Err(ReadError::Missing { index: self.from }),
        }
    }
}

/// The segments that are there; none where there is no log yet.
fn listed(dir: &Path) -> io::Result<Vec<u64>> {
    match files::segments(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// Bytes of all records of the log in `dir`, as they lie on the disk.
///
/// # Errors
/// The system's.
pub fn size_of(dir: &Path) -> io::Result<u64> {
    let len = |first| std::fs::metadata(files::segment_path(dir, first)).map(|segment| segment.len());
    listed(dir)?.into_iter().map(len).sum()
}

impl Iterator for LogReader {
    type Item = Result<(u64, Record), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_record();
        self.failed = next.is_err();
        next.transpose()
    }
}

type Frame = Option<(Header, Vec<u8>)>;

/// The frame at an offset; `None` when it is not all there. What does not match is read again: the writer may
/// have taken back a part of a write and written another between two of our reads.
fn read_frame(file: &File, offset: u64) -> io::Result<Result<Frame, FrameError>> {
    let mut result = read_frame_once(file, offset)?;
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        result = read_frame_once(file, offset)?;
    }
    Ok(result)
}

fn read_frame_once(file: &File, offset: u64) -> io::Result<Result<Frame, FrameError>> {
    let mut head = [0; frame::HEADER_BYTES];
    if !read_at(file, &mut head, offset)? {
        return Ok(Ok(None));
    }
    let header = match Header::parse(&head) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error)),
    };
    let mut payload = vec![0; header.len];
    if !read_at(file, &mut payload, offset + frame::HEADER_BYTES as u64)? {
        return Ok(Ok(None));
    }
    Ok(header.check(&payload).map(|()| Some((header, payload))))
}

/// Whether the whole buffer could be filled.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why a directory is not a good log.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// A checkpoint cannot be trusted.
    #[error("the audit log's last checkpoint is {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The statement of removed records cannot be trusted.
    #[error("the audit log's statement of removed records is {0}")]
    Cut(CheckpointError),
    /// The log is not what was signed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The system refused.
    #[error("the audit log cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What was removed from the log in `dir`: nothing, when there is no statement.
///
/// # Errors
/// [`DirError`].
pub fn cut_of(dir: &Path, origin: &Origin, key: &PublicKey) -> Result<Cut, DirError> {
    let file = match File::open(dir.join(files::CUT)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cut::default()),
        Err(error) => return Err(error.into()),
    };
    let mut note = String::new();
    let read = file.take(Cut::BYTES_MAX as u64).read_to_string(&mut note);
    read.map_err(|error| DirError::Cut(error.into()))?;
    Cut::verify(&note, origin, key).map_err(DirError::Cut)
}

/// Verifies all of the log in `dir`, which may be in use.
///
/// # Errors
/// [`DirError`]; a [`Fault`] names the first bad index.
pub fn verify_dir(dir: &Path, key: &PublicKey, origin: &Origin) -> Result<Verified, DirError> {
    let mut tries = TRIES;
    loop {
        let cut = cut_of(dir, origin, key)?;
        let result = verify_once(dir, &cut, key, origin);
        tries -= 1;
        let is_passing = match &result {
            Err(DirError::Fault(Fault { what, .. })) => {
                let is_being_written =
                    matches!(what, FaultKind::TornTail { .. } | FaultKind::Checkpoint(CheckpointError::Cut));
                // Or retention removed what was to be read.
                is_being_written || cut_of(dir, origin, key)? != cut
            }
            Ok(_) | Err(_) => false,
        };
        if !is_passing || tries == 0 {
            return result;
        }
    }
}

fn verify_once(dir: &Path, cut: &Cut, key: &PublicKey, origin: &Origin) -> Result<Verified, DirError> {
    // Only the checkpoints of now: what they cover is in the segments already, whatever is written meanwhile.
    let checkpoints = match File::open(dir.join(files::CHECKPOINTS)) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let len = checkpoints.as_ref().map(File::metadata).transpose()?.map_or(0, |metadata| metadata.len());
    let kept = files::segments(dir)?.into_iter().filter(|first| *first >= cut.base.size());
    let segments = kept.map(|first| {
        File::open(files::segment_path(dir, first)).map(|file| Segment { first, bytes: BufReader::new(file) })
    });
    let verified = match checkpoints {
        Some(file) => verify_from(&cut.base, segments, BufReader::new(file.take(len)), key, origin)?,
        None => verify_from(&cut.base, segments, io::empty(), key, origin)?,
    };
    Ok(verified)
}

/// The last checkpoint of the log in `dir`, with its signed note.
///
/// # Errors
/// [`DirError`].
pub fn latest_checkpoint(
    dir: &Path,
    key: &PublicKey,
    origin: &Origin,
) -> Result<Option<(Checkpoint, String)>, DirError> {
    let file = match File::open(dir.join(files::CHECKPOINTS)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (_, tail) = files::read_tail(&file, files::CHECKPOINT_TAIL_BYTES)?;
    let Some(range) = last_whole(&tail) else { return Ok(None) };
    let note = std::str::from_utf8(&tail[range]).map_err(|_| CheckpointError::Shape)?;
    Ok(Some((Checkpoint::verify(note, origin, key)?, note.to_owned())))
}

/// Name of the file with the last checkpoint that a witness cosigned.
pub const COSIGNED: &str = "cosigned";

/// The last checkpoint of the log in `dir` that this witness cosigned, with its note. One that was changed is none.
///
/// # Errors
/// [`DirError`].
pub fn cosigned_checkpoint(
    dir: &Path,
    by: &VerifierKey,
    witness: &WitnessKey,
) -> Result<Option<(Checkpoint, String)>, DirError> {
    let file = match File::open(dir.join(COSIGNED)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(files::CHECKPOINT_TAIL_BYTES).read_to_end(&mut bytes)?;
    let note = String::from_utf8(bytes).ok().filter(|note| cosigned(note, witness).is_ok());
    let checkpoint = |note: String| Some((Checkpoint::verify(&note, &by.origin, &by.key).ok()?, note));
    Ok(note.and_then(checkpoint))
}
