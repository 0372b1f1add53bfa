//! Times and sizes as people read them. Times are in UTC: operators and gateways are in many places.

use keros_protocol::UnixSeconds;
use time::OffsetDateTime;

/// A time, for `<time datetime="{{ at.machine }}">{{ at.text }}</time>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    /// RFC 3339.
    pub(crate) machine: String,
    /// `2026-11-26 02:05 UTC`.
    pub(crate) text: String,
}

impl At {
    /// The same to the second, where several things happen in a minute.
    pub(crate) fn to_second(at: UnixSeconds) -> Self {
        let Self { machine, text } = Self::new(at);
        match machine.split_once('T') {
            Some((date, time)) => {
                Self { text: format!("{date} {} UTC", time.trim_end_matches('Z')), machine }
            }
            None => Self { machine, text },
        }
    }

    /// A time of the center's clock.
    pub(crate) fn new(at: UnixSeconds) -> Self {
        let time = i64::try_from(at).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let Some(time) = time else {
            return Self { machine: String::new(), text: "beyond the calendar".to_owned() };
        };
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        let date = format!("{year:04}-{:02}-{day:02}", u8::from(month));
        Self {
            machine: format!("{date}T{hour:02}:{minute:02}:{second:02}Z"),
            text: format!("{date} {hour:02}:{minute:02} UTC"),
        }
    }
}

/// A number of bytes, in the unit that fits it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    let mut shown = None;
    let mut unit_bytes: u64 = 1;
    for unit in UNITS {
        unit_bytes *= 1024;
        if bytes >= unit_bytes {
            shown = Some((unit, unit_bytes));
        }
    }
    let Some((unit, unit_bytes)) = shown else { return format!("{bytes} bytes") };
    format!("{}.{} {unit}", bytes / unit_bytes, bytes % unit_bytes * 10 / unit_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc() {
        for (at, machine, text) in [
            (0, "1970-01-01T00:00:00Z", "1970-01-01 00:00 UTC"),
            (1_795_658_705, "2026-11-26T02:05:05Z", "2026-11-26 02:05 UTC"),
            (u64::MAX, "", "beyond the calendar"),
        ] {
            assert_eq!(At::new(at), At { machine: machine.to_owned(), text: text.to_owned() });
        }
        assert_eq!(At::to_second(1_795_658_705).text, "2026-11-26 02:05:05 UTC");
        assert_eq!(At::to_second(u64::MAX), At::new(u64::MAX));
    }

    #[test]
    fn a_size_has_the_unit_that_fits_it() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (20 << 20, "20.0 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
