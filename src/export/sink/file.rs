//! A file of JSON lines, on disk before a batch counts as delivered; one that grows too large is followed by
//! another.
//!
//! `events.jsonl` is the newest, then `events.jsonl.1` and so on; the oldest goes. A crash leaves at most half a
//! line at the end, which is cut off at the next start: its event was never counted and comes again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use testudo_bus::audit::read_tail;

use super::held::Held;
use super::{Sending, Sent, Sink, lines};
use crate::export::source::Item;
use crate::files;

/// More than one line can be long.
const TAIL_BYTES: u64 = 1 << 20;

/// Appends to a file.
#[derive(Debug)]
pub(in crate::export) struct FileSink(Held<Rotated>);

#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    bytes_max: u64,
    files_max: u32,
    /// The newest file and its length, once it was opened.
    open: Option<(File, u64)>,
}

impl FileSink {
    pub(in crate::export) fn new(path: PathBuf, bytes_max: u64, files_max: u32) -> Self {
        Self(Held::new(Rotated { path, bytes_max, files_max, open: None }))
    }
}

impl Sink for FileSink {
    fn send<'a>(&'a mut self, batch: &'a [Arc<Item>]) -> Sending<'a> {
        let text = lines(batch);
        Box::pin(async move {
            match self.0.with(move |file| file.append(text.as_bytes())).await {
                Ok(()) => Sent::delivered(),
                Err(error) => Sent::failed(format!("cannot be written: {error}")),
            }
        })
    }
}

impl Rotated {
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let (file, len) = match self.open.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        let (mut file, len) = if len > 0 && len + text.len() as u64 > self.bytes_max {
            self.rotate()?;
            open(&self.path)?
        } else {
            (file, len)
        };
        match file.write_all(text).and_then(|()| file.sync_data()) {
            Ok(()) => {
                self.open = Some((file, len + text.len() as u64));
                Ok(())
            }
            Err(error) => {
                // No half line stays: the disk may have room for other lines later. The next use opens it anew.
                let _ = file.set_len(len);
                Err(error)
            }
        }
    }

    fn numbered(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        name.into()
    }

    /// Makes room for a new file: each goes one number up, the last is replaced.
    fn rotate(&self) -> io::Result<()> {
        for n in (1..self.files_max.saturating_sub(1)).rev() {
            match fs::rename(self.numbered(n), self.numbered(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if self.files_max > 1 {
            fs::rename(&self.path, self.numbered(1))
        } else {
            fs::remove_file(&self.path)
        }
    }
}

/// The file at its end, without half a line there.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = format!("{} is no plain file; choose another path", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let len = metadata.len();
    if len == 0 {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        files::sync_folder(folder.unwrap_or_else(|| Path::new(".")))?;
        return Ok((file, 0));
    }
    let (start, tail) = read_tail(&file, TAIL_BYTES)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == tail.len() {
        return Ok((file, len));
    }
    if tail[whole] != b'{' || (whole == 0 && start > 0) {
        let what =
            format!("{} ends in something that no exporter wrote; choose another path", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let kept = start + whole as u64;
    file.set_len(kept)?;
    Ok((file, kept))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn rotated(dir: &Path, bytes_max: u64, files_max: u32) -> Rotated {
        Rotated { path: dir.join("events.jsonl"), bytes_max, files_max, open: None }
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_file_grows_to_its_bound_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = rotated(dir.path(), 10, 3);
        for text in ["{1111}\n", "{2222}\n", "{3333}\n", "{4444444444444}\n", "{5}\n"] {
            file.append(text.as_bytes()).unwrap();
        }
        let all = ["events.jsonl", "events.jsonl.1", "events.jsonl.2", "events.jsonl.3"];
        let held = all.map(|name| read(&dir.path().join(name)));
        assert_eq!(held, ["{5}\n", "{4444444444444}\n", "{3333}\n", ""]);
        let mode = fs::metadata(dir.path().join("events.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut only = rotated(dir.path(), 5, 1);
        only.append(b"{6}\n").unwrap();
        assert_eq!((read(&only.path), read(&only.numbered(1))), ("{6}\n".into(), "{4444444444444}\n".into()));
    }

    #[test]
    fn a_device_is_no_place_for_events() {
        let mut full = Rotated { path: "/dev/full".into(), bytes_max: 10, files_max: 2, open: None };
        let error = full.append(b"{1}\n").unwrap_err();
        assert!(error.to_string().contains("/dev/full is no plain file"), "{error}");
    }

    #[test]
    fn half_a_line_of_a_crash_is_cut_off_and_foreign_text_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        for (before, after) in [("{1}\n{2", "{1}\n{3}\n"), ("{", "{3}\n"), ("{1}\n", "{1}\n{3}\n")] {
            fs::write(&path, before).unwrap();
            rotated(dir.path(), 100, 2).append(b"{3}\n").unwrap();
            assert_eq!(read(&path), after);
        }
        fs::write(&path, "root:x:0:0").unwrap();
        let error = rotated(dir.path(), 100, 2).append(b"{3}\n").unwrap_err();
        assert!(error.to_string().contains("no exporter wrote"), "{error}");
        assert_eq!(read(&path), "root:x:0:0");
    }
}
