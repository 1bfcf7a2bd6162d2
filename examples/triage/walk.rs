//! Lists the files of a real folder, and reads one of them, within bounds.
//!
//! It knows the file system and nothing else: not the bus, not the rules that judge a file. Every name it hands out
//! is escaped, because a folder from outside may hold names made to harm a terminal, a log or a prompt.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

#[cfg(test)]
#[path = "tests/walk.rs"]
mod tests;

/// Folders that hold copies, caches or history rather than the work itself. Compared exactly, at every depth.
pub(crate) const SKIPPED_FOLDERS: [&str; 20] = [
    ".cache",
    ".direnv",
    ".git",
    ".gradle",
    ".hg",
    ".jj",
    ".mypy_cache",
    ".next",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".terraform",
    ".tox",
    ".venv",
    "__pycache__",
    "bower_components",
    "node_modules",
    "target",
    "venv",
];

/// The longest name (escaped, in bytes) that is listed or read; the usual limit of an operating system.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// How much of a folder is listed. Past any of these the walk stops and says so.
#[derive(Debug, Clone)]
pub(crate) struct WalkLimits {
    /// Files listed.
    pub(crate) files_max: usize,
    /// Folders within folders; the root is depth 0.
    pub(crate) depth_max: usize,
    /// Names looked at, whatever they turn out to be.
    pub(crate) entries_max: usize,
}

impl Default for WalkLimits {
    fn default() -> Self {
        Self { files_max: 20_000, depth_max: 64, entries_max: 200_000 }
    }
}

/// One regular file below the root.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct WalkedFile {
    /// Relative to the root, with `/` between the parts, escaped by [`shown`].
    pub(crate) path: String,
    /// Its size in bytes when it was listed.
    pub(crate) bytes: u64,
}

/// What a walk saw. Files of a folder come before those of its subfolders; both in the order of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The files, in a stable order.
    pub(crate) files: Vec<WalkedFile>,
    /// Names that could not be read.
    pub(crate) unreadable: usize,
    /// Symbolic links, devices, sockets and pipes: seen and left alone.
    pub(crate) not_followed: usize,
    /// Folders passed over because of [`SKIPPED_FOLDERS`].
    pub(crate) skipped_folders: usize,
    /// Whether a limit stopped the walk, so that there may be more.
    pub(crate) truncated: bool,
}

/// Why a folder cannot be walked. Each is one line and says what to do.
#[derive(Debug)]
pub(crate) enum WalkError {
    /// Nothing is there.
    Missing(PathBuf),
    /// Something is there, but no folder.
    NotAFolder(PathBuf),
    /// The folder is there and the system refuses it.
    Unreadable(PathBuf, io::Error),
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "folder {} does not exist: name an existing folder", shown_path(path))
            }
            Self::NotAFolder(path) => {
                write!(f, "{} is not a folder: name the folder that holds it", shown_path(path))
            }
            Self::Unreadable(path, error) => {
                let reason = error.kind();
                write!(f, "folder {} cannot be read ({reason}): check its permissions", shown_path(path))
            }
        }
    }
}

impl std::error::Error for WalkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Missing(_) | Self::NotAFolder(_) => None,
            Self::Unreadable(_, error) => Some(error),
        }
    }
}

/// Why one file is not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The name leaves the root, enters a skipped folder, or is too long: [`walk`] never lists such a name.
    Outside,
    /// It is a symbolic link, lies behind one, or is no regular file.
    NotAFile,
    /// The system refused.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("the name is not one of this folder"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::Io(error) => write!(f, "the file cannot be read ({})", error.kind()),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Outside | Self::NotAFile => None,
            Self::Io(error) => Some(error),
        }
    }
}

/// Lists the regular files below `root`. Symbolic links are not followed (the root itself may be one).
///
/// # Errors
/// Only about the root; anything below that cannot be read is counted.
pub(crate) fn walk(root: &Path, limits: &WalkLimits) -> Result<Walk, WalkError> {
    let metadata = fs::metadata(root).map_err(|error| refused(root, error))?;
    if !metadata.is_dir() {
        return Err(WalkError::NotAFolder(root.to_path_buf()));
    }
    fs::read_dir(root).map_err(|error| refused(root, error))?;
    let mut walker =
        Walker { limits, walk: Walk::default(), entries_left: limits.entries_max, waiting: Vec::new() };
    walker.waiting.push(Folder { real: root.to_path_buf(), shown: String::new(), depth: 0 });
    while let Some(folder) = walker.waiting.pop() {
        if walker.walk.files.len() >= limits.files_max || walker.entries_left == 0 {
            walker.walk.truncated = true;
            break;
        }
        walker.list(&folder);
    }
    Ok(walker.walk)
}

