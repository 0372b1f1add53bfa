//! Until when a gateway owes the next step of a command. Pure, and by the center's clock alone: the gateway's may be wrong.
//!
//! A command for which the time is over is shown as overdue: the gateway is silent, or says for longer than its command may take that it is
//! still at it. That is no status: whatever it says later is taken.

use keros_protocol::{Outcome, UnixSeconds};

use crate::bounds::{JOB_GRACE_S, TELEMETRY_INTERVAL_S};
use crate::store::Allowance;

/// The telemetry that brings a gateway back may be lost once.
const SILENCE_S: u64 = JOB_GRACE_S + 2 * TELEMETRY_INTERVAL_S;

/// When the next step is owed, after this one that was first heard of at `now`; `None` when none is.
pub(crate) fn overdue_at(outcome: &Outcome, allowance: &Allowance, now: UnixSeconds) -> Option<UnixSeconds> {
    let total_s = u64::from(allowance.limits.clamped().total_s);
    // A window is begun anew once, after a boot.
    let windows_s = 2 * u64::from(allowance.options.confirm_window_s);
    let from = match outcome {
        // It is started before it expires, or refused then; others may be before it.
        Outcome::Received {} | Outcome::Accepted {} => now.max(allowance.expires_at),
        Outcome::Running { .. } => now.saturating_add(total_s).saturating_add(windows_s),
        Outcome::Confirming { .. } => now.saturating_add(windows_s),
        Outcome::Succeeded { .. }
        | Outcome::Failed { .. }
        | Outcome::Refused { .. }
        | Outcome::Cancelled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Interrupted { .. }
        | Outcome::RolledBack { .. } => return None,
    };
    Some(from.saturating_add(SILENCE_S))
}

#[cfg(test)]
mod tests {
    use keros_protocol::{JobLimits, JobOptions, Summary};

    use super::*;

    fn allowance() -> Allowance {
        Allowance {
            expires_at: 10_000,
            limits: JobLimits { total_s: 600, ..JobLimits::default() },
            options: JobOptions { confirm_window_s: 1800, ..JobOptions::default() },
        }
    }

    #[test]
    fn each_state_has_its_time() {
        let confirming = Outcome::Confirming { until_unix_s: u64::MAX };
        for (outcome, now, expected) in [
            (Outcome::Received {}, 1000, Some(10_000 + SILENCE_S)),
            (Outcome::Accepted {}, 1000, Some(10_000 + SILENCE_S)),
            (Outcome::Accepted {}, 20_000, Some(20_000 + SILENCE_S)),
            (Outcome::Running { task: None }, 1000, Some(1000 + 600 + 2 * 1800 + SILENCE_S)),
            (confirming, 1000, Some(1000 + 2 * 1800 + SILENCE_S)),
            (
                Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None },
                1000,
                None,
            ),
            (Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false }, 1000, None),
        ] {
            assert_eq!(overdue_at(&outcome, &allowance(), now), expected, "{outcome} at {now}");
        }
    }

    #[test]
    fn numbers_without_sense_do_not_break_it() {
        let absurd = Allowance {
            expires_at: u64::MAX,
            limits: JobLimits { total_s: u32::MAX, ..JobLimits::default() },
            options: JobOptions { confirm_window_s: u32::MAX, ..JobOptions::default() },
        };
        assert_eq!(overdue_at(&Outcome::Received {}, &absurd, u64::MAX), Some(u64::MAX));
        assert_eq!(overdue_at(&Outcome::Running { task: None }, &absurd, u64::MAX), Some(u64::MAX));
    }
}
