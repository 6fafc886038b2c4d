//! The time now, times as text, days, and calendar months. All of it in UTC.

use ::time::{Date, Month as MonthName, OffsetDateTime, format_description::well_known::Rfc3339};

/// Seconds of a day; Unix time knows no leap seconds.
pub(crate) const DAY_SECONDS: i64 = 86_400;
/// 1970-01-01 as a Julian day.
const UNIX_EPOCH_JULIAN_DAY: i64 = 2_440_588;

/// The time, in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// Unix seconds as RFC 3339.
pub(crate) fn rfc3339(unix_seconds: i64) -> String {
    date_time(unix_seconds).format(&Rfc3339).unwrap_or_default()
}

/// The day that a time in Unix seconds is in, in days since 1970-01-01.
pub(crate) fn day_of(unix_seconds: i64) -> i64 {
    unix_seconds.div_euclid(DAY_SECONDS)
}

/// A day, in days since 1970-01-01, as RFC 3339 writes a date.
pub(crate) fn date(day: i64) -> String {
    date_time(day.saturating_mul(DAY_SECONDS))
        .date()
        .to_string()
}

/// A calendar month, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Month {
    pub(crate) first_day: i64,
    /// The first day of the next month.
    pub(crate) end_day: i64,
}

impl Month {
    /// The month that a time in Unix seconds is in.
    pub(crate) fn of(unix_seconds: i64) -> Self {
        let today = date_time(unix_seconds).date();
        let (year, month) = (today.year(), today.month());
        let next_year = year + i32::from(month == MonthName::December);
        Self {
            first_day: first_day(year, month),
            end_day: first_day(next_year, month.next()),
        }
    }

    /// When the month is over, in Unix seconds.
    pub(crate) fn end(self) -> i64 {
        self.end_day * DAY_SECONDS
    }
}

/// A time that is out of the calendar's range becomes 1970-01-01.
fn date_time(unix_seconds: i64) -> OffsetDateTime {
    let in_range = OffsetDateTime::from_unix_timestamp(unix_seconds);
    in_range.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn first_day(year: i32, month: MonthName) -> i64 {
    let first = Date::from_calendar_date(year, month, 1).unwrap_or(Date::MIN);
    i64::from(first.to_julian_day()) - UNIX_EPOCH_JULIAN_DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let seconds = |text: &str| {
            let time = OffsetDateTime::parse(text, &Rfc3339).unwrap();
            time.unix_timestamp()
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
            assert_eq!(rfc3339(seconds(within)), within);
        }
    }
}
