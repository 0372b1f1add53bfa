//! How much one gateway may send. Pure: a bucket of bytes for each gateway and each kind of message that is kept, filled anew
//! with time. What finds its bucket empty is left out and not acknowledged: a gateway that means it sends it again.

use std::collections::HashMap;

use keros_protocol::Eui;
use keros_protocol::topics::Leaf;

use crate::bounds::{MESSAGE_OVERHEAD_BYTES, PRESENCE_RATE, REPORT_RATE, Rate, TELEMETRY_RATE};

/// Below so many gateways nobody is forgotten.
const FEW_GATEWAYS: usize = 1024;

/// The buckets of all gateways that have sent something lately.
#[derive(Debug)]
pub(crate) struct Rates {
    gateways: HashMap<Eui, Buckets>,
    forget_at: usize,
}

#[derive(Debug, Default)]
struct Buckets {
    telemetry: Bucket,
    report: Bucket,
    presence: Bucket,
}

/// One bucket, as it was when it was last looked at.
#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    used_bytes: u64,
    at_ms: u64,
    left_out: u64,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is looked at.
    Admitted,
    /// It is left out, and as many of its kind since the bucket was last full.
    LeftOut(u64),
}

impl Default for Rates {
    fn default() -> Self {
        Self { gateways: HashMap::new(), forget_at: FEW_GATEWAYS }
    }
}

impl Rates {
    /// Judges one message; `now_ms` never goes back.
    pub(crate) fn admit(&mut self, eui: Eui, leaf: Leaf, payload_bytes: usize, now_ms: u64) -> Admission {
        let rate = match leaf {
            Leaf::Telemetry => TELEMETRY_RATE,
            Leaf::Report => REPORT_RATE,
            Leaf::Presence => PRESENCE_RATE,
            // Nothing else comes from gateways.
            Leaf::Down => return Admission::Admitted,
        };
        if self.gateways.len() >= self.forget_at {
            self.forget(now_ms);
        }
        let buckets = self.gateways.entry(eui).or_default();
        let bucket = match leaf {
            Leaf::Telemetry => &mut buckets.telemetry,
            Leaf::Presence => &mut buckets.presence,
            Leaf::Report | Leaf::Down => &mut buckets.report,
        };
        bucket.take(rate, payload_bytes as u64 + MESSAGE_OVERHEAD_BYTES, now_ms)
    }

    /// Forgets those whose buckets are full: it makes no difference.
    fn forget(&mut self, now_ms: u64) {
        self.gateways.retain(|_, buckets| {
            buckets.telemetry.used(TELEMETRY_RATE, now_ms) > 0
                || buckets.report.used(REPORT_RATE, now_ms) > 0
                || buckets.presence.used(PRESENCE_RATE, now_ms) > 0
        });
        self.forget_at = FEW_GATEWAYS.max(2 * self.gateways.len());
    }
}

impl Bucket {
    fn used(self, rate: Rate, now_ms: u64) -> u64 {
        let refilled = now_ms.saturating_sub(self.at_ms).saturating_mul(rate.bytes_per_minute) / 60_000;
        self.used_bytes.saturating_sub(refilled)
    }

    fn take(&mut self, rate: Rate, bytes: u64, now_ms: u64) -> Admission {
        let used = self.used(rate, now_ms);
        if used == 0 {
            self.left_out = 0;
        }
        if used.saturating_add(bytes) > rate.burst_bytes {
            // The time is not moved on: what has come back in parts of a byte would be lost.
            self.left_out += 1;
            return Admission::LeftOut(self.left_out);
        }
        self.used_bytes = used + bytes;
        self.at_ms = now_ms;
        Admission::Admitted
    }
}

// Whatever has a size that is allowed finds room in a full bucket.
const _: () = {
    use keros_protocol::limits::{MAX_REPORT_BYTES, MAX_TELEMETRY_BYTES};
    assert!(MAX_REPORT_BYTES as u64 + MESSAGE_OVERHEAD_BYTES <= REPORT_RATE.burst_bytes);
    assert!(MAX_TELEMETRY_BYTES as u64 + MESSAGE_OVERHEAD_BYTES <= TELEMETRY_RATE.burst_bytes);
};

#[cfg(test)]
mod tests {
    use super::*;

    const A: Eui = Eui::from_u64(1);
    const B: Eui = Eui::from_u64(2);

