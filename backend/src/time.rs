//! Times as text, days, and calendar months.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds of a day; Unix time knows no leap seconds.
pub(crate) const DAY_SECONDS: i64 = 86_400;

/// The time, in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}

/// Unix seconds as RFC 3339, in UTC.
pub(crate) fn rfc3339(unix_seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// The day that a time in Unix seconds is in, in days since 1970-01-01, UTC.
pub(crate) fn day_of(unix_seconds: i64) -> i64 {
    unix_seconds.div_euclid(DAY_SECONDS)
}

/// A day, in days since 1970-01-01, as RFC 3339 writes a date.
pub(crate) fn date(day: i64) -> String {
    let mut text = rfc3339(day.saturating_mul(DAY_SECONDS));
    text.truncate("1970-01-01".len());
    text
}

/// A calendar month, UTC, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Month {
    pub(crate) first_day: i64,
    /// The first day of the next month.
    pub(crate) end_day: i64,
}

impl Month {
    /// The month that a time in Unix seconds is in.
    pub(crate) fn of(unix_seconds: i64) -> Self {
        let text = rfc3339(unix_seconds);
        let number = |at: std::ops::Range<usize>| text.get(at).and_then(|text| text.parse().ok());
        let (year, month): (i64, i64) = (number(0..4).unwrap_or(1970), number(5..7).unwrap_or(1));
        let (next_year, next_month) = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        Self {
            first_day: first_day(year, month),
            end_day: first_day(next_year, next_month),
        }
    }

    /// When the month is over, in Unix seconds.
    pub(crate) fn end(self) -> i64 {
        self.end_day * DAY_SECONDS
    }
}

/// The first day of a month of the Gregorian calendar, in days since 1970-01-01.
fn first_day(year: i64, month: i64) -> i64 {
    // A year is counted from March, so that the leap day is its last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 153 days in five months from March on.
    let days_before_month = (153 * month + 2) / 5;
    // 719468 days from 0000-03-01 to 1970-01-01.
    365 * year + leap_days + days_before_month - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let seconds = |text: &str| {
            let time = humantime::parse_rfc3339(text).unwrap();
            i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
        };
        for (within, first, end) in [
            ("1970-01-01T00:00:00Z", "1970-01-01", "1970-02-01"),
            ("2024-02-29T12:00:00Z", "2024-02-01", "2024-03-01"),
            ("2026-12-31T23:59:59Z", "2026-12-01", "2027-01-01"),
            ("2100-02-28T00:00:00Z", "2100-02-01", "2100-03-01"),
        ] {
            let month = Month::of(seconds(within));
            let midnight = |day: &str| seconds(&format!("{day}T00:00:00Z"));
            assert_eq!(month.first_day * DAY_SECONDS, midnight(first));
            assert_eq!(month.end(), midnight(end));
            assert_eq!(date(month.first_day), first);
            assert_eq!(day_of(month.end() - 1) + 1, month.end_day);
        }
    }
}
