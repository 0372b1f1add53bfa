//! What a person reads: tables, times, durations. Text that came from elsewhere is made harmless for terminals first.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use keros_protocol::text::{printable, printable_lines};
use keros_protocol::{BundleUnderWay, Outcome, Summary, UnixSeconds};

/// What remains of a job is shown up to here in a table; `update show` has all of it.
const REMAINS_CHARS: usize = 120;

/// Lines with columns as wide as their widest cell; the last column is not padded.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned()) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// At most so many characters, the last one `…` when something was cut off.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// How far a bundle is on its gateway, and what keeps it.
pub(crate) fn bundle(bundle: &BundleUnderWay) -> String {
    let mut text = match bundle.total_bytes {
        Some(total) => format!("{} of {total} bytes are there", bundle.have_bytes),
        None => "nothing is there yet".to_owned(),
    };
    if let Some(problem) = &bundle.problem {
        let _ = write!(text, "; the last attempt: {problem}");
    }
    text
}

/// An outcome in one line, with the counts of its tasks where it has some.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let mut text = outcome.to_string();
    match outcome {
        Outcome::Succeeded { summary, dry_run, .. } => {
            let _ = write!(text, ": {}", summary_text(summary));
            if *dry_run {
                text.push_str(" (dry run)");
            }
        }
        Outcome::Failed { message, .. } => {
            let _ = write!(text, ": {message}");
        }
        Outcome::Confirming { until_unix_s } => {
            if let Some(left_s) = until_unix_s.checked_sub(now_unix_s()).filter(|left_s| *left_s > 0) {
                let _ = write!(text, ": undone in {} unless it is confirmed", duration(left_s));
            }
        }
        Outcome::RolledBack { reason, complete: false, remains } if !remains.is_empty() => {
            text = format!(
                "{}: {reason} (partial: {})",
                outcome.name(),
                cut(&remains.join("; "), REMAINS_CHARS)
            );
        }
        _ => {}
    }
    printable(&text)
}

/// How many tasks, and how they ended.
pub(crate) fn summary_text(summary: &Summary) -> String {
    match summary.total() {
        0 => summary.to_string(),
        1 => format!("1 task ({summary})"),
        total => format!("{total} tasks ({summary})"),
    }
}

/// The center's and this program's clock are mostly the same one; a minute more or less does not matter here.
pub(crate) fn ago(then_unix_s: Option<UnixSeconds>) -> String {
    let Some(then_unix_s) = then_unix_s else { return "never".to_owned() };
    let now_unix_s = now_unix_s();
    if then_unix_s > now_unix_s {
        return format!("in {}", duration(then_unix_s - now_unix_s));
    }
    format!("{} ago", duration(now_unix_s - then_unix_s))
}

fn now_unix_s() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// Seconds in the greatest fitting unit.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Reads `90`, `90s`, `15m`, `2h`, `7d`.
///
/// # Errors
/// When it is none of these, or more seconds than fit into 32 bits.
pub(crate) fn parse_duration_s(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_s: u64 = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        unit => return Err(format!("unknown unit {unit:?}: use s, m, h or d")),
    };
    let number: u64 =
        digits.parse().map_err(|_| "expected a number with s, m, h or d, e.g. 15m".to_owned())?;
    number
        .checked_mul(unit_s)
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or_else(|| "that is too long".to_owned())
}

/// A time as RFC 3339 has it, UTC. The calendar is the proleptic Gregorian one (algorithm: days from civil, inverted).
pub(crate) fn utc(unix_s: UnixSeconds) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A time inside a sentence, as the pages show it: to the minute, UTC.
pub(crate) fn minute(unix_s: UnixSeconds) -> String {
    let whole = utc(unix_s);
    match whole.split_once('T') {
        Some((date, time)) => format!("{date} {} UTC", time.get(..5).unwrap_or(time)),
        None => whole,
    }
}

