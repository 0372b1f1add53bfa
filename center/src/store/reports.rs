//! The reports as they came, and up to where each stream of a gateway is stored.

use keros_protocol::{CommandId, Eui, ReportPosition, UnixSeconds};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::{Result, number, to_big};
use crate::bounds::PRUNED_AT_ONCE;

/// A report to be kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewReport<'a> {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Its place.
    pub(crate) position: ReportPosition,
    /// The command that it is about, as the gateway names it.
    pub(crate) command_id: String,
    /// Name of its status.
    pub(crate) status: &'a str,
    /// The report as it came.
    pub(crate) json: &'a str,
    /// What was odd about it.
    pub(crate) note: Option<String>,
}

/// A report that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptReport {
    /// As it came.
    pub(crate) json: String,
    /// Name of its status.
    pub(crate) status: String,
    /// What was odd about it.
    pub(crate) note: Option<String>,
    /// When it came, by the center's clock.
    pub(crate) received_at: UnixSeconds,
}

/// The last reports of a gateway about a command, the oldest of them first.
pub(crate) async fn of_command(
    connection: &mut AnyConnection,
    eui: Eui,
    command_id: CommandId,
    limit: u32,
) -> Result<Vec<KeptReport>> {
    let rows = sqlx::query(
        "SELECT report, status, note, received_at FROM reports WHERE command_id = $1 AND eui = $2 \
         ORDER BY received_at DESC, number DESC LIMIT $3",
    )
    .bind(command_id.to_string())
    .bind(eui.to_string())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let kept = |row: &AnyRow| {
        Ok(KeptReport {
            json: row.try_get("report")?,
            status: row.try_get("status")?,
            note: row.try_get("note")?,
            received_at: number(row, "received_at")?,
        })
    };
    rows.iter().rev().map(kept).collect()
}

/// Whether a report is kept.
pub(crate) async fn is_kept(
    connection: &mut AnyConnection,
    eui: Eui,
    position: ReportPosition,
) -> Result<bool> {
    let row = sqlx::query("SELECT 1 AS n FROM reports WHERE eui = $1 AND stream = $2 AND number = $3")
        .bind(eui.to_string())
        .bind(position.stream.to_string())
        .bind(to_big(position.number))
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// What the rows say of a gateway's reports as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// A backup was restored since the gateway's last report: reports which it was told to be kept may not be.
    pub(crate) has_lost: bool,
    /// Reports that wait for one before them.
    pub(crate) early: u64,
}

/// How a gateway stands; as one of which nothing is known when it is not there.
pub(crate) async fn standing(connection: &mut AnyConnection, eui: Eui) -> Result<Standing> {
    let row = sqlx::query(
        "SELECT reports_lost, (SELECT COUNT(*) FROM early_reports WHERE early_reports.eui = gateways.eui) AS early \
         FROM gateways WHERE eui = $1",
    )
    .bind(eui.to_string())
    .fetch_optional(connection)
    .await?;
    let standing = |row: AnyRow| {
        Ok(Standing { has_lost: number(&row, "reports_lost")? != 0, early: number(&row, "early")? })
    };
    row.map_or(Ok(Standing::default()), standing)
}

