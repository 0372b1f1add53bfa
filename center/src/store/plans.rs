//! How far updates are: their plans, their roll-outs, what follows what.

use std::collections::BTreeSet;
use std::str::FromStr;

use keros_protocol::{Delivery, Eui, UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Result, count, from_json, number, optional_number, parsed, to_big};
use crate::plan::{Gate, Plan, Progress};

/// How an update follows another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FollowsAs {
    /// The same job again, for gateways that it did not succeed on.
    Retry,
    /// What its dry run was for.
    Real,
}

impl FollowsAs {
    /// The name in the REST API, and in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Real => "real",
        }
    }
}

impl FromStr for FollowsAs {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        [Self::Retry, Self::Real].into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// How far an update is, beside its deliveries.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PlanRow {
    /// When its commands are handed out.
    pub(crate) plan: Plan,
    /// How far its roll-out is.
    pub(crate) progress: Progress,
    /// When the roll-out stopped.
    pub(crate) halted_at: Option<UnixSeconds>,
    /// Why.
    pub(crate) halted_why: Option<String>,
    /// The update that it follows.
    pub(crate) follows: Option<(UpdateId, FollowsAs)>,
    /// When it was seen that a gateway did not succeed.
    pub(crate) failed_at: Option<UnixSeconds>,
    /// When it was seen that nothing more is expected.
    pub(crate) ended_at: Option<UnixSeconds>,
}

impl PlanRow {
    /// What it lets through.
    pub(crate) fn gate(&self) -> Gate {
        Gate {
            not_before: self.plan.not_before_unix_s,
            window: self.plan.window,
            stage: self.progress.stage,
            halted: self.progress.halted,
        }
    }
}

/// Reads the columns of a plan, of a row that has them all.
pub(super) fn plan_row(row: &AnyRow) -> Result<PlanRow> {
    let halted_at = optional_number(row, "halted_at")?;
    let follows: Option<String> = row.try_get("follows")?;
    Ok(PlanRow {
        plan: from_json(row, "plan")?.unwrap_or_default(),
        progress: Progress {
            stage: count(row, "stage")?,
            last: count(row, "last_stage")?,
            since: number(row, "stage_since")?,
            halted: halted_at.is_some(),
            forgiven: count(row, "forgiven")?,
        },
        halted_at,
        halted_why: row.try_get("halted_why")?,
        follows: follows
            .map(|_| Ok::<_, super::StoreError>((parsed(row, "follows")?, parsed(row, "follows_as")?)))
            .transpose()?,
        failed_at: optional_number(row, "failed_at")?,
        ended_at: optional_number(row, "ended_at")?,
    })
}

/// The gate of a row that has `plan`, `released` and `halted_at`.
pub(super) fn gate(row: &AnyRow) -> Result<Gate> {
    let plan: Option<Plan> = from_json(row, "plan")?;
    let plan = plan.unwrap_or_default();
    Ok(Gate {
        not_before: plan.not_before_unix_s,
        window: plan.window,
        stage: count(row, "released")?,
        halted: optional_number(row, "halted_at")?.is_some(),
    })
}

/// How far an update is.
pub(crate) async fn find(connection: &mut AnyConnection, update_id: UpdateId) -> Result<Option<PlanRow>> {
    let row = sqlx::query(
        "SELECT plan, stage, last_stage, stage_since, halted_at, halted_why, forgiven, follows, follows_as, failed_at, ended_at \
         FROM updates WHERE update_id = $1",
    )
    .bind(update_id.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(plan_row).transpose()
}

/// The updates of which more is expected, as far as that was looked at.
pub(crate) async fn open(connection: &mut AnyConnection) -> Result<Vec<UpdateId>> {
    let rows = sqlx::query("SELECT update_id FROM updates WHERE ended_at IS NULL ORDER BY update_id")
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| parsed(row, "update_id")).collect()
}

/// How many commands of a stage are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageCountRow {
    /// Their stage.
    pub(crate) stage: u32,
    /// Their delivery.
    pub(crate) delivery: Delivery,
    /// The name of their outcome.
    pub(crate) outcome: Option<String>,
    /// How many.
    pub(crate) commands: u32,
    /// How many of them are overdue.
    pub(crate) overdue: u32,
}

