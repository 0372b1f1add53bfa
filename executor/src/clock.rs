//! The machine's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keros_protocol::UnixSeconds;
use nix::time::{ClockId, clock_gettime};

/// It is certainly later than this: the time of the build, when the builder states it in `SOURCE_DATE_EPOCH`
/// (reproducible-builds.org), else 2026-11-01, before which there was no such program.
pub(crate) const BUILT_AT_UNIX_S: UnixSeconds = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => parse_decimal(text),
    None => 1_793_491_200,
};

/// The clock, but never before the program existed: a gateway has no clock battery, and after a power cut it may be 1970.
pub(crate) fn now_unix_s() -> UnixSeconds {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    clock.max(BUILT_AT_UNIX_S)
}

/// Milliseconds since the boot, also while suspended.
pub(crate) fn boottime_ms() -> u64 {
    // Every kernel since 2.6.39 has this clock.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[allow(clippy::panic, reason = "it stops the build, never the program")]
const fn parse_decimal(text: &str) -> u64 {
    match u64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("SOURCE_DATE_EPOCH must be a number of seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_before_the_program_existed() {
        assert!(now_unix_s() >= 1_793_491_200);
        assert!(boottime_ms() > 0);
        assert_eq!(parse_decimal("1767225600"), 1_767_225_600);
    }
}