/// Reads at most `bytes_max` bytes and one more (so that the caller can tell a longer file) of a file that [`walk`]
/// listed. The name may come from another agent and is not trusted: whatever `walk` would not list is refused. A file
/// whose name had to be escaped is not found, and not read.
///
/// # Errors
/// When the name is not one of the folder, or the file cannot be read.
pub(crate) fn read(root: &Path, path: &str, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let (Some((_, folders)), true) = (parts.split_last(), path.len() <= PATH_BYTES_MAX) else {
        return Err(ReadError::Outside);
    };
    let inside = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    if !inside || folders.iter().any(|part| is_skipped(part.as_os_str())) {
        return Err(ReadError::Outside);
    }
    let mut real = root.to_path_buf();
    for folder in folders {
        real.push(folder);
        if !fs::symlink_metadata(&real).map_err(ReadError::Io)?.is_dir() {
            return Err(ReadError::NotAFile);
        }
    }
    real = root.join(path);
    let listed = fs::symlink_metadata(&real).map_err(ReadError::Io)?;
    if !listed.is_file() {
        return Err(ReadError::NotAFile);
    }
    let file = File::open(&real).map_err(ReadError::Io)?;
    // Between the look and the opening the name may have been exchanged for a link.
    if !is_same_file(&listed, &file.metadata().map_err(ReadError::Io)?) {
        return Err(ReadError::NotAFile);
    }
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    file.take(bound).read_to_end(&mut content).map_err(ReadError::Io)?;
    Ok(content)
}

/// `text` with everything escaped that a terminal or a reader could take for something else: control characters and
/// the invisible ones that reorder or hide text. Escaping twice changes nothing.
pub(crate) fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    push_shown(&mut safe, text);
    safe
}

/// Whether [`shown`] would leave the text as it is.
pub(crate) fn is_shown(text: &str) -> bool {
    !text.chars().any(is_hostile)
}

/// [`shown`] for a path of the system; bytes that are no UTF-8 appear as `\xNN`.
pub(crate) fn shown_path(path: &Path) -> String {
    shown_name(path.as_os_str())
}

fn shown_name(name: &OsStr) -> String {
    let mut safe = String::with_capacity(name.len());
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        push_shown(&mut safe, chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\x{byte:02x}");
        }
    }
    safe
}

fn push_shown(safe: &mut String, text: &str) {
    for character in text.chars() {
        if is_hostile(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
}

/// Controls (C0, DEL, C1), line separators, and the format characters of Unicode that are invisible or reorder text.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn is_skipped(name: &OsStr) -> bool {
    SKIPPED_FOLDERS.iter().any(|skipped| name == OsStr::new(skipped))
}

#[cfg(unix)]
fn is_same_file(left: &fs::Metadata, right: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    left.dev() == right.dev() && left.ino() == right.ino()
}

#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, right: &fs::Metadata) -> bool {
    right.is_file()
}

fn refused(root: &Path, error: io::Error) -> WalkError {
    if error.kind() == io::ErrorKind::NotFound {
        WalkError::Missing(root.to_path_buf())
    } else {
        WalkError::Unreadable(root.to_path_buf(), error)
    }
}

struct Folder {
    real: PathBuf,
    shown: String,
    depth: usize,
}

struct Walker<'a> {
    limits: &'a WalkLimits,
    walk: Walk,
    entries_left: usize,
    waiting: Vec<Folder>,
}

impl Walker<'_> {
    /// Takes the files of one folder and puts its subfolders on the waiting stack.
    fn list(&mut self, folder: &Folder) {
        let mut folders = Vec::new();
        for entry in self.entries(&folder.real) {
            let Ok(metadata) = entry.metadata() else {
                self.walk.unreadable += 1;
                continue;
            };
            if metadata.is_dir() {
                self.take_folder(folder, &entry, &mut folders);
            } else if metadata.is_file() {
                self.take_file(folder, &entry, metadata.len());
            } else {
                self.walk.not_followed += 1;
            }
        }
        self.waiting.extend(folders.into_iter().rev());
    }

    /// The entries of a folder in the order of their names, as far as the bound allows.
    fn entries(&mut self, real: &Path) -> Vec<fs::DirEntry> {
        let Ok(listing) = fs::read_dir(real) else {
            self.walk.unreadable += 1;
            return Vec::new();
        };
        let mut entries = Vec::new();
        for entry in listing {
            if self.entries_left == 0 {
                self.walk.truncated = true;
                break;
            }
            self.entries_left -= 1;
            match entry {
                Ok(entry) => entries.push(entry),
                Err(_) => self.walk.unreadable += 1,
            }
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        entries
    }

    fn take_folder(&mut self, parent: &Folder, entry: &fs::DirEntry, folders: &mut Vec<Folder>) {
        let name = entry.file_name();
        if is_skipped(&name) {
            self.walk.skipped_folders += 1;
        } else if parent.depth >= self.limits.depth_max {
            self.walk.truncated = true;
        } else {
            let shown = format!("{}{}/", parent.shown, shown_name(&name));
            folders.push(Folder { real: entry.path(), shown, depth: parent.depth + 1 });
        }
    }

    fn take_file(&mut self, parent: &Folder, entry: &fs::DirEntry, bytes: u64) {
        let path = format!("{}{}", parent.shown, shown_name(&entry.file_name()));
        if path.len() > PATH_BYTES_MAX {
            self.walk.unreadable += 1;
        } else if self.walk.files.len() >= self.limits.files_max {
            self.walk.truncated = true;
        } else {
            self.walk.files.push(WalkedFile { path, bytes });
        }
    }
}
