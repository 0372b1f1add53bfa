//! The table of enrolments.

use keros_protocol::{Eui, UnixSeconds};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::among::Among;
use super::{Result, number, optional_number, parsed, to_big};
use crate::access::Visible;

macro_rules! columns {
    () => {
        "token_digest, eui, created_at, expires_at, request_key, issued_count, confirmed_at, cancelled_at"
    };
}

/// One token that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnrolmentRow {
    /// Of the token.
    pub(crate) token_digest: String,
    /// The gateway that it is for.
    pub(crate) eui: Eui,
    /// When it was given out.
    pub(crate) created_at: UnixSeconds,
    /// From then on it is no longer good.
    pub(crate) expires_at: UnixSeconds,
    /// The key that asked with it.
    pub(crate) request_key: Option<String>,
    /// How often it was asked with.
    pub(crate) issued_count: u64,
    /// When the gateway said that it has all.
    pub(crate) confirmed_at: Option<UnixSeconds>,
    /// When an operator took it back.
    pub(crate) cancelled_at: Option<UnixSeconds>,
}

fn enrolment_row(row: &AnyRow) -> Result<EnrolmentRow> {
    Ok(EnrolmentRow {
        token_digest: row.try_get("token_digest")?,
        eui: parsed(row, "eui")?,
        created_at: number(row, "created_at")?,
        expires_at: number(row, "expires_at")?,
        request_key: row.try_get("request_key")?,
        issued_count: number(row, "issued_count")?,
        confirmed_at: optional_number(row, "confirmed_at")?,
        cancelled_at: optional_number(row, "cancelled_at")?,
    })
}

/// Keeps a new one.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    token_digest: &str,
    eui: Eui,
    created_at: UnixSeconds,
    expires_at: UnixSeconds,
) -> Result<()> {
    sqlx::query("INSERT INTO enrolments (token_digest, eui, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(token_digest.to_owned())
        .bind(eui.to_string())
        .bind(to_big(created_at))
        .bind(to_big(expires_at))
        .execute(connection)
        .await?;
    Ok(())
}

/// The one of this token.
pub(crate) async fn find(connection: &mut AnyConnection, token_digest: &str) -> Result<Option<EnrolmentRow>> {
    let text = concat!("SELECT ", columns!(), " FROM enrolments WHERE token_digest = $1");
    let row = sqlx::query(text).bind(token_digest.to_owned()).fetch_optional(connection).await?;
    row.as_ref().map(enrolment_row).transpose()
}

/// Those of the visible customers' gateways, the newest first. A gateway that is not known yet will be of `main`.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    visible: &Visible,
    limit: u32,
) -> Result<Vec<EnrolmentRow>> {
    let among = Among::new(
        "COALESCE((SELECT g.customer_id FROM gateways g WHERE g.eui = enrolments.eui), \
         '00000000-0000-7000-8000-000000000001')",
        visible,
        2,
    );
    let sql = among.within(concat!(
        "SELECT ",
        columns!(),
        " FROM enrolments WHERE {among} ORDER BY created_at DESC, eui LIMIT $1"
    ));
    let rows = among.bind(sqlx::query(sql).bind(i64::from(limit))).fetch_all(connection).await?;
    rows.iter().map(enrolment_row).collect()
}

/// This key asks with this token: `false` when another one did, or it was used or taken back meanwhile. One statement: of two that ask at
/// the same time one waits for the other, and sees it.
pub(crate) async fn asked(
    connection: &mut AnyConnection,
    token_digest: &str,
    request_key: &str,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE enrolments SET request_key = $2, issued_count = issued_count + 1 WHERE token_digest = $1 \
         AND (request_key IS NULL OR request_key = $2) AND confirmed_at IS NULL AND cancelled_at IS NULL",
    )
    .bind(token_digest.to_owned())
    .bind(request_key.to_owned())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The gateway has all.
pub(crate) async fn confirm(
    connection: &mut AnyConnection,
    token_digest: &str,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query("UPDATE enrolments SET confirmed_at = $2 WHERE token_digest = $1")
        .bind(token_digest.to_owned())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes back what this gateway has not confirmed; how many.
pub(crate) async fn cancel(connection: &mut AnyConnection, eui: Eui, now: UnixSeconds) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE enrolments SET cancelled_at = $2 WHERE eui = $1 AND confirmed_at IS NULL AND cancelled_at IS NULL \
         AND expires_at > $2",
    )
    .bind(eui.to_string())
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes those that were over before this.
pub(crate) async fn prune(connection: &mut AnyConnection, before: UnixSeconds) -> Result<()> {
    sqlx::query("DELETE FROM enrolments WHERE expires_at < $1")
        .bind(to_big(before))
        .execute(connection)
        .await?;
    Ok(())
}