/// Reads a time of UTC, like `2026-11-27T02:00Z`, with or without seconds and the `Z`.
///
/// # Errors
/// When it is none.
pub(crate) fn parse_utc(text: &str) -> Result<UnixSeconds, String> {
    let wrong = || format!("{text:?} is no time: write one of UTC, like 2026-11-27T02:00Z");
    let bare = text.trim().trim_end_matches(['Z', 'z']);
    let (date, time) = bare.split_once(['T', 't', ' ']).ok_or_else(wrong)?;
    let numbers = |text: &str, between: char| -> Option<Vec<u16>> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split(between).map(|part| if is_number(part) { part.parse().ok() } else { None }).collect()
    };
    let (date, time) = (numbers(date, '-'), numbers(time, ':'));
    let (Some([year, month, day]), Some([hour, minute, rest @ ..])) = (date.as_deref(), time.as_deref())
    else {
        return Err(wrong());
    };
    let second = match rest {
        [] => 0,
        [second] => *second,
        _ => return Err(wrong()),
    };
    let small = |number: u16| u8::try_from(number).ok();
    let read = || {
        let month = time::Month::try_from(small(*month)?).ok()?;
        let date = time::Date::from_calendar_date((*year).into(), month, small(*day)?).ok()?;
        let at = date.with_hms(small(*hour)?, small(*minute)?, small(second)?).ok()?.assume_utc();
        u64::try_from(at.unix_timestamp()).ok()
    };
    read().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_utc_is_read_as_it_is_written() {
        for unix_s in [0, 951_782_400, 1_795_564_800, 4_102_444_799] {
            assert_eq!(parse_utc(&utc(unix_s)), Ok(unix_s));
        }
        assert_eq!(parse_utc("2026-11-25T00:01"), Ok(1_795_564_860));
        for text in [
            "",
            "2026-11-25",
            "2026-02-30T00:00Z",
            "2026-11-25T24:00",
            "2026-11-25T1:2:3:4",
            "1969-12-31T23:59Z",
            "x-y-zTa:b",
        ] {
            assert!(parse_utc(text).is_err(), "{text}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a".to_owned(), "long cell".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(table(["X", "Y"], &rows), "X    Y\na    long cell\nbcd\n");
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(parse_duration_s(text), Ok(seconds));
        }
        for text in ["", "h", "7w", "-1", "1.5h", "99999999999d"] {
            assert!(parse_duration_s(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_798_761_599), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_not_decided_yet_has_its_time_and_what_was_undone_says_what_remains() {
        let confirming = Outcome::Confirming { until_unix_s: now_unix_s() + 25 * 60 };
        assert!(outcome(&confirming).starts_with("confirming: undone in 2"), "{}", outcome(&confirming));
        assert_eq!(outcome(&Outcome::Confirming { until_unix_s: 5 }), "confirming", "its time is over");
        let rolled_back = |remains: &[&str]| Outcome::RolledBack {
            reason: "not confirmed".to_owned(),
            complete: remains.is_empty(),
            remains: remains.iter().map(|&text| text.to_owned()).collect(),
        };
        assert_eq!(outcome(&rolled_back(&[])), "rolled_back: not confirmed");
        assert_eq!(
            outcome(&rolled_back(&["task 2 (restart)", "task 3\u{1b}[2J"])),
            "rolled_back: not confirmed (partial: task 2 (restart); task 3\\u{1b}[2J)"
        );
    }

    #[test]
    fn a_bundle_on_its_way_tells_how_far_it_is_and_what_keeps_it() {
        let mut under_way = BundleUnderWay {
            command_id: "01920000-0000-7000-8000-000000000001"
                .parse()
                .map(keros_protocol::CommandId)
                .unwrap(),
            have_bytes: 5,
            total_bytes: Some(9),
            problem: None,
        };
        assert_eq!(bundle(&under_way), "5 of 9 bytes are there");
        under_way.total_bytes = None;
        under_way.problem = Some("no route".to_owned());
        assert_eq!(bundle(&under_way), "nothing is there yet; the last attempt: no route");
    }

    #[test]
    fn success_tells_its_tasks() {
        let summary = Summary { created: 2, executed: 1, skipped: 1, ..Summary::default() };
        assert_eq!(
            outcome(&Outcome::Succeeded { summary, dry_run: false, differences: None }),
            "succeeded: 4 tasks (2 created, 1 executed, 1 skipped)"
        );
    }
}
