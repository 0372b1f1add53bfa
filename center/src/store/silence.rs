//! Until when gateways owe a word about their commands.

use keros_protocol::{CommandId, UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::{Result, parsed, to_big};

/// A gateway spoke of a command that goes on: its next word is owed at `overdue_at`.
pub(crate) async fn heard(
    connection: &mut AnyConnection,
    command_id: CommandId,
    overdue_at: UnixSeconds,
) -> Result<()> {
    // Nothing is owed of what was never received, or has ended.
    sqlx::query("UPDATE commands SET overdue_at = $2 WHERE command_id = $1 AND overdue_at IS NOT NULL")
        .bind(command_id.to_string())
        .bind(to_big(overdue_at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Updates with a command that became overdue after `since`, and not after `now`.
pub(crate) async fn became_overdue(
    connection: &mut AnyConnection,
    since: UnixSeconds,
    now: UnixSeconds,
) -> Result<Vec<UpdateId>> {
    let rows =
        sqlx::query("SELECT DISTINCT update_id FROM commands WHERE overdue_at > $1 AND overdue_at <= $2")
            .bind(to_big(since))
            .bind(to_big(now))
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| parsed(row, "update_id")).collect()
}
