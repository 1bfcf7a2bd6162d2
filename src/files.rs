//! Private files: written whole or not at all, readable by their owner only.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Tries to be alone with a file, and the time between two of them: a second in all.
const LOCK_TRIES: u32 = 100;
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// What went wrong with which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is there already and is not overwritten.
    #[error("{0} exists already; choose another path, or remove it first")]
    Exists(PathBuf),
    /// It is not there.
    #[error("{0} does not exist; check the path")]
    Missing(PathBuf),
    /// The file system is read-only.
    #[error("{0} is on a read-only file system; choose a path that can be written")]
    ReadOnly(PathBuf),
    /// Others may read it.
    #[error("{0} can be read by others; run `chmod 600 {quoted}`", quoted = quoted(.0))]
    Exposed(PathBuf),
    /// Too large to be what it should be.
    #[error("{0} is larger than {1} bytes; is it the right file?")]
    TooLarge(PathBuf, u64),
    /// A folder where a file is expected.
    #[error("{0} is a folder; give the path of a file")]
    Folder(PathBuf),
    /// It, or what should be its folder, is a file.
    #[error("{0} is not in a folder, or is no folder itself; choose another path")]
    NotFolder(PathBuf),
    /// The system does not let us.
    #[error("{0} is not open to this user; check its owner and permissions")]
    Forbidden(PathBuf),
    /// The disk is full.
    #[error("{0} finds no space on the disk; make room and try again")]
    Full(PathBuf),
    /// Another process has it, and does not end.
    #[error("{0} is in use by another process that does not let go of it; see whether one was stopped")]
    Busy(PathBuf),
    /// Bytes that are no text.
    #[error("{0} is not a text file; is it the right file?")]
    NotText(PathBuf),
    /// Anything else.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn tell(path: &Path, error: io::Error) -> FileError {
    FileError::of(path, error)
}

impl FileError {
    /// Says of a path what the system said.
    #[must_use]
    pub fn of(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        let kind = error.kind();
        if kind == io::ErrorKind::AlreadyExists {
            Self::Exists(path)
        } else if kind == io::ErrorKind::NotFound {
            Self::Missing(path)
        } else if kind == io::ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly(path)
        } else if kind == io::ErrorKind::IsADirectory {
            Self::Folder(path)
        } else if kind == io::ErrorKind::NotADirectory {
            Self::NotFolder(path)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Forbidden(path)
        } else if kind == io::ErrorKind::StorageFull {
            Self::Full(path)
        } else if kind == io::ErrorKind::InvalidData {
            Self::NotText(path)
        } else {
            Self::Io(path, error)
        }
    }
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// A file beside `path` with this content, on disk, mode 0600.
fn beside(path: &Path, content: &[u8]) -> Result<tempfile::NamedTempFile, FileError> {
    let folder = folder(path);
    let made = tempfile::Builder::new().prefix(".testudo-").tempfile_in(folder);
    let mut file = made.map_err(|error| tell(folder, error))?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(|error| tell(path, error))?;
    Ok(file)
}

/// Makes a directory that only its owner may enter; one that is there is left as it is.
///
/// # Errors
/// [`FileError`].
pub fn private_dir(path: &Path) -> Result<(), FileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        let error = tell(path, error);
        if let FileError::Exists(path) = error { FileError::NotFolder(path) } else { error }
    })
}

/// A new file's place, taken before the work whose result goes into it: nobody else can take it, and that it can
/// be written is known before anything is changed. Empty until filled; removed again when it is not.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    filled: bool,
}

impl Reserved {
    /// Takes the place, mode 0600.
    ///
    /// # Errors
    /// [`FileError`]; then there is no new file.
    pub fn new(path: &Path) -> Result<Self, FileError> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(path).map_err(|error| {
            let error = tell(path, error);
            let no_folder = matches!(error, FileError::Missing(_));
            if no_folder { FileError::Missing(folder(path).to_owned()) } else { error }
        })?;
        Ok(Self { path: path.to_owned(), filled: false })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the content, whole or not at all.
    ///
    /// # Errors
    /// [`FileError`]; then there is no file.
    pub fn fill(mut self, content: &[u8]) -> Result<(), FileError> {
        replace(&self.path, content)?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.filled {
            // Best effort: an empty file that stays is refused by whoever reads it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a new file of mode 0600: first beside it, then renamed without replacing anything.
///
/// # Errors
/// [`FileError`]; then there is no file.
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), FileError> {
    beside(path, content)?.persist_noclobber(path).map_err(|error| tell(path, error.error))?;
    Ok(())
}

/// Replaces a file, atomically, mode 0600.
///
/// # Errors
/// [`FileError`]; then the old file is as it was.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    beside(path, content)?.persist(path).map_err(|error| tell(path, error.error))?;
    Ok(())
}

/// Makes the names in a folder durable: without it, a power cut can take back a file that was made or replaced there.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The file whose name is that of another and more.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Keeps other processes that ask the same away from a file, until what is returned is dropped: by a lock on `NAME.lock`, mode
/// 0600, so that nobody but its owner can keep them away. Waits for them, for a while: one of them may have been stopped.
///
/// # Errors
/// [`FileError`]; [`FileError::Busy`] if it took too long.
pub fn alone(path: &Path) -> Result<File, FileError> {
    let name = with_suffix(path, ".lock");
    let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&name);
    let file = opened.map_err(|error| tell(&name, error))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(fs::TryLockError::Error(error)) => return Err(tell(&name, error)),
        }
    }
    Err(FileError::Busy(path.to_owned()))
}

/// Opens a file that nobody but its owner may read.
fn open_private(path: &Path) -> Result<File, FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::open(path).map_err(|error| tell(path, error))?;
    let mode = file.metadata().map_err(|error| tell(path, error))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(file) } else { Err(FileError::Exposed(path.to_owned())) }
}

/// Reads a secret file, which nobody but its owner may read.
///
/// # Errors
/// [`FileError`].
pub fn read_private(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    read(path, &open_private(path)?, bytes_max)
}

/// Reads a secret file of any bytes, which nobody but its owner may read.
///
/// # Errors
/// [`FileError`].
pub fn read_private_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    use std::io::Read as _;
    let file = open_private(path)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| tell(path, error))?;
    let fits = bytes.len() as u64 <= bytes_max;
    if fits { Ok(bytes) } else { Err(FileError::TooLarge(path.to_owned(), bytes_max)) }
}

/// Reads a file that need not be secret.
///
/// # Errors
/// [`FileError`].
pub fn read_public(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    let file = File::open(path).map_err(|error| tell(path, error))?;
    read(path, &file, bytes_max)
}

fn read(path: &Path, file: &File, bytes_max: u64) -> Result<String, FileError> {
    use std::io::Read as _;
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(|error| tell(path, error))?;
    if text.len() as u64 > bytes_max {
        return Err(FileError::TooLarge(path.to_owned(), bytes_max));
    }
    Ok(text)
}
