//! The files of a log: names, modes, and appending with a way back.
//!
//! Knows bytes, not records.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the file of checkpoints.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// How much of its end is read to find the last one: more than a note can be long.
pub(super) const CHECKPOINT_TAIL_BYTES: u64 = 16 * 1024;
/// Name of the statement of what was removed.
pub(super) const CUT: &str = "cut";
/// A file that is only there while room is looked for.
const PROBE: &str = "room";
/// What a file is written under before it takes another's place.
const NEW: &str = ".new";
/// Name of the file that says that a writer is at work.
const LOCK: &str = "lock";
/// What segments end in.
const SUFFIX: &str = ".log";

/// What can be appended to; a trait so that tests can make it fail.
pub(super) trait Medium: std::fmt::Debug + Send + Sync {
    /// Appends, possibly only a part when it fails.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts to a length.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns when what was written is on disk.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(&mut &*self, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A write to the log that failed.
#[derive(Debug)]
pub(super) enum TailError {
    /// Nothing of it counts, and it may be tried again.
    Again(io::Error),
    /// What was written before may be lost: nothing may follow it.
    Lost(io::Error),
}

/// A file that only grows, and by whole writes only.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) medium: Arc<dyn Medium>,
    pub(super) len: u64,
    /// The file ends in a part of a write that could not be taken back yet. Nothing is written behind it.
    is_torn: bool,
}

impl Tail {
    pub(super) fn new(file: File, len: u64) -> Self {
        Self::of(Arc::new(file), len)
    }

    pub(super) fn of(medium: Arc<dyn Medium>, len: u64) -> Self {
        Self { medium, len, is_torn: false }
    }

    /// Takes back what is left of a write that failed.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.medium.set_len(self.len)?;
            self.is_torn = false;
        }
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mend()?;
        match self.medium.write_all(bytes) {
            Ok(()) => {
                self.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.medium.set_len(self.len).is_err();
                Err(error)
            }
        }
    }
}

/// Makes the directory, for its owner only.
pub(super) fn prepare_dir(dir: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    File::open(dir)
}

/// The lock of the only writer; `None` when another holds it. Released when dropped.
pub(super) fn lock(dir: &Path) -> io::Result<Option<File>> {
    let file = options().truncate(false).open(dir.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options
}

/// Opens a file for appending, making it if need be.
pub(super) fn open_append(path: &Path) -> io::Result<File> {
    options().open(path)
}

/// A new file that will take the place of another; what an earlier try left is thrown away.
pub(super) fn create_new(dir: &Path, name: &str) -> io::Result<File> {
    let file = options().open(dir.join(format!("{name}{NEW}")))?;
    file.set_len(0)?;
    Ok(file)
}

/// Whether there is room for so many bytes.
pub(super) fn probe(dir: &Path, bytes: usize) -> io::Result<()> {
    let file = create_new(dir, PROBE)?;
    let written = Write::write_all(&mut &file, &vec![0; bytes]);
    // The room is given back either way.
    file.set_len(0)?;
    fs::remove_file(dir.join(format!("{PROBE}{NEW}")))?;
    written
}

/// Puts a new file, which is on disk, in its place. The caller makes the directory durable.
pub(super) fn put_in_place(dir: &Path, name: &str) -> io::Result<()> {
    fs::rename(dir.join(format!("{name}{NEW}")), dir.join(name))
}

/// Makes a new, empty segment. One that a failed start of a segment left behind is used, a full one never.
pub(super) fn create_segment(dir: &Path, first: u64) -> io::Result<File> {
    let file = options().open(segment_path(dir, first))?;
    if file.metadata()?.len() > 0 { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(file) }
}

/// Where the segment that starts at an index lies.
pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{SUFFIX}"))
}

/// The first indices of all segments, ascending. Other files are none of ours.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let digits = digits.filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()));
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The last `most` bytes of a file, and the offset at which they start.
///
/// # Errors
/// What the file system says.
pub fn read_tail(mut file: &File, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let start = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok((start, bytes))
}
