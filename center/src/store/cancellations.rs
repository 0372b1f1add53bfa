//! What operators asked to end.

use keros_protocol::{CommandId, Eui, UnixSeconds};
use sqlx::{AnyConnection, QueryBuilder};

use super::{Result, numbered, parsed, to_big};

/// Ids in one statement: far below SQLite's 32,766 values.
const IDS_PER_STATEMENT: usize = 500;

/// Ends the delivery of commands that wait. One that no longer waits stays as it is.
pub(crate) async fn end_waiting(
    connection: &mut AnyConnection,
    commands: &[CommandId],
    now: UnixSeconds,
) -> Result<()> {
    for part in commands.chunks(IDS_PER_STATEMENT) {
        let mut update =
            QueryBuilder::<sqlx::Any>::new("UPDATE commands SET delivery = 'cancelled', changed_at = ");
        update.push_bind(to_big(now)).push(", cancel_requested_at = ").push_bind(to_big(now));
        update.push(" WHERE delivery = 'waiting' AND ");
        push_ids(&mut update, part);
        numbered(update)?.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Keeps that the end of commands was asked for; the first time stays.
pub(crate) async fn ask(
    connection: &mut AnyConnection,
    commands: &[CommandId],
    now: UnixSeconds,
) -> Result<()> {
    for part in commands.chunks(IDS_PER_STATEMENT) {
        let mut update = QueryBuilder::<sqlx::Any>::new("UPDATE commands SET cancel_requested_at = ");
        update.push_bind(to_big(now)).push(" WHERE cancel_requested_at IS NULL AND ");
        push_ids(&mut update, part);
        numbered(update)?.execute(&mut *connection).await?;
    }
    Ok(())
}

fn push_ids(query: &mut QueryBuilder<sqlx::Any>, ids: &[CommandId]) {
    query.push("command_id IN (");
    let mut separated = query.separated(", ");
    for id in ids {
        separated.push_bind(id.to_string());
    }
    query.push(")");
}

/// The commands of a gateway whose end is asked for and that have not ended: those under way first, then those that it is not
/// known to have. Of the expired ones only those that expired after `expired_after`.
pub(crate) async fn open(
    connection: &mut AnyConnection,
    eui: Eui,
    expired_after: UnixSeconds,
    limit: usize,
) -> Result<Vec<CommandId>> {
    // A word is owed by exactly those that are received and have not ended.
    let rows = sqlx::query(
        "SELECT command_id FROM commands WHERE eui = $1 AND cancel_requested_at IS NOT NULL \
         AND (overdue_at IS NOT NULL OR delivery = 'sent' OR (delivery = 'expired' AND expires_at > $2)) \
         ORDER BY CASE delivery WHEN 'received' THEN 0 WHEN 'sent' THEN 1 ELSE 2 END, command_id LIMIT $3",
    )
    .bind(eui.to_string())
    .bind(to_big(expired_after))
    .bind(to_big(limit as u64))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "command_id")).collect()
}
