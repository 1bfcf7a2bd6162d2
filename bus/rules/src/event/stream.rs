//! Whether a stream of verified events is whole and in order. The signature covers one event; a gap shows in their
//! places: `sequence` is `<record>-<place in it>`, and `recordevents` says how many a record has.
//!
//! For unfiltered streams: a filter leaves gaps on purpose.

use super::cloud::Extension;
use super::verify::Verified;

/// What is wrong with a stream at an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Break {
    /// Events are missing before it, or it comes too early.
    #[error("events are missing before record {record}, place {place}")]
    Gap {
        /// The record of the event that came.
        record: u64,
        /// Its place in it.
        place: u32,
    },
    /// It came before: a delivery that was repeated, or an old event.
    #[error("record {record}, place {place} came before")]
    Repeated {
        /// The record of the event that came.
        record: u64,
        /// Its place in it.
        place: u32,
    },
    /// It does not say where it stands.
    #[error("it does not say where in the log it stands")]
    Unplaced,
}

/// Follows a stream from its first event on.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamCheck {
    /// The place that comes next.
    next: Option<(u64, u32)>,
}

/// Where an event stands: record, place in it, events of the record.
fn place(event: &Verified) -> Option<(u64, u32, u32)> {
    let Some(Extension::Text(sequence)) = event.event().extension("sequence") else { return None };
    let Some(Extension::Integer(of)) = event.event().extension("recordevents") else { return None };
    let (record, place) = sequence.split_once('-')?;
    let (record, place, of) = (record.parse().ok()?, place.parse().ok()?, u32::try_from(*of).ok()?);
    (place < of).then_some((record, place, of))
}

impl StreamCheck {
    /// Takes the next event. A repeated one changes nothing: delivery is at least once.
    ///
    /// # Errors
    /// [`Break`]; after a gap the stream goes on from there.
    pub fn follow(&mut self, event: &Verified) -> Result<(), Break> {
        let (record, place, of) = place(event).ok_or(Break::Unplaced)?;
        let expected = self.next.unwrap_or((record, place));
        if (record, place) < expected {
            return Err(Break::Repeated { record, place });
        }
        self.next = Some(if place + 1 < of { (record, place + 1) } else { (record.saturating_add(1), 0) });
        if (record, place) == expected { Ok(()) } else { Err(Break::Gap { record, place }) }
    }
}
