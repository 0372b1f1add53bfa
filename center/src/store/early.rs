//! Reports that came before the one before them: several centers that share a gateway's messages need not take them in order.

use keros_protocol::{Eui, ReportPosition, UnixSeconds};
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::{Result, number, to_big};
use crate::bounds::PRUNED_AT_ONCE;

/// Puts a report aside until the one of number `after` has come. One that waits already stays as it is. The gateway is there.
pub(crate) async fn put(
    connection: &mut AnyConnection,
    eui: Eui,
    position: ReportPosition,
    after: u64,
    json: &str,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO early_reports (eui, stream, number, after_number, report, received_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (eui, stream, number) DO NOTHING",
    )
    .bind(eui.to_string())
    .bind(position.stream.to_string())
    .bind(to_big(position.number))
    .bind(to_big(after))
    .bind(json.to_owned())
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes out the first report of a stream that waits for nothing any more, as it came.
pub(crate) async fn next(connection: &mut AnyConnection, eui: Eui, stream: Uuid) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT e.number AS number, e.report AS report FROM early_reports e JOIN report_positions p \
         ON p.eui = e.eui AND p.stream = e.stream WHERE e.eui = $1 AND e.stream = $2 AND e.after_number <= p.number \
         ORDER BY e.number LIMIT 1",
    )
    .bind(eui.to_string())
    .bind(stream.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    sqlx::query("DELETE FROM early_reports WHERE eui = $1 AND stream = $2 AND number = $3")
        .bind(eui.to_string())
        .bind(stream.to_string())
        .bind(to_big(number(&row, "number")?))
        .execute(connection)
        .await?;
    Ok(Some(row.try_get("report")?))
}

/// Forgets those of a gateway that are of other streams than this; how many they were.
pub(crate) async fn forget_other_streams(
    connection: &mut AnyConnection,
    eui: Eui,
    stream: Uuid,
) -> Result<u64> {
    let done = sqlx::query("DELETE FROM early_reports WHERE eui = $1 AND stream <> $2")
        .bind(eui.to_string())
        .bind(stream.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Removes a part of those that came before `oldest`; whether there may be more.
pub(crate) async fn prune(connection: &mut AnyConnection, oldest: UnixSeconds) -> Result<bool> {
    let done = sqlx::query(
        "DELETE FROM early_reports WHERE (eui, stream, number) IN (\
         SELECT eui, stream, number FROM early_reports WHERE received_at < $1 LIMIT $2)",
    )
    .bind(to_big(oldest))
    .bind(to_big(PRUNED_AT_ONCE))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() >= PRUNED_AT_ONCE)
}
