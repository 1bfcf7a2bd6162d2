//! How far each exporter has come: one small file a name in the log's folder `exporters`, replaced whole, so that a
//! kill at any time leaves the old place or the new one. Delivery is then at least once.
//!
//! What the log may cut off depends on it: [`lowest_cursor`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::files;

/// The folder of cursors in the log's folder.
const FOLDER: &str = "exporters";
/// What a cursor's file starts with.
const HEAD: &str = "testudo cursor 1 ";
/// Longest file.
const BYTES_MAX: u64 = 128;

/// A place in the log: what comes next.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor {
    /// The index of a record.
    pub record: u64,
    /// Events of that record that are done already.
    pub place: u32,
}

/// The cursor of one exporter on disk.
#[derive(Debug)]
pub struct CursorFile {
    path: PathBuf,
    beside: PathBuf,
    folder: File,
}

impl CursorFile {
    /// Opens the cursor `name`, a plain file name, of the log in `dir`; what it holds, if it was ever written.
    ///
    /// # Errors
    /// The system's; `InvalidData` for a file that is not a cursor.
    pub fn open(dir: &Path, name: &str) -> io::Result<(Self, Option<Cursor>)> {
        let folder = dir.join(FOLDER);
        let entries = files::prepare_dir(&folder)?;
        let file = Self { path: folder.join(name), beside: folder.join(format!(".{name}")), folder: entries };
        let cursor = read(&file.path)?;
        Ok((file, cursor))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the cursor; it is durable on return.
    ///
    /// # Errors
    /// The system's; then the old one stands.
    pub fn write(&self, cursor: Cursor) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.beside)?;
        writeln!(file, "{HEAD}{} {}", cursor.record, cursor.place)?;
        file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.folder.sync_all()
    }
}

fn read(path: &Path) -> io::Result<Option<Cursor>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(BYTES_MAX).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    parse(&text).map(Some).ok_or_else(|| {
        let what = format!("{} is damaged; remove it to export again from the start", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

fn parse(text: &str) -> Option<Cursor> {
    let (record, place) = text.strip_prefix(HEAD)?.strip_suffix('\n')?.split_once(' ')?;
    Some(Cursor { record: record.parse().ok()?, place: place.parse().ok()? })
}

/// Whether the log in `dir` ever had an exporter.
#[must_use]
pub fn was_exported(dir: &Path) -> bool {
    fs::read_dir(dir.join(FOLDER)).is_ok_and(|mut entries| entries.next().is_some())
}

/// The first record of the log in `dir` that some exporter of these names still needs: nothing from there on may be
/// cut off. `None` without exporters. One that has not begun, or whose cursor cannot be read, needs them all.
pub fn lowest_cursor<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> Option<u64> {
    let of = |name: &str| read(&dir.join(FOLDER).join(name)).ok().flatten().unwrap_or_default().record;
    names.into_iter().map(of).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_and_the_lowest_is_what_the_log_must_keep() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(lowest_cursor(dir.path(), []), None);
        assert_eq!(lowest_cursor(dir.path(), ["new"]), Some(0));
        for (name, record) in [("a", 7), ("b", 9)] {
            let (file, before) = CursorFile::open(dir.path(), name).unwrap();
            assert_eq!(before, None);
            file.write(Cursor { record: 3, place: 255 }).unwrap();
            file.write(Cursor { record, place: 1 }).unwrap();
            assert_eq!(CursorFile::open(dir.path(), name).unwrap().1, Some(Cursor { record, place: 1 }));
        }
        assert_eq!(lowest_cursor(dir.path(), ["a", "b"]), Some(7));
        assert_eq!(lowest_cursor(dir.path(), ["b"]), Some(9));
        assert_eq!(lowest_cursor(dir.path(), ["b", "new"]), Some(0));
    }

    #[test]
    fn a_damaged_cursor_is_refused_and_keeps_the_whole_log() {
        let dir = tempfile::tempdir().unwrap();
        drop(CursorFile::open(dir.path(), "a").unwrap());
        let path = dir.path().join("exporters/a");
        for text in ["", "testudo cursor 1 7 0", "testudo cursor 2 7 0\n", "testudo cursor 1 -7 0\n", "x"] {
            fs::write(&path, text).unwrap();
            let error = CursorFile::open(dir.path(), "a").unwrap_err();
            assert!(error.to_string().contains("exporters/a is damaged; remove it"), "{error}");
            assert_eq!(lowest_cursor(dir.path(), ["a"]), Some(0));
        }
    }

    #[test]
    fn a_kill_between_two_writes_leaves_the_old_place() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _) = CursorFile::open(dir.path(), "a").unwrap();
        file.write(Cursor { record: 5, place: 0 }).unwrap();
        fs::write(dir.path().join("exporters/.a"), "testudo cur").unwrap();
        assert_eq!(CursorFile::open(dir.path(), "a").unwrap().1, Some(Cursor { record: 5, place: 0 }));
    }
}
