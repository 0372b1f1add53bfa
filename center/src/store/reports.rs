//! The reports as they came, and up to where each stream of a gateway is stored.

use keros_protocol::{Eui, ReportPosition, UnixSeconds};
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::{Result, number, to_big};

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

/// Keeps a report and moves the position of its stream forward, never back.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    report: &NewReport<'_>,
    now: UnixSeconds,
) -> Result<()> {
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
        "INSERT INTO report_positions (eui, stream, number) VALUES ($1, $2, $3) \
         ON CONFLICT (eui, stream) DO UPDATE SET number = excluded.number \
         WHERE excluded.number > report_positions.number",
    )
    .bind(eui)
    .bind(stream)
    .bind(to_big(report.position.number))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reports that are kept of one gateway at least, when there are so many, and the number that makes it time to remove older ones.
const KEPT: i64 = 1000;
const TOO_MANY: i64 = 2000;

/// Removes reports that arrived before `oldest`, and the older ones of gateways that have sent very many. Positions stay, and with
/// them what is acknowledged.
pub(crate) async fn prune(connection: &mut AnyConnection, oldest: UnixSeconds) -> Result<()> {
    sqlx::query("DELETE FROM reports WHERE received_at < $1")
        .bind(to_big(oldest))
        .execute(&mut *connection)
        .await?;
    let crowded = sqlx::query("SELECT eui FROM reports GROUP BY eui HAVING COUNT(*) > $1")
        .bind(TOO_MANY)
        .fetch_all(&mut *connection)
        .await?;
    for row in &crowded {
        let eui: String = row.try_get("eui")?;
        sqlx::query(
            "DELETE FROM reports WHERE eui = $1 AND (stream, number) NOT IN (SELECT stream, number FROM reports \
             WHERE eui = $1 ORDER BY received_at DESC, number DESC LIMIT $2)",
        )
        .bind(eui)
        .bind(KEPT)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