/// The counts of an update, stage by stage.
pub(crate) async fn counts(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    now: UnixSeconds,
) -> Result<Vec<StageCountRow>> {
    let rows = sqlx::query(
        "SELECT stage, delivery, outcome, COUNT(*) AS n, \
         CAST(SUM(CASE WHEN overdue_at <= $2 THEN 1 ELSE 0 END) AS BIGINT) AS late FROM commands \
         WHERE update_id = $1 GROUP BY stage, delivery, outcome",
    )
    .bind(update_id.to_string())
    .bind(to_big(now))
    .fetch_all(connection)
    .await?;
    let count_row = |row: &AnyRow| {
        Ok(StageCountRow {
            stage: count(row, "stage")?,
            delivery: parsed(row, "delivery")?,
            outcome: row.try_get("outcome")?,
            commands: count(row, "n")?,
            overdue: count(row, "late")?,
        })
    };
    rows.iter().map(count_row).collect()
}

/// Keeps how far the roll-out is; `halted`: since when it is stopped, and why.
pub(crate) async fn keep_progress(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    progress: &Progress,
    halted: Option<(UnixSeconds, &str)>,
) -> Result<()> {
    sqlx::query(
        "UPDATE updates SET stage = $2, stage_since = $3, forgiven = $4, halted_at = $5, halted_why = $6 WHERE update_id = $1",
    )
    .bind(update_id.to_string())
    .bind(i64::from(progress.stage))
    .bind(to_big(progress.since))
    .bind(i64::from(progress.forgiven))
    .bind(halted.map(|(at, _)| to_big(at)))
    .bind(halted.map(|(_, why)| why.to_owned()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps that a gateway did not succeed, and that nothing more is expected; what was kept before stays.
pub(crate) async fn keep_seen(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    failed_at: Option<UnixSeconds>,
    ended_at: Option<UnixSeconds>,
) -> Result<()> {
    sqlx::query(
        "UPDATE updates SET failed_at = COALESCE(failed_at, $2), ended_at = COALESCE(ended_at, $3) WHERE update_id = $1",
    )
    .bind(update_id.to_string())
    .bind(failed_at.map(to_big))
    .bind(ended_at.map(to_big))
    .execute(connection)
    .await?;
    Ok(())
}

/// The gateways that are connected and for which a command of the update waits, up to this stage.
pub(crate) async fn online_waiting(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    stage: u32,
) -> Result<Vec<Eui>> {
    let rows = sqlx::query(
        "SELECT c.eui AS eui FROM commands c JOIN gateways g ON g.eui = c.eui \
         WHERE c.update_id = $1 AND c.stage <= $2 AND c.delivery = 'waiting' AND g.online = 1 ORDER BY c.eui",
    )
    .bind(update_id.to_string())
    .bind(i64::from(stage))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "eui")).collect()
}

/// The updates that follow this one, oldest first.
pub(crate) async fn followers(
    connection: &mut AnyConnection,
    update_id: UpdateId,
) -> Result<Vec<(UpdateId, FollowsAs)>> {
    let rows = sqlx::query(
        "SELECT update_id, follows_as FROM updates WHERE follows = $1 ORDER BY update_id LIMIT 100",
    )
    .bind(update_id.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((parsed(row, "update_id")?, parsed(row, "follows_as")?))).collect()
}

/// The gateways that updates which follow this one in the same way are for: what is done again there is done by those.
pub(crate) async fn followed_gateways(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    kind: FollowsAs,
) -> Result<BTreeSet<Eui>> {
    let rows = sqlx::query(
        "SELECT c.eui AS eui FROM commands c JOIN updates u ON u.update_id = c.update_id \
         WHERE u.follows = $1 AND u.follows_as = $2",
    )
    .bind(update_id.to_string())
    .bind(kind.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "eui")).collect()
}

/// Another update that follows the same one in the same way, and is for one of the same gateways.
pub(crate) async fn double(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    (follows, kind): (UpdateId, FollowsAs),
) -> Result<Option<UpdateId>> {
    let row = sqlx::query(
        "SELECT u.update_id AS update_id FROM updates u JOIN commands c ON c.update_id = u.update_id \
         WHERE u.follows = $1 AND u.follows_as = $2 AND u.update_id <> $3 \
         AND c.eui IN (SELECT n.eui FROM commands n WHERE n.update_id = $3) LIMIT 1",
    )
    .bind(follows.to_string())
    .bind(kind.as_str())
    .bind(update_id.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|row| parsed(&row, "update_id")).transpose()
}

/// Something was heard of an update that was thought to have ended: it is looked after again, and its end is told again.
pub(crate) async fn reopen(connection: &mut AnyConnection, update_id: UpdateId) -> Result<()> {
    sqlx::query("UPDATE updates SET ended_at = NULL WHERE update_id = $1 AND ended_at IS NOT NULL")
        .bind(update_id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
