//! Where an exporter's events come from: the log, record by record, from a place on.
//!
//! Blocks on files and signs, so it runs where that harms nobody.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use testudo_bus::audit::{Cursor, LogReader, ReadError};
use testudo_rules::event::{CloudEvent, EventKey, EventSource, events_of};

/// Records looked at in one go: a filter that passes nothing must not keep its thread.
const RECORDS_MAX: u64 = 4096;

/// One event, ready to be sent.
#[derive(Debug)]
pub(super) struct Item {
    /// Its own place in the log.
    pub(super) at: Cursor,
    /// The event, for those who look at its parts.
    pub(super) event: CloudEvent,
    /// It, signed unless it is flat, as one line of JSON.
    pub(super) line: String,
}

/// What a look at the log gave.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) items: Vec<Arc<Item>>,
    /// Events that could not be written down.
    pub(super) spoilt: usize,
}

/// How events are written down.
#[derive(Debug)]
pub(super) enum Written {
    /// As signed CloudEvents.
    Signed(Box<EventKey>),
    /// Flat, without a signature.
    Flat,
}

impl Written {
    fn line(&self, event: &CloudEvent) -> Option<String> {
        match self {
            Self::Signed(key) => event.clone().sign(key).and_then(|signed| signed.to_line()).ok(),
            Self::Flat => Some(event.flat().to_string()),
        }
    }
}

/// The events of a log, in order.
#[derive(Debug)]
pub(super) struct Source {
    reader: LogReader,
    source: EventSource,
    written: Written,
    filter: Vec<String>,
    /// What a record held beyond the room there was.
    pending: VecDeque<(Cursor, CloudEvent)>,
    next: Cursor,
}

impl Source {
    pub(super) fn new(
        dir: &Path,
        source: EventSource,
        written: Written,
        filter: Vec<String>,
        from: Cursor,
    ) -> Self {
        let reader = LogReader::new(dir, from.record);
        Self { reader, source, written, filter, pending: VecDeque::new(), next: from }
    }

    /// Everything before this place was taken, or is none of this exporter's.
    pub(super) const fn position(&self) -> Cursor {
        self.next
    }

    /// At most `room` events of records before `synced`.
    pub(super) fn take(&mut self, room: usize, synced: u64) -> Result<Taken, ReadError> {
        let mut taken = Taken::default();
        let last = self.next.record.saturating_add(RECORDS_MAX).min(synced);
        while taken.items.len() < room {
            if self.pending.is_empty() {
                match self.read(last) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What was taken counts as taken: it goes out, and the next look meets the error again.
                    Err(_) if !taken.items.is_empty() || taken.spoilt > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            while taken.items.len() < room
                && let Some((at, event)) = self.pending.pop_front()
            {
                match self.written.line(&event) {
                    Some(line) => taken.items.push(Arc::new(Item { at, event, line })),
                    None => taken.spoilt += 1,
                }
            }
            self.next = match self.pending.front() {
                Some((at, _)) => *at,
                None => Cursor { record: self.reader.cursor(), place: 0 },
            };
        }
        Ok(taken)
    }

    /// The events of the next record; `false` when there is none before `last`.
    fn read(&mut self, last: u64) -> Result<bool, ReadError> {
        if self.reader.cursor() >= last {
            return Ok(false);
        }
        let Some((index, record)) = self.reader.next_record()? else {
            // It is durable: it was there, and is there no more.
            return Err(ReadError::Missing { index: self.reader.cursor() });
        };
        let from = if index == self.next.record { self.next.place } else { 0 };
        let events = events_of(&self.source, index, &record).into_iter().zip(0..);
        let wanted = events.filter(|((kind, _), place)| {
            *place >= from && (self.filter.is_empty() || self.filter.iter().any(|word| kind.is(word)))
        });
        let place = |((_, event), place)| (Cursor { record: index, place }, event);
        self.pending.extend(wanted.map(place));
        Ok(true)
    }
}
