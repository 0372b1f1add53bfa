//! The table of requests that are to be done once.

use keros_protocol::UnixSeconds;
use sqlx::{AnyConnection, Row as _};

use super::{Result, StoreError, number, to_big};
use crate::access::Attempt;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    /// The digest of the request.
    pub(crate) request: String,
    /// When the latest try began.
    pub(crate) begun_at: UnixSeconds,
    /// What was done, as the audit log names it; `None`: nothing yet.
    pub(crate) thing: Option<String>,
    /// What was answered.
    pub(crate) answer: Option<KeptAnswer>,
}

/// An answer to be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptAnswer {
    /// HTTP status.
    pub(crate) status: u16,
    /// The header `Location`.
    pub(crate) place: Option<String>,
    /// The body.
    pub(crate) text: String,
}

/// What is known of a caller's key.
pub(crate) async fn find(connection: &mut AnyConnection, caller: &str, key: &str) -> Result<Option<KeyRow>> {
    let row = sqlx::query(
        "SELECT request, begun_at, thing, status, place, answer FROM idempotency_keys \
         WHERE caller = $1 AND idempotency_key = $2",
    )
    .bind(caller.to_owned())
    .bind(key.to_owned())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let text: Option<String> = row.try_get("answer")?;
    let status: Option<i64> = row.try_get("status")?;
    let answer = match (status, text) {
        (Some(status), Some(text)) => Some(KeptAnswer {
            status: u16::try_from(status)
                .map_err(|_| StoreError::Row { column: "status", value: status.to_string() })?,
            place: row.try_get("place")?,
            text,
        }),
        _ => None,
    };
    Ok(Some(KeyRow {
        request: row.try_get("request")?,
        begun_at: number(&row, "begun_at")?,
        thing: row.try_get("thing")?,
        answer,
    }))
}

/// Keeps that this try is the one that may do it.
pub(crate) async fn begin(
    connection: &mut AnyConnection,
    attempt: &Attempt,
    request: &str,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO idempotency_keys (caller, idempotency_key, request, attempt, begun_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (caller, idempotency_key) DO UPDATE SET attempt = excluded.attempt, begun_at = excluded.begun_at",
    )
    .bind(attempt.caller.clone())
    .bind(attempt.key.clone())
    .bind(request.to_owned())
    .bind(attempt.id.to_string())
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps what the try did; `false`: another try has done it, or is to do it now.
pub(crate) async fn done(connection: &mut AnyConnection, attempt: &Attempt, thing: &str) -> Result<bool> {
    let result = sqlx::query(
        "UPDATE idempotency_keys SET thing = COALESCE(thing, $1) \
         WHERE caller = $2 AND idempotency_key = $3 AND attempt = $4 AND answer IS NULL",
    )
    .bind(thing.to_owned())
    .bind(attempt.caller.clone())
    .bind(attempt.key.clone())
    .bind(attempt.id.to_string())
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Keeps the answer.
pub(crate) async fn answered(
    connection: &mut AnyConnection,
    attempt: &Attempt,
    answer: &KeptAnswer,
) -> Result<()> {
    sqlx::query(
        "UPDATE idempotency_keys SET status = $1, place = $2, answer = $3 \
         WHERE caller = $4 AND idempotency_key = $5 AND attempt = $6",
    )
    .bind(i64::from(answer.status))
    .bind(answer.place.clone())
    .bind(answer.text.clone())
    .bind(attempt.caller.clone())
    .bind(attempt.key.clone())
    .bind(attempt.id.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets a try that did nothing: the next one is the first.
pub(crate) async fn forget(connection: &mut AnyConnection, attempt: &Attempt) -> Result<()> {
    sqlx::query(
        "DELETE FROM idempotency_keys WHERE caller = $1 AND idempotency_key = $2 AND attempt = $3 AND thing IS NULL",
    )
    .bind(attempt.caller.clone())
    .bind(attempt.key.clone())
    .bind(attempt.id.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// How many keys a caller has.
pub(crate) async fn count(connection: &mut AnyConnection, caller: &str) -> Result<u64> {
    let row = sqlx::query("SELECT COUNT(*) AS keys FROM idempotency_keys WHERE caller = $1")
        .bind(caller.to_owned())
        .fetch_one(connection)
        .await?;
    number(&row, "keys")
}

/// Forgets what began before.
pub(crate) async fn prune(connection: &mut AnyConnection, before: UnixSeconds) -> Result<()> {
    sqlx::query("DELETE FROM idempotency_keys WHERE begun_at < $1")
        .bind(to_big(before))
        .execute(connection)
        .await?;
    Ok(())
}
