//! Times for a person: UTC, and how far from now. A gateway's own time zone is of no use to somebody at another place.

use std::time::{SystemTime, UNIX_EPOCH};

use keros_protocol::UnixSeconds;

/// The clock.
pub(super) fn now_unix_s() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `2026-11-23 23:19:52 UTC`.
pub(super) fn utc(unix_s: UnixSeconds) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `2026-11-23 23:19:52 UTC (5 min ago)`.
pub(super) fn utc_and_distance(unix_s: UnixSeconds, now_unix_s: UnixSeconds) -> String {
    format!("{} ({})", utc(unix_s), distance(unix_s, now_unix_s))
}

/// `5 min ago`, `in 2 h 10 min`, `now`.
pub(super) fn distance(unix_s: UnixSeconds, now_unix_s: UnixSeconds) -> String {
    match unix_s.cmp(&now_unix_s) {
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Less => format!("{} ago", duration(now_unix_s - unix_s)),
        std::cmp::Ordering::Greater => format!("in {}", duration(unix_s - now_unix_s)),
    }
}

/// Two units at most: `45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Counted in years that begin in
/// March, so that the leap day is the last of its year and month lengths follow 153 days in five months.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    // Far beyond any clock, and small enough that nothing below overflows.
    let days = days.min(3_000_000_000) + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // date -u -d @N '+%F %T UTC'
        for (unix_s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_795_475_992, "2026-11-23 23:19:52 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix_s), text);
        }
        assert!(utc(u64::MAX).ends_with("UTC"), "no overflow");
    }

    #[test]
    fn distances_have_two_units_at_most() {
        for (unix_s, text) in [
            (1_000_000, "now"),
            (999_955, "45 s ago"),
            (1_000_059, "in 59 s"),
            (999_280, "12 min ago"),
            (1_011_100, "in 3 h 05 min"),
            (812_800, "2 d 4 h ago"),
        ] {
            assert_eq!(distance(unix_s, 1_000_000), text);
        }
    }
}
