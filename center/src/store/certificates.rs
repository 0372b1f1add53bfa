//! The table of certificates that were issued to gateways.

use keros_protocol::{Eui, UnixSeconds};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Result, number, optional_number, parsed, to_big};

macro_rules! columns {
    () => {
        "serial, eui, request_key, created_at, expires_at, revoked_at, pem"
    };
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateRow {
    /// Upper-case hex, without zeros in front.
    pub(crate) serial: String,
    /// The gateway that has it.
    pub(crate) eui: Eui,
    /// The point of its key, hex.
    pub(crate) request_key: String,
    /// When it was issued.
    pub(crate) created_at: UnixSeconds,
    /// From then on it is no longer good.
    pub(crate) expires_at: UnixSeconds,
    /// When it was revoked.
    pub(crate) revoked_at: Option<UnixSeconds>,
    /// It.
    pub(crate) pem: String,
}

fn certificate_row(row: &AnyRow) -> Result<CertificateRow> {
    Ok(CertificateRow {
        serial: row.try_get("serial")?,
        eui: parsed(row, "eui")?,
        request_key: row.try_get("request_key")?,
        created_at: number(row, "created_at")?,
        expires_at: number(row, "expires_at")?,
        revoked_at: optional_number(row, "revoked_at")?,
        pem: row.try_get("pem")?,
    })
}

/// Keeps a new one.
pub(crate) async fn insert(connection: &mut AnyConnection, row: &CertificateRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO certificates (serial, eui, request_key, created_at, expires_at, pem) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(row.serial.clone())
    .bind(row.eui.to_string())
    .bind(row.request_key.clone())
    .bind(to_big(row.created_at))
    .bind(to_big(row.expires_at))
    .bind(row.pem.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// The one with this serial number.
pub(crate) async fn find(connection: &mut AnyConnection, serial: &str) -> Result<Option<CertificateRow>> {
    let text = concat!("SELECT ", columns!(), " FROM certificates WHERE serial = $1");
    let row = sqlx::query(text).bind(serial.to_owned()).fetch_optional(connection).await?;
    row.as_ref().map(certificate_row).transpose()
}

/// All of a gateway that are good after this moment, the newest first.
pub(crate) async fn of(
    connection: &mut AnyConnection,
    eui: Eui,
    now: UnixSeconds,
) -> Result<Vec<CertificateRow>> {
    let text = concat!(
        "SELECT ",
        columns!(),
        " FROM certificates WHERE eui = $1 AND revoked_at IS NULL AND expires_at > $2 \
         ORDER BY created_at DESC, serial"
    );
    let rows = sqlx::query(text).bind(eui.to_string()).bind(to_big(now)).fetch_all(connection).await?;
    rows.iter().map(certificate_row).collect()
}

/// Revokes all of a gateway; how many.
pub(crate) async fn revoke(connection: &mut AnyConnection, eui: Eui, now: UnixSeconds) -> Result<u64> {
    let done = sqlx::query("UPDATE certificates SET revoked_at = $2 WHERE eui = $1 AND revoked_at IS NULL")
        .bind(eui.to_string())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Serial numbers of those that are revoked and would still be good.
pub(crate) async fn revoked(connection: &mut AnyConnection, now: UnixSeconds) -> Result<Vec<String>> {
    let rows =
        sqlx::query("SELECT serial FROM certificates WHERE revoked_at IS NOT NULL AND expires_at > $1")
            .bind(to_big(now))
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| Ok(row.try_get("serial")?)).collect()
}

/// Removes those that expired before this.
pub(crate) async fn prune(connection: &mut AnyConnection, before: UnixSeconds) -> Result<()> {
    sqlx::query("DELETE FROM certificates WHERE expires_at < $1")
        .bind(to_big(before))
        .execute(connection)
        .await?;
    Ok(())
}