/// From the report that was just kept on nothing may be missing again.
pub(crate) async fn count_again(connection: &mut AnyConnection, eui: Eui) -> Result<()> {
    sqlx::query("UPDATE gateways SET reports_lost = 0 WHERE eui = $1")
        .bind(eui.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Up to where a stream is kept.
pub(crate) async fn position(
    connection: &mut AnyConnection,
    eui: Eui,
    stream: Uuid,
) -> Result<Option<ReportPosition>> {
    let row = sqlx::query("SELECT number FROM report_positions WHERE eui = $1 AND stream = $2")
        .bind(eui.to_string())
        .bind(stream.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(ReportPosition { stream, number: number(&row, "number")? })).transpose()
}

/// How much is kept of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Reports.
    pub(crate) reports: u64,
    /// Characters in them.
    pub(crate) size: u64,
}

/// Keeps a report and moves the position of its stream forward, never back; how much is kept of the gateway now. The gateway is there.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    report: &NewReport<'_>,
    now: UnixSeconds,
) -> Result<Kept> {
    let (eui, stream) = (report.eui.to_string(), report.position.stream.to_string());
    sqlx::query(
        "INSERT INTO reports (eui, stream, number, command_id, status, report, note, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (eui, stream, number) DO NOTHING",
    )
    .bind(eui.clone())
    .bind(stream.clone())
    .bind(to_big(report.position.number))
    .bind(report.command_id.clone())
    .bind(report.status.to_owned())
    .bind(report.json.to_owned())
    .bind(report.note.clone())
    .bind(to_big(now))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO report_positions (eui, stream, number, heard_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (eui, stream) DO UPDATE SET number = excluded.number, heard_at = excluded.heard_at \
         WHERE excluded.number > report_positions.number",
    )
    .bind(eui.clone())
    .bind(stream)
    .bind(to_big(report.position.number))
    .bind(to_big(now))
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "UPDATE gateways SET reports_kept = reports_kept + 1, reports_size = reports_size + $2 WHERE eui = $1 \
         RETURNING reports_kept, reports_size",
    )
    .bind(eui)
    .bind(to_big(report.json.len() as u64))
    .fetch_one(connection)
    .await?;
    Ok(Kept { reports: number(&row, "reports_kept")?, size: number(&row, "reports_size")? })
}

/// Removes a part of the reports that arrived before `oldest`; whether there may be more. Positions stay, and with them what is acknowledged.
pub(crate) async fn prune(connection: &mut AnyConnection, oldest: UnixSeconds) -> Result<bool> {
    let done = sqlx::query(
        "DELETE FROM reports WHERE (eui, stream, number) IN (\
         SELECT eui, stream, number FROM reports WHERE received_at < $1 LIMIT $2)",
    )
    .bind(to_big(oldest))
    .bind(to_big(PRUNED_AT_ONCE))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() >= PRUNED_AT_ONCE)
}

/// Removes the reports of one gateway that are more than `most`: first those that are no end of a command of its own, and older ones
/// before newer ones. Positions stay, and with them what is acknowledged.
pub(crate) async fn prune_gateway(connection: &mut AnyConnection, eui: Eui, most: Kept) -> Result<()> {
    sqlx::query(
        "DELETE FROM reports WHERE eui = $1 AND (stream, number) IN (SELECT stream, number FROM (\
         SELECT stream, number, ROW_NUMBER() OVER ranking AS place, SUM(LENGTH(report)) OVER ranking AS size \
         FROM reports WHERE eui = $1 WINDOW ranking AS (ORDER BY \
         CASE WHEN note IS NULL AND status NOT IN ('received', 'accepted', 'running', 'confirming') THEN 0 ELSE 1 END, \
         received_at DESC, number DESC, stream)) AS ranked WHERE place > $2 OR size > $3)",
    )
    .bind(eui.to_string())
    .bind(to_big(most.reports))
    .bind(to_big(most.size))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE gateways SET \
         reports_kept = (SELECT COUNT(*) FROM reports WHERE reports.eui = gateways.eui), \
         reports_size = (SELECT COALESCE(SUM(LENGTH(reports.report)), 0) FROM reports WHERE reports.eui = gateways.eui) \
         WHERE eui = $1",
    )
    .bind(eui.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the streams of one gateway that were heard of longest ago, but never `current`, until `most` are left.
pub(crate) async fn prune_streams(
    connection: &mut AnyConnection,
    eui: Eui,
    current: Uuid,
    most: u64,
) -> Result<()> {
    sqlx::query(
        "DELETE FROM report_positions WHERE eui = $1 AND stream <> $2 AND stream NOT IN (\
         SELECT stream FROM report_positions WHERE eui = $1 AND stream <> $2 \
         ORDER BY heard_at DESC, stream DESC LIMIT $3)",
    )
    .bind(eui.to_string())
    .bind(current.to_string())
    .bind(to_big(most.saturating_sub(1)))
    .execute(connection)
    .await?;
    Ok(())
}
