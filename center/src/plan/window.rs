//! A maintenance window: a time of the day, on some days of the week, at a fixed distance from UTC.

use std::fmt;
use std::str::FromStr;

use keros_protocol::UnixSeconds;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DAY_S: i64 = 86_400;
const DAY_MIN: u16 = 1440;

/// Clocks differ from UTC by 14 hours at most.
const MAX_OFFSET_MIN: i16 = 14 * 60;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const ALL_DAYS: u8 = 0b111_1111;

/// A window. As text `mon-fri 22:00-04:00+01:00`: days on which it begins (every day when none is named), from, until (the next day
/// when that is not later), distance from UTC (UTC when none is named, or `Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// A bit for each day, Monday first.
    days: u8,
    /// Minute of the day.
    from_min: u16,
    /// Its length, 1 to a whole day.
    length_min: u16,
    /// Local time is UTC and this.
    offset_min: i16,
}

impl Window {
    /// When the window that is open at `now` closes; `None`: it is closed.
    pub(crate) fn open_until(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        let local = self.local(now)?;
        let today = local.div_euclid(DAY_S);
        // One that began yesterday may be open still.
        let ends = [today - 1, today].into_iter().filter_map(|day| {
            let (begin, end) = self.of_day(day)?;
            (begin..end).contains(&local).then_some(end)
        });
        ends.max().and_then(|end| self.global(end))
    }

    /// When it opens next: `now` while it is open.
    pub(crate) fn next_opening(&self, now: UnixSeconds) -> UnixSeconds {
        if self.open_until(now).is_some() {
            return now;
        }
        let Some(local) = self.local(now) else { return now };
        let today = local.div_euclid(DAY_S);
        (today..=today + 7)
            .filter_map(|day| self.of_day(day))
            .find(|(begin, _)| *begin >= local)
            .and_then(|(begin, _)| self.global(begin))
            .unwrap_or(now)
    }

    /// Begin and end of the window of a day (counted from 1970), in local seconds; `None`: there is none on that day.
    fn of_day(&self, day: i64) -> Option<(i64, i64)> {
        // 1970 began on a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        let begin = day * DAY_S + i64::from(self.from_min) * 60;
        (self.days >> weekday & 1 == 1).then_some((begin, begin + i64::from(self.length_min) * 60))
    }

    fn local(&self, at: UnixSeconds) -> Option<i64> {
        i64::try_from(at).ok()?.checked_add(i64::from(self.offset_min) * 60).filter(|at| *at < i64::MAX / 2)
    }

    fn global(&self, local: i64) -> Option<UnixSeconds> {
        u64::try_from(local - i64::from(self.offset_min) * 60).ok()
    }
}

/// Why a text names no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no window: write [DAYS ]HH:MM-HH:MM[+HH:MM], like `22:00-04:00`, `mon-fri 22:00-04:00+01:00` or `sat,sun 00:00-24:00Z`"
)]
pub(crate) struct NoWindow(String);

impl FromStr for Window {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        parse(text).ok_or_else(|| NoWindow(keros_protocol::limits::shorten(text, 64)))
    }
}

fn parse(text: &str) -> Option<Window> {
    let text = text.trim();
    let (days, times) = match text.split_once(' ') {
        Some((days, times)) => (parse_days(days)?, times.trim_start()),
        None => (ALL_DAYS, text),
    };
    let (times, offset_min) = split_offset(times)?;
    let (from, until) = times.split_once('-')?;
    let (from_min, until_min) = (minute(from)?, minute(until)?);
    if from_min == DAY_MIN {
        return None;
    }
    // 22:00-22:00 could be a day or nothing: it is refused, 00:00-24:00 is a day.
    let length_min = match until_min.checked_sub(from_min) {
        Some(0) => return None,
        Some(length) => length,
        None => until_min + DAY_MIN - from_min,
    };
    Some(Window { days, from_min, length_min, offset_min })
}

/// `mon,wed-fri` as bits.
fn parse_days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| name.eq_ignore_ascii_case(day));
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        bits |= 1 << at;
        // `sat-mon` goes over the end of the week.
        while at != last {
            at = (at + 1) % 7;
            bits |= 1 << at;
        }
    }
    Some(bits)
}

/// Takes `Z`, `+01:00` or `-03:30` from the end.
fn split_offset(text: &str) -> Option<(&str, i16)> {
    if let Some(text) = text.strip_suffix(['Z', 'z']) {
        return Some((text, 0));
    }
    // `22:00-04:00` ends like an offset: only what stands after two times is one.
    let Some((times, offset)) = text.split_at_checked("22:00-04:00".len()) else { return Some((text, 0)) };
    let sign = match offset.chars().next() {
        None => return Some((text, 0)),
        Some('+') => 1,
        Some('-') => -1,
        Some(_) => return None,
    };
    let minutes = i16::try_from(minute(&offset[1..])?).ok()?;
    (minutes <= MAX_OFFSET_MIN).then_some((times, sign * minutes))
}

