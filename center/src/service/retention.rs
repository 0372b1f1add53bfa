//! For how long what is over is kept.

use keros_protocol::UnixSeconds;

use super::center::Center;
use crate::bounds::{EARLY_REPORT_AGE_S, MAX_AUDIT, REPORT_AGE_S};
use crate::gateway::history::DAYS;
use crate::store::{StoreError, audit, early, reports, retention, vitals};

const DAY_S: u64 = 86_400;

/// For how long, days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Reports as they came. What became of each command is kept with its update.
    pub(crate) reports_days: u32,
    /// Updates that have ended.
    pub(crate) updates_days: u32,
    /// Who did what.
    pub(crate) audit_days: u32,
    /// The history of gateways' vitals, 366 at most; of a gateway that is silent, until its last telemetry is as old.
    pub(crate) telemetry_days: u32,
}

impl Default for Retention {
    /// 90 days of reports, two years of updates and of the audit log, a year of vitals.
    fn default() -> Self {
        Self {
            reports_days: u32::try_from(REPORT_AGE_S / DAY_S).unwrap_or(u32::MAX),
            updates_days: 730,
            audit_days: 730,
            telemetry_days: u32::try_from(DAYS).unwrap_or(u32::MAX),
        }
    }
}

fn before(now: UnixSeconds, days: u32) -> UnixSeconds {
    now.saturating_sub(u64::from(days) * DAY_S)
}

impl Center {
    /// Removes what is old, in steps that others can write between.
    pub(crate) async fn tidy(&self, keep: &Retention, now: UnixSeconds) -> Result<(), StoreError> {
        let (old_reports, old_lines) = (before(now, keep.reports_days), before(now, keep.audit_days));
        loop {
            let mut transaction = self.store.begin().await?;
            let more = reports::prune(&mut transaction, old_reports).await?;
            transaction.commit().await?;
            if !more {
                break;
            }
        }
        loop {
            let mut transaction = self.store.begin().await?;
            let more = early::prune(&mut transaction, now.saturating_sub(EARLY_REPORT_AGE_S)).await?;
            transaction.commit().await?;
            if !more {
                break;
            }
        }
        loop {
            let mut transaction = self.store.begin().await?;
            let more = vitals::prune(&mut transaction, before(now, keep.telemetry_days)).await?;
            transaction.commit().await?;
            if !more {
                break;
            }
        }
        let beyond = audit::beyond(&mut *self.store.read().await?, MAX_AUDIT).await?;
        loop {
            let mut transaction = self.store.begin().await?;
            let more = audit::prune(&mut transaction, old_lines, beyond).await?;
            transaction.commit().await?;
            if !more {
                break;
            }
        }
        loop {
            let old = before(now, keep.updates_days);
            let found = retention::ended_update(&mut *self.store.read().await?, old).await?;
            let Some(update_id) = found else { return Ok(()) };
            tracing::info!(%update_id, "an update is old, and is removed");
            loop {
                let mut transaction = self.store.begin().await?;
                let more = retention::update(&mut transaction, update_id).await?;
                transaction.commit().await?;
                if !more {
                    break;
                }
            }
        }
    }
}
