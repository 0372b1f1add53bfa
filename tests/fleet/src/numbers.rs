//! What is counted while a fleet runs, and how long answers took.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::gateway::Answered;

/// Parts of each power of two: a value is known to 1/32, 3 %.
const PARTS: u64 = 32;
/// From 1 µs to an hour.
const BUCKETS: usize = 32 * PARTS as usize;

/// How often which duration was seen.
#[derive(Debug)]
struct Histogram([AtomicU64; BUCKETS]);

/// Counters of a fleet. They only grow, but for `connected`.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Connections at this moment.
    pub(crate) connected: AtomicU64,
    /// Connections that were made.
    pub(crate) connects: AtomicU64,
    /// Connections that broke, or could not be made, and that nobody here broke.
    pub(crate) broken: AtomicU64,
    /// Telemetry that was published.
    pub(crate) telemetry: AtomicU64,
    /// And answered.
    pub(crate) answered: AtomicU64,
    /// Reports that were published.
    pub(crate) reports: AtomicU64,
    /// Messages of the center.
    pub(crate) downlinks: AtomicU64,
    /// Mishaps that happened.
    pub(crate) mishaps: AtomicU64,
    /// From a telemetry to its answer.
    latency: Histogram,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            connected: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            telemetry: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            reports: AtomicU64::new(0),
            downlinks: AtomicU64::new(0),
            mishaps: AtomicU64::new(0),
            latency: Histogram([const { AtomicU64::new(0) }; BUCKETS]),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a counter says.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Numbers {
    /// A telemetry was answered. One with a list of packages is of another size, and counts for no quantile.
    pub(crate) fn answer(&self, answered: Answered) {
        count(&self.answered);
        if !answered.with_packages {
            count(&self.latency.0[bucket(answered.us)]);
        }
    }

    /// What was counted up to now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            telemetry: read(&self.telemetry),
            answered: read(&self.answered),
            reports: read(&self.reports),
            downlinks: read(&self.downlinks),
            broken: read(&self.broken),
            latency: self.latency.0.iter().map(read).collect(),
        }
    }
}

/// What was counted up to a moment, or between two.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    telemetry: u64,
    answered: u64,
    reports: u64,
    downlinks: u64,
    broken: u64,
    latency: Vec<u64>,
}

/// A stretch of time in numbers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stretch {
    /// Its length.
    pub(crate) seconds: f64,
    /// Telemetry that was published.
    pub(crate) telemetry: u64,
    /// And answered.
    pub(crate) answered: u64,
    /// Answers a second.
    pub(crate) exchanges_per_s: f64,
    /// Half of the answers took no longer, milliseconds; `None` without answers.
    pub(crate) p50_ms: Option<f64>,
    /// 99 % of them.
    pub(crate) p99_ms: Option<f64>,
    /// The longest.
    pub(crate) max_ms: Option<f64>,
    /// Reports that were published.
    pub(crate) reports: u64,
    /// Messages of the center.
    pub(crate) downlinks: u64,
    /// Connections that broke by themselves.
    pub(crate) broken: u64,
}

impl Snapshot {
    /// What was counted since an earlier one.
    pub(crate) fn since(&self, before: &Self, seconds: f64) -> Stretch {
        let latency: Vec<u64> =
            self.latency.iter().zip(&before.latency).map(|(now, then)| now - then).collect();
        let answered = self.answered - before.answered;
        Stretch {
            seconds,
            telemetry: self.telemetry - before.telemetry,
            answered,
            exchanges_per_s: answered as f64 / seconds,
            p50_ms: quantile_ms(&latency, 0.5),
            p99_ms: quantile_ms(&latency, 0.99),
            max_ms: quantile_ms(&latency, 1.0),
            reports: self.reports - before.reports,
            downlinks: self.downlinks - before.downlinks,
            broken: self.broken - before.broken,
        }
    }
}

/// The value that this share of them does not exceed; 0 of none.
pub(crate) fn quantile_of(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil().max(1.0) as usize;
    values.get(place.min(values.len()) - usize::from(!values.is_empty())).copied().unwrap_or(0.0)
}

fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let octave = u64::from(us.ilog2());
    let part = ((us << 5) >> octave) - PARTS;
    usize::try_from(octave * PARTS + part).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The upper end of a bucket, milliseconds.
fn upper_ms(bucket: usize) -> f64 {
    let (octave, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    (1u64 << octave) as f64 * (1.0 + (part + 1) as f64 / PARTS as f64) / 1000.0
}

fn quantile_ms(latency: &[u64], share: f64) -> Option<f64> {
    let all: u64 = latency.iter().sum();
    let wanted = (all as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    latency
        .iter()
        .position(|count| {
            seen += count;
            seen >= wanted
        })
        .map(upper_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_of_few_is_one_of_them() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        let found = [0.0, 0.5, 0.75, 0.99].map(|share| quantile_of(&mut values, share));
        assert_eq!(found, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(quantile_of(&mut [], 0.5).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_quantile_is_right_to_three_percent() {
        let numbers = Numbers::default();
        let before = numbers.snapshot();
        for us in 1..=100_000 {
            numbers.answer(Answered { us, with_packages: false });
        }
        let stretch = numbers.snapshot().since(&before, 1.0);
        for (found, true_ms) in [(stretch.p50_ms, 50.0), (stretch.p99_ms, 99.0), (stretch.max_ms, 100.0)] {
            let found = found.unwrap();
            assert!((found / true_ms - 1.0).abs() < 0.04, "{found} for {true_ms}");
        }
        assert_eq!(before.since(&before, 1.0).p50_ms, None, "nothing was seen");
    }
}
