//! Private files: written whole or not at all, readable by their owner only.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

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
    #[error("{0} can be read by others; run `chmod 600` on it")]
    Exposed(PathBuf),
    /// Too large to be what it should be.
    #[error("{0} is larger than {1} bytes; is it the right file?")]
    TooLarge(PathBuf, u64),
    /// Anything else.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

fn tell(path: &Path, error: io::Error) -> FileError {
    let path = path.to_owned();
    let kind = error.kind();
    if kind == io::ErrorKind::AlreadyExists {
        FileError::Exists(path)
    } else if kind == io::ErrorKind::NotFound {
        FileError::Missing(path)
    } else if kind == io::ErrorKind::ReadOnlyFilesystem {
        FileError::ReadOnly(path)
    } else {
        FileError::Io(path, error)
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
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| tell(path, error))
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

/// Reads a secret file, which nobody but its owner may read.
///
/// # Errors
/// [`FileError`].
pub fn read_private(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::open(path).map_err(|error| tell(path, error))?;
    let mode = file.metadata().map_err(|error| tell(path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed(path.to_owned()));
    }
    read(path, &file, bytes_max)
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
