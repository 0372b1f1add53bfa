//! The end of a Magic Link's time, as people write it.

use std::time::{SystemTime, UNIX_EPOCH};

use keros_protocol::UnixSeconds;

use crate::cli::text::parse_duration_s;

const DAY_S: u64 = 86_400;

/// Reads a time from now on (`30d`), a date (`2026-12-31`: its end, UTC) or a moment (`2026-12-31T18:00:00Z`).
///
/// # Errors
/// When it is none of these, or over already.
pub(crate) fn parse_expiry(text: &str) -> Result<UnixSeconds, String> {
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    parse_at(text, now_unix_s)
}

fn parse_at(text: &str, now_unix_s: UnixSeconds) -> Result<UnixSeconds, String> {
    let end = match date_or_moment(text) {
        Some(end) => end,
        None => {
            let from_now_s = parse_duration_s(text)
                .map_err(|_| "expected a time like 30d, or a date like 2026-12-31 or 2026-12-31T18:00:00Z")?;
            now_unix_s + u64::from(from_now_s)
        }
    };
    if end <= now_unix_s { Err("that time is over already".to_owned()) } else { Ok(end) }
}

fn date_or_moment(text: &str) -> Option<UnixSeconds> {
    match text.split_once('T') {
        None => Some(start_of_day(text)? + DAY_S),
        Some((date, time)) => Some(start_of_day(date)? + second_of_day(time.strip_suffix('Z')?)?),
    }
}

fn second_of_day(text: &str) -> Option<u64> {
    let [hour, minute, second] = numbers(text, ':', [2, 2, 2])?;
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

/// The calendar is the proleptic Gregorian one (algorithm: days from civil), from 1970 on.
fn start_of_day(text: &str) -> Option<UnixSeconds> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(is_leap),
        _ => return None,
    };
    if year < 1970 || !(1..=days_of_month).contains(&day) {
        return None;
    }
    // The year begins in March, so that a leap day is its last.
    let year = year - u64::from(month <= 2);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + day_of_year;
    Some((year / 400 * 146_097 + day_of_era - 719_468) * DAY_S)
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut found = [0; N];
    for (slot, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *slot = is_number.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::utc;

    #[test]
    fn times_are_read_in_three_forms() {
        assert_eq!(parse_at("30d", 1000), Ok(1000 + 30 * DAY_S));
        assert_eq!(parse_at("2026-12-31", 1000).map(utc), Ok("2027-01-01T00:00:00Z".to_owned()));
        let text = "2028-02-29T18:01:02Z";
        assert_eq!(parse_at(text, 1000).map(utc).as_deref(), Ok(text));
    }

    #[test]
    fn every_day_is_the_one_that_the_calendar_names() {
        for day in 1..60_000 {
            let text = utc(day * DAY_S);
            assert_eq!(date_or_moment(&text), Some(day * DAY_S), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_to_come_is_refused() {
        for text in [
            "",
            "never",
            "2026-13-01",
            "2026-02-29",
            "2026-1-1",
            "2026-12-31T18:00:00",
            "2026-12-31T24:00:00Z",
            "0d",
            "1969-12-31",
            "2026-12-31 ",
            "+026-12-31",
        ] {
            let error = parse_at(text, 1000).unwrap_err();
            assert!(
                error.contains("like 30d, or a date like") || error.contains("over already"),
                "{text:?}: {error}"
            );
        }
        assert!(parse_at("1970-01-01", 2 * DAY_S).unwrap_err().contains("over already"));
    }
}
