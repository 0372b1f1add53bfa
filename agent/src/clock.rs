//! The clocks of the gateway. Nothing else in the agent reads them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keros_machine::{ClockFit, Now, TimeJudge};
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

/// The judged time as the other tasks see it: the main loop keeps it, TLS reads it.
#[derive(Debug, Clone)]
pub(crate) struct SharedTime {
    clock: Clock,
    judge: Arc<Mutex<TimeJudge>>,
}

impl SharedTime {
    /// To begin with.
    pub(crate) fn new(clock: Clock, judge: TimeJudge) -> Self {
        Self { clock, judge: Arc::new(Mutex::new(judge)) }
    }

    /// Sets it.
    pub(crate) fn set(&self, judge: TimeJudge) {
        *self.judge.lock().unwrap_or_else(PoisonError::into_inner) = judge;
    }

    /// By which the clock is judged, and what it says.
    pub(crate) fn read(&self) -> (TimeJudge, Now) {
        (*self.judge.lock().unwrap_or_else(PoisonError::into_inner), self.clock.now())
    }

    /// The time by which certificates are judged in this attempt to connect. A clock that is very far ahead may be right all
    /// the same, when the gateway has lain on a shelf: then it is believed in every other attempt, since without a connection
    /// nobody could ever tell.
    pub(crate) fn for_certificates(&self, attempt: u64) -> UnixSeconds {
        let (judge, now) = self.read();
        if judge.fit(now) == ClockFit::FarAhead && attempt % 2 == 1 { now.unix_s } else { judge.judged(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_judged_by_the_clock_only_where_it_may_be_right() {
        assert!(parse("1793491200") == 1_793_491_200 && wall_clock() >= BUILT_AT_UNIX_S);
        let clock = Clock::new();
        let near = SharedTime::new(clock, TimeJudge::new(wall_clock() - 1000));
        assert!(
            [0, 1]
                .map(|attempt| near.for_certificates(attempt).abs_diff(wall_clock()))
                .iter()
                .all(|s| *s < 100)
        );
        // A clock that is below the floor is never believed; one that is far ahead is in every other attempt.
        near.set(TimeJudge::new(u64::from(u32::MAX)));
        assert!(
            [0, 1].map(|attempt| near.for_certificates(attempt)).iter().all(|s| *s >= u64::from(u32::MAX))
        );
        let shelf = SharedTime::new(clock, TimeJudge::new(1000));
        assert!(shelf.for_certificates(0) < 10_000);
        assert!(shelf.for_certificates(1).abs_diff(wall_clock()) < 100);
    }
}