    fn admitted(rates: &mut Rates, eui: Eui, leaf: Leaf, bytes: usize, times: usize, now_ms: u64) -> usize {
        (0..times).filter(|_| rates.admit(eui, leaf, bytes, now_ms) == Admission::Admitted).count()
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_others_do_not_notice() {
        let mut rates = Rates::default();
        let of_one_kib =
            |rate: Rate| usize::try_from(rate.burst_bytes / (1024 + MESSAGE_OVERHEAD_BYTES)).unwrap();
        let burst = of_one_kib(REPORT_RATE);
        assert_eq!(admitted(&mut rates, A, Leaf::Report, 1024, 2 * burst, 5), burst);
        assert_eq!(rates.admit(B, Leaf::Report, 1024, 5), Admission::Admitted);
        assert_eq!(rates.admit(A, Leaf::Telemetry, 1024, 5), Admission::Admitted, "each kind has its own");
        assert_eq!(rates.admit(A, Leaf::Presence, 7, 5), Admission::Admitted);
        let a_minute = usize::try_from(REPORT_RATE.bytes_per_minute / 2048).unwrap();
        let later = admitted(&mut rates, A, Leaf::Report, 1024, 2 * burst, 60_005);
        assert!((a_minute - 1..=a_minute + 1).contains(&later), "{later} of {a_minute}");
        assert_eq!(admitted(&mut rates, A, Leaf::Report, 1024, burst, u64::MAX), burst, "full again");
    }

    #[test]
    fn presence_has_a_rate_that_a_gateway_on_a_bad_link_does_not_reach() {
        let mut rates = Rates::default();
        // It connects and is lost every ten seconds, for an hour.
        for second in (0..3600).step_by(10) {
            assert_eq!(admitted(&mut rates, A, Leaf::Presence, 7, 2, second * 1000), 2);
        }
        let now_ms = 3_600_000;
        let burst = admitted(&mut rates, B, Leaf::Presence, 7, 1000, now_ms);
        assert!((50..=60).contains(&burst), "{burst}");
        assert_eq!(rates.admit(B, Leaf::Report, 1024, now_ms), Admission::Admitted, "each kind has its own");
    }

    #[test]
    fn what_is_left_out_is_counted_until_the_bucket_is_full_again() {
        let mut rates = Rates::default();
        admitted(&mut rates, A, Leaf::Telemetry, 200_000, 1000, 0);
        let Admission::LeftOut(before) = rates.admit(A, Leaf::Telemetry, 200_000, 0) else {
            panic!("admitted")
        };
        assert_eq!(rates.admit(A, Leaf::Telemetry, 200_000, 0), Admission::LeftOut(before + 1));
        admitted(&mut rates, A, Leaf::Telemetry, 200_000, 1, u64::MAX / 2);
        admitted(&mut rates, A, Leaf::Telemetry, 200_000, 1000, u64::MAX / 2);
        assert!(matches!(rates.admit(A, Leaf::Telemetry, 200_000, u64::MAX / 2), Admission::LeftOut(_)));
        let full = usize::try_from(TELEMETRY_RATE.burst_bytes / (200_000 + MESSAGE_OVERHEAD_BYTES)).unwrap();
        assert_eq!(before, (1000 - full + 1) as u64);
    }

    #[test]
    fn a_slow_stream_of_attempts_does_not_keep_the_bucket_empty() {
        let mut rates = Rates::default();
        admitted(&mut rates, A, Leaf::Report, 1024, 10_000, 0);
        let an_hour_of_tries = (0..3_600_000).step_by(7);
        let came_through =
            an_hour_of_tries.filter(|ms| rates.admit(A, Leaf::Report, 1024, *ms) == Admission::Admitted);
        let expected = usize::try_from(60 * REPORT_RATE.bytes_per_minute / 2048).unwrap();
        let found = came_through.count();
        assert!(found.abs_diff(expected) < expected / 100, "{found} of {expected}");
    }

    #[test]
    fn gateways_that_are_quiet_are_forgotten() {
        let mut rates = Rates::default();
        for number in 0..5000 {
            rates.admit(Eui::from_u64(number), Leaf::Telemetry, 2048, number * 60_000);
        }
        assert!(rates.gateways.len() <= FEW_GATEWAYS, "{}", rates.gateways.len());
    }
}
