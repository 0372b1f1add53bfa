//! What is old goes, some rows at a time, so that nobody waits long for it.

use keros_protocol::{UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::{Result, parsed, to_big};
use crate::bounds::PRUNED_AT_ONCE;

/// The oldest update that was sent before this and has ended.
pub(crate) async fn ended_update(
    connection: &mut AnyConnection,
    before: UnixSeconds,
) -> Result<Option<UpdateId>> {
    // A word is owed by exactly those commands that are received and have not ended.
    let row = sqlx::query(
        "SELECT u.update_id AS update_id FROM updates u WHERE u.created_at < $1 AND (u.tally IS NOT NULL OR NOT EXISTS (SELECT 1 FROM commands c \
         WHERE c.update_id = u.update_id AND (c.delivery IN ('waiting', 'sent') OR c.overdue_at IS NOT NULL))) \
         ORDER BY u.update_id LIMIT 1",
    )
    .bind(to_big(before))
    .fetch_optional(connection)
    .await?;
    row.map(|row| parsed(&row, "update_id")).transpose()
}

/// Removes a part of an update's commands, and the update itself with the last of them; whether there is more.
pub(crate) async fn update(connection: &mut AnyConnection, update_id: UpdateId) -> Result<bool> {
    let done = sqlx::query(
        "DELETE FROM commands WHERE command_id IN (SELECT command_id FROM commands WHERE update_id = $1 LIMIT $2)",
    )
    .bind(update_id.to_string())
    .bind(to_big(PRUNED_AT_ONCE))
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() > 0 {
        return Ok(true);
    }
    sqlx::query("DELETE FROM updates WHERE update_id = $1")
        .bind(update_id.to_string())
        .execute(connection)
        .await?;
    Ok(false)
}
