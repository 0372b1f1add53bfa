//! The table of API tokens.

use keros_protocol::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::{Result, StoreError, from_json, number, optional_number, parsed, to_big, to_json};
use crate::access::{TokenScopes, UserId};

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// Its id: not the token.
    pub(crate) token_id: Uuid,
    /// Of the token.
    pub(crate) digest: String,
    /// Whose.
    pub(crate) user_id: UserId,
    /// What it is for.
    pub(crate) name: String,
    /// What it may be used for.
    pub(crate) scopes: TokenScopes,
    /// When it was made.
    pub(crate) created_at: UnixSeconds,
    /// From then on it is no longer good.
    pub(crate) expires_at: UnixSeconds,
    /// When it was last used; up to a minute old.
    pub(crate) last_used_at: Option<UnixSeconds>,
}

macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "SELECT token_id, digest, user_id, name, scopes, created_at, expires_at, last_used_at FROM api_tokens ",
            $rest
        )
    };
}

fn token_row(row: &AnyRow) -> Result<TokenRow> {
    let missing = || StoreError::Row { column: "scopes", value: "NULL".to_owned() };
    Ok(TokenRow {
        token_id: parsed(row, "token_id")?,
        digest: row.try_get("digest")?,
        user_id: parsed(row, "user_id")?,
        name: row.try_get("name")?,
        scopes: from_json(row, "scopes")?.ok_or_else(missing)?,
        created_at: number(row, "created_at")?,
        expires_at: number(row, "expires_at")?,
        last_used_at: optional_number(row, "last_used_at")?,
    })
}

/// Keeps a new one.
pub(crate) async fn insert(connection: &mut AnyConnection, row: &TokenRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO api_tokens (token_id, digest, user_id, name, scopes, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.token_id.to_string())
    .bind(row.digest.clone())
    .bind(row.user_id.to_string())
    .bind(row.name.clone())
    .bind(to_json("scopes", &row.scopes)?)
    .bind(to_big(row.created_at))
    .bind(to_big(row.expires_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The one of this digest.
pub(crate) async fn find(connection: &mut AnyConnection, digest: &str) -> Result<Option<TokenRow>> {
    let row =
        sqlx::query(tokens!("WHERE digest = $1")).bind(digest.to_owned()).fetch_optional(connection).await?;
    row.as_ref().map(token_row).transpose()
}

/// Those of a user, newest first.
pub(crate) async fn of_user(connection: &mut AnyConnection, user: UserId) -> Result<Vec<TokenRow>> {
    let rows = sqlx::query(tokens!("WHERE user_id = $1 ORDER BY token_id DESC"))
        .bind(user.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(token_row).collect()
}

/// Revokes one of a user; whether it was there.
pub(crate) async fn remove(connection: &mut AnyConnection, user: UserId, token_id: Uuid) -> Result<bool> {
    let done = sqlx::query("DELETE FROM api_tokens WHERE user_id = $1 AND token_id = $2")
        .bind(user.to_string())
        .bind(token_id.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// It was used.
pub(crate) async fn used(connection: &mut AnyConnection, digest: &str, now: UnixSeconds) -> Result<()> {
    sqlx::query("UPDATE api_tokens SET last_used_at = $2 WHERE digest = $1")
        .bind(digest.to_owned())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(())
}