/// `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MIN).then_some(minute)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != ALL_DAYS {
            let named = DAYS.iter().enumerate().filter(|(at, _)| self.days >> at & 1 == 1);
            let named: Vec<&str> = named.map(|(_, day)| *day).collect();
            write!(f, "{} ", named.join(","))?;
        }
        let until_min = self.from_min + self.length_min;
        let until_min = if until_min > DAY_MIN { until_min - DAY_MIN } else { until_min };
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{}", clock(self.from_min), clock(until_min))?;
        let offset = clock(self.offset_min.unsigned_abs());
        match self.offset_min {
            0 => f.write_str("Z"),
            1.. => write!(f, "+{offset}"),
            _ => write!(f, "-{offset}"),
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25T00:00:00Z, a Wednesday.
    const WEDNESDAY: u64 = 1_795_564_800;
    const HOUR: u64 = 3600;

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_open_from_its_begin_to_just_before_its_end() {
        let (day, night) = (WEDNESDAY, "22:00-04:00");
        for (text, at, until) in [
            ("08:00-10:00", day + 8 * HOUR, Some(day + 10 * HOUR)),
            ("08:00-10:00", day + 8 * HOUR - 1, None),
            ("08:00-10:00", day + 10 * HOUR - 1, Some(day + 10 * HOUR)),
            ("08:00-10:00", day + 10 * HOUR, None),
            (night, day + 3 * HOUR, Some(day + 4 * HOUR)),
            (night, day + 4 * HOUR, None),
            (night, day + 23 * HOUR, Some(day + 28 * HOUR)),
            // Local time is an hour ahead: 22:00 there is 21:00 UTC.
            ("22:00-04:00+01:00", day + 21 * HOUR, Some(day + 27 * HOUR)),
            ("22:00-04:00-03:30", day + 21 * HOUR, None),
            ("22:00-04:00-03:30", day + 25 * HOUR + HOUR / 2, Some(day + 31 * HOUR + HOUR / 2)),
            // The day is that on which it begins.
            ("wed 22:00-04:00", day + 3 * HOUR, None),
            ("tue 22:00-04:00", day + 3 * HOUR, Some(day + 4 * HOUR)),
            ("wed 22:00-04:00", day + 27 * HOUR, Some(day + 28 * HOUR)),
            ("thu 00:00-02:00+02:00", day + 22 * HOUR, Some(day + 24 * HOUR)),
            ("00:00-24:00", day, Some(day + 24 * HOUR)),
        ] {
            assert_eq!(window(text).open_until(at), until, "{text} at {}", at - day);
        }
    }

    #[test]
    fn the_next_opening_is_found_within_a_week() {
        let day = WEDNESDAY;
        for (text, at, next) in [
            ("08:00-10:00", day, day + 8 * HOUR),
            ("08:00-10:00", day + 9 * HOUR, day + 9 * HOUR),
            ("08:00-10:00", day + 10 * HOUR, day + 32 * HOUR),
            ("wed 08:00-10:00", day + 10 * HOUR, day + (7 * 24 + 8) * HOUR),
            ("fri-sun 23:30-00:30-01:00", day, day + (48 + 24) * HOUR + HOUR / 2),
        ] {
            assert_eq!(window(text).next_opening(at), next, "{text}");
        }
    }

    #[test]
    fn whenever_it_opens_next_it_is_open_then_and_closed_all_the_time_before() {
        for text in ["08:00-10:00", "sat,sun 22:00-04:00+05:30", "mon 00:00-00:01-14:00", "00:00-24:00"] {
            let window = window(text);
            for step in 0..500 {
                let at = WEDNESDAY + step * 1867;
                let next = window.next_opening(at);
                assert!(window.open_until(next).is_some(), "{text} at {at}");
                for before in (at..next).step_by(1801) {
                    assert_eq!(window.open_until(before), None, "{text} at {before}");
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (text, shown) in [
            ("22:00-04:00", "22:00-04:00Z"),
            ("Mon-Fri 22:00-04:00+01:00", "mon,tue,wed,thu,fri 22:00-04:00+01:00"),
            ("sat-mon 00:00-24:00z", "mon,sat,sun 00:00-24:00Z"),
            ("mon-sun 01:00-02:00-03:30", "01:00-02:00-03:30"),
            ("20:00-00:00", "20:00-24:00Z"),
        ] {
            let read = window(text);
            assert_eq!((read.to_string().as_str(), window(shown)), (shown, read));
        }
    }

    #[test]
    fn what_is_no_window_is_refused_with_an_example() {
        for text in [
            "",
            "22:00",
            "22:00-22:00",
            "24:00-01:00",
            "25:00-01:00",
            "22:60-23:00",
            "2:00-04:00",
            "xyz 22:00-04:00",
            "mon- 22:00-04:00",
            "22:00-04:00+15:00",
            "22:00-04:00*01:00",
            "22:00-04:00+1",
            "22:00-04:00é",
            "+2:00-04:00",
        ] {
            let error = text.parse::<Window>().unwrap_err();
            assert!(error.to_string().contains("mon-fri 22:00-04:00+01:00"), "{text}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_break_it() {
        let window = window("sun 23:59-23:58-14:00");
        for at in [0, 1, u64::MAX, i64::MAX as u64] {
            assert!(window.next_opening(at) >= at);
            window.open_until(at);
        }
    }
}
