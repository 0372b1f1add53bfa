//! Which gateways people have been told of that nothing comes from them any more.

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;

use super::gateways::{GATEWAY_COLUMNS, gateway_row};
use super::sql::Sql;
use super::{GatewayRow, Result, to_big};

/// Gateways that were told of and that are heard again: connected, or with a telemetry since `silent_before`.
pub(crate) async fn back(
    connection: &mut AnyConnection,
    silent_before: UnixSeconds,
    limit: usize,
) -> Result<Vec<GatewayRow>> {
    let mut sql = Sql::new("SELECT ");
    sql.push(GATEWAY_COLUMNS)
        .push(" FROM gateways WHERE alerted_at IS NOT NULL AND (online = 1 OR last_telemetry_at >= ");
    sql.number(to_big(silent_before)).push(") ORDER BY eui LIMIT ").number(to_big(limit as u64));
    sql.fetch(connection).await?.iter().map(gateway_row).collect()
}

/// Keeps that they were told of as silent at this time; `None`: as back.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    euis: &[Eui],
    at: Option<UnixSeconds>,
) -> Result<()> {
    for eui in euis {
        sqlx::query("UPDATE gateways SET alerted_at = $2 WHERE eui = $1")
            .bind(eui.to_string())
            .bind(at.map(to_big))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Of those that were taken out of service nobody is told any more.
pub(crate) async fn forget_retired(connection: &mut AnyConnection) -> Result<()> {
    sqlx::query(
        "UPDATE gateways SET alerted_at = NULL WHERE alerted_at IS NOT NULL AND retired_at IS NOT NULL",
    )
    .execute(connection)
    .await?;
    Ok(())
}
