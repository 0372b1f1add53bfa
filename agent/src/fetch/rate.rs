//! How fast bytes are taken.

use std::time::{Duration, Instant};

use super::stop::Stop;

/// So much of the time may be left unused and made up for.
const UNUSED: Duration = Duration::from_secs(1);

/// Keeps an attempt at or below a rate.
#[derive(Debug)]
pub(crate) struct RateLimit {
    bytes_per_s: u64,
    begin: Instant,
    bytes: u64,
}

impl RateLimit {
    /// 0: as fast as it comes.
    pub(crate) fn new(kib_per_s: u64) -> Self {
        Self { bytes_per_s: kib_per_s * 1024, begin: Instant::now(), bytes: 0 }
    }

    /// The most that may be taken at once: what comes within a quarter of a second, so that the flow is even.
    pub(crate) fn at_once(&self, most: usize) -> usize {
        match self.bytes_per_s {
            0 => most,
            rate => usize::try_from(rate / 4).map_or(most, |bytes| bytes.clamp(1, most)),
        }
    }

    /// Waits until so many more bytes were not too many.
    pub(crate) fn taken(&mut self, bytes: usize, stop: &Stop) {
        if self.bytes_per_s > 0 {
            stop.sleep(self.wait(bytes, self.begin.elapsed()));
        }
    }

    /// How long to wait, so long after the beginning. What a link did not bring while it was down is not made up for.
    fn wait(&mut self, bytes: usize, elapsed: Duration) -> Duration {
        let elapsed = match elapsed.checked_sub(self.due()) {
            Some(idle) if idle > UNUSED => {
                (self.begin, self.bytes) = (self.begin + elapsed, 0);
                Duration::ZERO
            }
            _ => elapsed,
        };
        self.bytes += bytes as u64;
        self.due().saturating_sub(elapsed)
    }

    /// How long after the beginning the bytes so far are not too many.
    fn due(&self) -> Duration {
        let millis = u128::from(self.bytes) * 1000 / u128::from(self.bytes_per_s.max(1));
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_when_the_rate_allows_them() {
        let mut limit = RateLimit::new(10);
        assert_eq!(limit.at_once(65_536), 2560);
        limit.bytes = 30 * 1024;
        assert_eq!(limit.due(), Duration::from_secs(3));
        let free = RateLimit::new(0);
        assert_eq!(free.at_once(65_536), 65_536);
    }

    #[test]
    fn a_link_that_was_down_does_not_bring_at_once_what_it_did_not_bring_then() {
        let mut limit = RateLimit::new(10);
        let seconds = Duration::from_secs;
        assert_eq!(limit.wait(10 * 1024, Duration::ZERO), seconds(1));
        assert_eq!(limit.wait(10 * 1024, seconds(2)), Duration::ZERO, "a second is made up for");
        assert_eq!(limit.wait(20 * 1024, seconds(60)), seconds(2), "a minute is not");
        assert_eq!(limit.wait(10 * 1024, seconds(1)), seconds(2));
    }

    #[test]
    fn the_end_of_the_attempt_ends_the_wait() {
        let stop = Stop::default();
        stop.set();
        // More than a year's worth.
        let mut limit = RateLimit::new(1);
        limit.taken(usize::MAX / 4, &stop);
    }
}
