//! The commands of one gateway, across its updates.

use keros_protocol::Eui;
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::among::Among;
use super::commands::command_row;
use super::{CommandRow, Result, number, parsed};
use crate::access::Visible;
use crate::api::GatewayUpdate;

/// Those that have not ended: they wait, were sent, or a word is owed of them.
pub(crate) async fn open(connection: &mut AnyConnection, eui: Eui) -> Result<Vec<CommandRow>> {
    let rows = sqlx::query(
        "SELECT command_id, update_id, eui, delivery, times_sent, outcome_json, changed_at, cancel_requested_at, \
         overdue_at FROM commands WHERE eui = $1 AND (delivery IN ('waiting', 'sent') OR overdue_at IS NOT NULL) \
         ORDER BY command_id",
    )
    .bind(eui.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(command_row).collect()
}

/// The newest of them, of the visible customers' updates.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    eui: Eui,
    visible: &Visible,
    limit: u32,
) -> Result<Vec<GatewayUpdate>> {
    let among = Among::new("u.customer_id", visible, 3);
    let sql = among.within(
        "SELECT u.update_id AS update_id, u.kind AS kind, u.group_name AS group_name, u.created_at AS created_at, \
         c.delivery AS delivery, c.outcome AS outcome FROM commands c JOIN updates u ON u.update_id = c.update_id \
         WHERE c.eui = $1 AND {among} ORDER BY u.update_id DESC LIMIT $2",
    );
    let query = sqlx::query(sql).bind(eui.to_string()).bind(i64::from(limit));
    let rows = among.bind(query).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(GatewayUpdate {
                update_id: parsed(row, "update_id")?,
                kind: row.try_get("kind")?,
                group: row.try_get("group_name")?,
                created_at_unix_s: number(row, "created_at")?,
                delivery: parsed(row, "delivery")?,
                outcome: row.try_get("outcome")?,
            })
        })
        .collect()
}
