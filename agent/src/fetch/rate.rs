//! How fast bytes are taken.

use std::time::{Duration, Instant};

use super::stop::Stop;

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
            self.bytes += bytes as u64;
            stop.sleep(self.due().saturating_sub(self.begin.elapsed()));
        }
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
    fn the_end_of_the_attempt_ends_the_wait() {
        let stop = Stop::default();
        stop.set();
        // More than a year's worth.
        let mut limit = RateLimit::new(1);
        limit.taken(usize::MAX / 4, &stop);
    }
}
