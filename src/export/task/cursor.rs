//! How far an exporter came, and when that is written down.

use std::time::Duration;

use testudo_bus::audit::Cursor;
use tokio::time::Instant;

use super::{Running, Work};

/// Cursors are synced to the disk that the log is on, so not more often than this: what a crash brings again is what
/// was sent in that time.
const CURSOR_EVERY: Duration = Duration::from_millis(100);

impl Running {
    /// Where the next start is to go on.
    pub(super) fn cursor(&self) -> Cursor {
        self.pump.front().map_or(self.position, |item| item.at)
    }

    /// When the cursor is to be written, if it moved: soon after a batch, and now and then while the log holds
    /// nothing for this exporter.
    pub(super) fn cursor_due(&self) -> Option<Instant> {
        if self.written == Some(self.cursor()) {
            return None;
        }
        let every = if self.has_sent { CURSOR_EVERY } else { self.settings.interval.max(CURSOR_EVERY) };
        Some(self.written_at.map_or_else(Instant::now, |at| at + every))
    }

    pub(super) async fn remember(&mut self) {
        if self.cursor_due().is_some_and(|due| due <= Instant::now()) {
            self.write_cursor().await;
        }
    }

    /// Makes the cursor durable.
    pub(super) async fn write_cursor(&mut self) {
        let cursor = self.cursor();
        if self.written == Some(cursor) {
            return;
        }
        (self.written_at, self.has_sent) = (Some(Instant::now()), false);
        let file = self.file.clone();
        let write = tokio::task::spawn_blocking(move || file.write(cursor)).await;
        match write.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(()) => {
                self.written = Some(cursor);
                self.worked(Work::Place, None);
            }
            // The old place stands; to go on is to send twice at worst.
            Err(error) => {
                let failure = format!("its place in the log cannot be written: {error}");
                self.worked(Work::Place, Some(failure));
            }
        }
    }
}
