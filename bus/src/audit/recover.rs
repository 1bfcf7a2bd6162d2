//! Reading a log back at its opening: the tree, what is unsettled, and where the last whole record ends.
//!
//! Reads only; what is to be cut off or appended is the opener's to do.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use testudo_rules::audit::frame::{self, FrameError, FrameReader};
use testudo_rules::audit::{Checkpoint, Frontier, Settlement, Unsettled, time_of};
use testudo_wire::Timestamp;

use super::files;
use super::open::OpenError;

/// Most bytes that can be lost in one cut: what was written since the last sync. A longer rest is damage.
const TORN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a log holds.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) frontier: Frontier,
    pub(super) unsettled: Unsettled,
    /// The segments: the first index of each, and the tree before it.
    pub(super) starts: VecDeque<(u64, Frontier)>,
    /// The last segment: its first index and the length of its whole records.
    pub(super) last: Option<(u64, u64)>,
    /// Bytes behind those.
    pub(super) torn: u64,
    /// The time of the last record.
    pub(super) latest: Timestamp,
}

/// Reads all segments behind `base`, and compares the root with the last checkpoint's on the way.
pub(super) fn scan(dir: &Path, base: &Frontier, sealed: Option<Checkpoint>) -> Result<Scanned, OpenError> {
    let mut scanned = Scanned {
        frontier: base.clone(),
        unsettled: Unsettled::default(),
        starts: VecDeque::new(),
        last: None,
        torn: 0,
        latest: Timestamp::from_millis(0),
    };
    match sealed {
        Some(sealed) if sealed.size < base.size() => {
            return Err(OpenError::Removed { sealed: sealed.size, removed: base.size() });
        }
        Some(sealed) if sealed.size == base.size() && sealed.root != base.root() => {
            return Err(OpenError::Rewritten { sealed: sealed.size });
        }
        Some(_) | None => {}
    }
    let mut segments = files::segments(dir)?;
    // A cut that was interrupted: the opener finishes it.
    segments.retain(|first| *first >= base.size());
    for (n, first) in segments.iter().copied().enumerate() {
        let index = scanned.frontier.size();
        if first != index {
            return Err(OpenError::Damaged { index, what: format!("record {first} stands in its place") });
        }
        scanned.starts.push_back((first, scanned.frontier.clone()));
        let file = File::open(files::segment_path(dir, first))?;
        let len = file.metadata()?.len();
        let (good, damage) = scan_segment(&file, &mut scanned, sealed)?;
        if let Some(what) = damage {
            let index = scanned.frontier.size();
            let is_last = n + 1 == segments.len();
            let is_sealed = sealed.is_some_and(|sealed| sealed.size > index);
            if !is_last || is_sealed || !is_torn(&file, good, len, index)? {
                return Err(OpenError::Damaged { index, what: what.to_string() });
            }
            scanned.torn = len - good;
        }
        scanned.last = Some((first, good));
    }
    match sealed {
        Some(sealed) if sealed.size > scanned.frontier.size() => {
            Err(OpenError::Shorter { records: scanned.frontier.size(), sealed: sealed.size })
        }
        Some(_) | None => Ok(scanned),
    }
}

/// The length of the whole records of a segment, and what is wrong behind them.
fn scan_segment(
    file: &File,
    scanned: &mut Scanned,
    sealed: Option<Checkpoint>,
) -> Result<(u64, Option<FrameError>), OpenError> {
    let mut frames = FrameReader::new(BufReader::with_capacity(1 << 16, file));
    loop {
        let good = frames.offset();
        let index = scanned.frontier.size();
        match frames.next_frame() {
            Ok(None) => return Ok((good, None)),
            Ok(Some((header, _))) if header.index != index => {
                let what = format!("record {} stands in its place", header.index);
                return Err(OpenError::Damaged { index, what });
            }
            Ok(Some((header, payload))) => {
                let settlement = Settlement::of(payload)
                    .map_err(|error| OpenError::Damaged { index, what: error.to_string() })?;
                scanned.unsettled.note(index, settlement);
                scanned.latest = time_of(payload).unwrap_or(scanned.latest);
                scanned.frontier.append(header.leaf);
            }
            Err(FrameError::Read(error)) => return Err(error.into()),
            Err(error) => return Ok((good, Some(error))),
        }
        let size = scanned.frontier.size();
        if sealed.is_some_and(|sealed| sealed.size == size && sealed.root != scanned.frontier.root()) {
            return Err(OpenError::Rewritten { sealed: size });
        }
    }
}

/// Whether what is behind the last whole record can be a write that was cut off: no whole record follows.
fn is_torn(mut file: &File, good: u64, len: u64, index: u64) -> Result<bool, OpenError> {
    if len - good > TORN_BYTES_MAX {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(good))?;
    let mut rest = Vec::new();
    file.take(TORN_BYTES_MAX).read_to_end(&mut rest)?;
    Ok(!frame::any_frame_from(&rest, index))
}
