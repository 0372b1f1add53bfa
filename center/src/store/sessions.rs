//! The table of log-ins at the pages.

use keros_protocol::UnixSeconds;
use sqlx::{AnyConnection, Row as _};

use super::{Result, number, parsed, to_big};
use crate::access::UserId;

/// A log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    /// Of the secret in the cookie.
    pub(crate) digest: String,
    /// Whose.
    pub(crate) user_id: UserId,
    /// What forms and scripts send back.
    pub(crate) csrf: String,
    /// From where it began.
    pub(crate) address: String,
    /// When.
    pub(crate) created_at: UnixSeconds,
    /// When something was last asked in it; up to a minute old.
    pub(crate) seen_at: UnixSeconds,
}

/// Keeps a new one.
pub(crate) async fn insert(connection: &mut AnyConnection, row: &SessionRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO sessions (digest, user_id, csrf, address, created_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(row.digest.clone())
    .bind(row.user_id.to_string())
    .bind(row.csrf.clone())
    .bind(row.address.clone())
    .bind(to_big(row.created_at))
    .bind(to_big(row.seen_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The one of this secret's digest.
pub(crate) async fn find(connection: &mut AnyConnection, digest: &str) -> Result<Option<SessionRow>> {
    let row = sqlx::query(
        "SELECT digest, user_id, csrf, address, created_at, seen_at FROM sessions WHERE digest = $1",
    )
    .bind(digest.to_owned())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(SessionRow {
        digest: row.try_get("digest")?,
        user_id: parsed(&row, "user_id")?,
        csrf: row.try_get("csrf")?,
        address: row.try_get("address")?,
        created_at: number(&row, "created_at")?,
        seen_at: number(&row, "seen_at")?,
    }))
}

/// Something was asked in it.
pub(crate) async fn seen(connection: &mut AnyConnection, digest: &str, now: UnixSeconds) -> Result<()> {
    sqlx::query("UPDATE sessions SET seen_at = $2 WHERE digest = $1 AND seen_at < $2")
        .bind(digest.to_owned())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends one.
pub(crate) async fn remove(connection: &mut AnyConnection, digest: &str) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE digest = $1").bind(digest.to_owned()).execute(connection).await?;
    Ok(())
}

/// Ends all of a user.
pub(crate) async fn remove_all(connection: &mut AnyConnection, user: UserId) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user.to_string()).execute(connection).await?;
    Ok(())
}

/// Ends those that are idle or too old, and of one user the oldest beyond `most`.
pub(crate) async fn prune(
    connection: &mut AnyConnection,
    seen_before: UnixSeconds,
    created_before: UnixSeconds,
    (user, most): (UserId, u32),
) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE seen_at < $1 OR created_at < $2")
        .bind(to_big(seen_before))
        .bind(to_big(created_before))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "DELETE FROM sessions WHERE user_id = $1 AND digest NOT IN \
         (SELECT digest FROM sessions WHERE user_id = $1 ORDER BY created_at DESC, digest LIMIT $2)",
    )
    .bind(user.to_string())
    .bind(i64::from(most))
    .execute(connection)
    .await?;
    Ok(())
}
