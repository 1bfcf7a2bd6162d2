//! Times of events: RFC 3339, always UTC.

use testudo_wire::Timestamp;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time with its milliseconds; one past the year 9999 is written as its last second.
pub(super) fn written(at: Timestamp) -> String {
    let seconds = at.as_secs().min(LAST_SECOND);
    format!("{}.{:03}Z", zulu(whole(seconds)), at.as_millis() % 1000)
}

/// What is signed of a time: UTC, whole seconds. `None` for text that is no RFC 3339 time.
pub(super) fn signed(text: &str) -> Option<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.to_offset(UtcOffset::UTC);
    Some(format!("{}Z", zulu(at)))
}

fn whole(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn zulu(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
