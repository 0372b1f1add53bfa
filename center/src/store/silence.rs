//! Until when gateways owe the next step of their commands.

use keros_protocol::{UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::{Result, parsed, to_big};

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
