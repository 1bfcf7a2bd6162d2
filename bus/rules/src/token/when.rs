//! Moments as people write them: RFC 3339, UTC, whole seconds.

use testudo_wire::Timestamp;

const DAY: u64 = 86_400;
/// Days from 0000-03-01, where the calculation counts from, to 1970-01-01.
const TO_EPOCH: u64 = 719_468;
/// Days in 400 years.
const ERA: u64 = 146_097;

/// RFC 3339 in UTC. The date is Howard Hinnant's `civil_from_days` (public domain), for days since 1970
/// that are not negative.
#[must_use]
pub fn utc(time: Timestamp) -> String {
    let seconds = time.as_secs();
    let (days, second) = (seconds / DAY + TO_EPOCH, seconds % DAY);
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The moment of a text like `2030-01-31T08:00:00Z`: the one form that [`utc`] writes, years 1970 to 9999.
/// `None` for everything else, days that no calendar has included.
#[must_use]
pub fn at_of_text(text: &str) -> Option<Timestamp> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let [year, month, day] = [part(0, 4)?, part(5, 7)?, part(8, 10)?];
    let second = part(11, 13)? * 3_600 + part(14, 16)? * 60 + part(17, 19)?;
    let (shifted_year, shifted_month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * ERA + day_of_era).checked_sub(TO_EPOCH)?;
    let time = Timestamp::from_millis((days * DAY + second) * 1000);
    // Whatever is not a date, or is one in another form, would be written otherwise.
    (utc(time) == text).then_some(time)
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
}
