//! What a backup that was put back makes of the rows: since it was made, gateways may have done and said what is no longer known here.

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;

use super::{Result, to_big};
use crate::bounds::{BUSY_AFTER_EXPIRY_S, TELEMETRY_INTERVAL_S};

/// Each gateway's next report is taken from wherever it counts. No command is begun that an operator may have taken back since: what has no
/// end is asked after, and what was not received yet is asked to end, so that it is either told what became of it or never runs. What gave
/// somebody a way in, and may have been used or taken back, is no longer good. What a webhook may have been told is not told again.
pub(crate) async fn settle(
    connection: &mut AnyConnection,
    made_at: UnixSeconds,
    now: UnixSeconds,
) -> Result<()> {
    let now_big = to_big(now);
    let asked_until = to_big(now.saturating_add(3 * TELEMETRY_INTERVAL_S));
    let by_us = "update_id IN (SELECT update_id FROM updates WHERE by_hand = 0)";
    let run = async |connection: &mut AnyConnection, sql: String, values: &[i64]| -> Result<()> {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        values.iter().fold(query, |query, value| query.bind(*value)).execute(connection).await?;
        Ok(())
    };
    run(connection, "UPDATE gateways SET reports_lost = 1, online = 0".to_owned(), &[]).await?;
    run(connection, "UPDATE updates SET tally = NULL".to_owned(), &[]).await?;
    let taken_back = format!(
        "UPDATE commands SET delivery = 'sent', cancel_requested_at = COALESCE(cancel_requested_at, $1) \
         WHERE delivery IN ('waiting', 'sent') AND {by_us}"
    );
    run(connection, taken_back, &[now_big]).await?;
    // A stream that no gateway has, so that each is asked. What was owed later still is.
    let asked = format!(
        "UPDATE commands SET overdue_at = CASE WHEN overdue_at > $1 THEN overdue_at ELSE $1 END, heard_stream = 'restored' WHERE overdue_at IS NOT NULL OR \
         ((delivery = 'sent' OR (delivery = 'expired' AND expires_at > $2)) AND {by_us})"
    );
    run(connection, asked, &[asked_until, to_big(made_at.saturating_sub(BUSY_AFTER_EXPIRY_S))]).await?;
    let enrolments =
        "UPDATE enrolments SET cancelled_at = $1 WHERE confirmed_at IS NULL AND cancelled_at IS NULL"
            .to_owned();
    run(connection, enrolments, &[now_big]).await?;
    let setups = "UPDATE users SET setup_digest = NULL, setup_expires_at = NULL".to_owned();
    run(connection, setups, &[]).await?;
    let messages = "UPDATE webhook_messages SET state = 'given_up', next_at = NULL, error = \
                    'a backup was restored: it may have been sent since that was made' WHERE state = 'waiting'";
    run(connection, messages.to_owned(), &[]).await?;
    Ok(())
}

/// What belongs to the place where the backup was made.
pub(crate) async fn forget_place(connection: &mut AnyConnection) -> Result<()> {
    sqlx::query("DELETE FROM center_settings WHERE name = 'links_folder'").execute(connection).await?;
    Ok(())
}
