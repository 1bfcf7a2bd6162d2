//! A record's time for people: RFC 3339 in UTC.

use testudo_wire::Timestamp;

/// Days from the Unix epoch to 1 March of year 0, from which leap days come last in their year.
const EPOCH_DAYS: u64 = 719_468;
/// Days of four hundred years.
const ERA_DAYS: u64 = 146_097;

/// Such as `2026-11-21T09:30:00.125Z`.
#[must_use]
pub fn when(at: Timestamp) -> String {
    let ms = at.as_millis();
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let shifted = days + EPOCH_DAYS;
    let (era, day) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // March is 0.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
    let (second, ms) = (ms_of_day / 1000 % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(when(Timestamp::from_millis(ms)), text);
        }
    }
}
