//! The clocks of the gateway. Nothing else in the agent reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keros_machine::Now;
use keros_protocol::UnixSeconds;

/// It was not built before this: 2026-11-01T00:00:00Z, or the time stamp of a reproducible build.
pub(crate) const BUILT_AT_UNIX_S: UnixSeconds = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => parse(text),
    None => 1_793_491_200,
};

const fn parse(text: &str) -> u64 {
    let digits = text.as_bytes();
    let (mut value, mut index) = (0, 0);
    while index < digits.len() {
        assert!(digits[index].is_ascii_digit(), "SOURCE_DATE_EPOCH must be a number of seconds");
        value = value * 10 + (digits[index] - b'0') as u64;
        index += 1;
    }
    value
}

/// Both clocks; the monotonic one begins with the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    begin: Instant,
}

impl Clock {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now() }
    }

    /// What both say now.
    pub(crate) fn now(self) -> Now {
        let monotonic_ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { unix_s: wall_clock(), monotonic_ms }
    }

    /// The moment at which the monotonic clock says this.
    pub(crate) fn at(self, monotonic_ms: u64) -> Instant {
        // Far beyond any deadline of ours, and never an overflow.
        self.begin + Duration::from_millis(monotonic_ms.min(u64::from(u32::MAX) * 1000))
    }
}

/// Seconds since 1970 by the wall clock; 0 for a clock before that.
pub(crate) fn wall_clock() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The time floor as the other tasks see it: the main loop raises it, TLS reads it.
#[derive(Debug, Clone)]
pub(crate) struct SharedFloor(Arc<AtomicU64>);

impl SharedFloor {
    /// A floor to begin with.
    pub(crate) fn new(floor_unix_s: UnixSeconds) -> Self {
        Self(Arc::new(AtomicU64::new(floor_unix_s)))
    }

    /// Sets it.
    pub(crate) fn set(&self, floor_unix_s: UnixSeconds) {
        self.0.store(floor_unix_s, Ordering::Relaxed);
    }

    /// The best guess of the time: the clock, but never below the floor.
    pub(crate) fn judged_time(&self) -> UnixSeconds {
        wall_clock().max(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_never_judged_to_be_before_the_floor() {
        assert!(parse("1793491200") == 1_793_491_200 && wall_clock() >= BUILT_AT_UNIX_S);
        let floor = SharedFloor::new(0);
        assert!(floor.judged_time() >= BUILT_AT_UNIX_S);
        floor.set(u64::from(u32::MAX));
        assert_eq!(floor.judged_time(), u64::from(u32::MAX));
    }
}
