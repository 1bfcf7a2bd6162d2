//! Moments as people and other programs write them: RFC 3339, always UTC.
//!
//! Knows no clock. RFC 3339 has four digits for a year: what lies past 9999 is written as its last second.

use testudo_wire::Timestamp;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// To whole seconds, such as `2026-11-21T09:30:00Z`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    format!("{}Z", zulu(whole(at)))
}

/// With its milliseconds, such as `2026-11-21T09:30:00.125Z`.
#[must_use]
pub fn utc_millis(at: Timestamp) -> String {
    format!("{}.{:03}Z", zulu(whole(at)), at.as_millis() % 1000)
}

/// The moment of a text like `2030-01-31T08:00:00Z`: the one form that [`utc`] writes, years 1970 to 9999.
/// `None` for everything else, days that no calendar has included.
#[must_use]
pub fn at_of_text(text: &str) -> Option<Timestamp> {
    let seconds = u64::try_from(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp()).ok()?;
    let at = Timestamp::from_millis(seconds * 1000);
    // RFC 3339 has other forms, which would be written otherwise.
    (utc(at) == text).then_some(at)
}

/// What is signed of an event's time: UTC, whole seconds. `None` for text that is no RFC 3339 time.
pub(crate) fn signed(text: &str) -> Option<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.to_offset(UtcOffset::UTC);
    Some(format!("{}Z", zulu(at)))
}

fn whole(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.as_secs().min(LAST_SECOND)).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn zulu(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(Timestamp::from_millis(seconds * 1000)), text);
            assert_eq!(at_of_text(text), Some(Timestamp::from_millis(seconds * 1000)));
        }
        assert!(!utc(Timestamp::from_millis(u64::MAX)).is_empty());
    }

    #[test]
    fn only_the_one_form_of_a_real_day_is_a_moment() {
        for text in [
            "",
            "now",
            "2030-01-31",
            "2030-02-30T00:00:00Z",
            "2030-00-10T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-01-00T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2030-01-31T24:00:00Z",
            "2030-01-31T08:60:00Z",
            "2030-01-31T08:00:00",
            "2030-01-31T08:00:00z",
            "2030-01-31 08:00:00Z",
            "2030-01-31T08:00:00.5Z",
            "2030-01-31T08:00:00+00:00",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "+203-01-31T08:00:00Z",
            "２０３０-01-31T08:00:00Z",
        ] {
            assert_eq!(at_of_text(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_679_315_147_000, "2023-03-20T12:25:47.000Z"),
            (1_704_067_199_001, "2023-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc_millis(Timestamp::from_millis(ms)), text);
        }
    }
}
