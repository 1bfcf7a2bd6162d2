//! What waits while the log cannot be written: records of what has happened already, and how many messages were
//! refused because no record could be written of them. Nothing is lost from the account, whatever the disk does.

use std::collections::VecDeque;
use std::time::Duration;

use testudo_rules::audit::{Event, NodeEvent, Record};
use testudo_wire::{RegistrySequence, Timestamp};
use tokio::time::Instant;

/// Between two tries of a log that cannot be written.
pub(super) const RETRY: Duration = Duration::from_millis(250);
/// Records that may wait, outcomes not counted: those are bounded by what is under way.
const RECORDS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: VecDeque<Record>,
    /// Of them, those that count against the bound.
    bounded: usize,
    /// Messages whose verdicts could not be written.
    pub(super) refused: u64,
    /// Events for which there was no room here.
    lost: u64,
    /// Bytes of the largest record that found no room.
    wanted: usize,
    /// When the log was last tried.
    tried: Option<Instant>,
    /// The clock and the registry of whoever wrote last.
    last: Option<(Timestamp, RegistrySequence, Instant)>,
}

impl Backlog {
    /// Somebody writes: what time it is.
    pub(super) fn seen(&mut self, (at, registry): (Timestamp, RegistrySequence)) {
        self.last = Some((at, registry, Instant::now()));
    }

    /// The log was tried in vain, with a record of so many bytes.
    pub(super) fn failed(&mut self, bytes: usize) {
        self.wanted = self.wanted.max(bytes);
        self.tried = Some(Instant::now());
    }

    /// Room for so many bytes is needed: where a small record still fits, the next large one does not.
    pub(super) const fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether it is time to try the log again: not for every message of a flood.
    pub(super) fn is_due(&self) -> bool {
        self.tried.is_none_or(|tried| tried.elapsed() >= RETRY)
    }

    const fn is_bounded(record: &Record) -> bool {
        !matches!(record.event, Event::Outcomes(_))
    }

    pub(super) fn push(&mut self, record: Record) {
        let is_bounded = Self::is_bounded(&record);
        if is_bounded && self.bounded == RECORDS_MAX {
            return self.lose();
        }
        self.bounded += usize::from(is_bounded);
        self.records.push_back(record);
    }

    /// One event that will not be on the log.
    pub(super) const fn lose(&mut self) {
        self.lost += 1;
    }

    pub(super) fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bounded -= usize::from(Self::is_bounded(&record));
        Some(record)
    }

    /// The one that was popped could not be written after all.
    pub(super) fn push_back_in(&mut self, record: Record) {
        self.bounded += usize::from(Self::is_bounded(&record));
        self.records.push_front(record);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record that the log could be written again, of now.
    pub(super) fn resumed(&self) -> Option<Record> {
        let (at, registry, then) = self.last?;
        let event = NodeEvent::Resumed { refused: self.refused, lost: self.lost };
        Some(Record { at: at.after(then.elapsed()), registry, event: event.into() })
    }

    /// That record was written.
    pub(super) fn is_told(&mut self) {
        (self.refused, self.lost, self.wanted, self.tried) = (0, 0, 0, None);
    }
}
