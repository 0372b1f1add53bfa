//! What only PostgreSQL needs: the settings of a connection, and what is asked of a database.

use sqlx::{AnyConnection, Connection as _, Row as _};

use super::{Result, StoreError};

/// Every connection: a center that hangs or is cut off while it holds a lock must not hold up the others for ever, and what is committed is
/// on the disk even where the server is set up otherwise. Who waits for a lock waits longer than a center that hangs may hold it: no order is
/// refused because of one. Milliseconds, and seconds for the keepalives of TCP.
pub(super) async fn prepare(connection: &mut AnyConnection) -> sqlx::Result<()> {
    for statement in [
        "SET idle_in_transaction_session_timeout = 15000",
        "SET statement_timeout = 60000",
        "SET lock_timeout = 30000",
        "SET tcp_keepalives_idle = 30",
        "SET tcp_keepalives_interval = 10",
        "SET tcp_keepalives_count = 3",
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    ] {
        sqlx::query(statement).fetch_all(&mut *connection).await?;
    }
    Ok(())
}

/// Text must be ordered and kept as in SQLite: pages of lists, and beginnings of digests, rely on it.
pub(super) async fn check(place: &str, url: &str) -> Result<()> {
    let error = |source| StoreError::Connect { place: place.to_owned(), source };
    let mut connection = AnyConnection::connect(url).await.map_err(error)?;
    let row = sqlx::query(
        "SELECT pg_encoding_to_char(encoding)::text AS encoding, datcollate::text AS collation, \
         CASE WHEN 'Z' < 'a' AND 'a b' < 'aa' THEN 1 ELSE 0 END AS by_code FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await?;
    let (encoding, collation): (String, String) = (row.try_get("encoding")?, row.try_get("collation")?);
    let by_code: i32 = row.try_get("by_code")?;
    let _ = connection.close().await;
    if encoding == "UTF8" && by_code == 1 {
        return Ok(());
    }
    Err(StoreError::Collation { place: place.to_owned(), encoding, collation })
}

/// The address without what nobody else should read.
pub(super) fn place(url: &str) -> String {
    let without_query = url.split('?').next().unwrap_or_default();
    match without_query.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@'))) {
        Some((scheme, Some((_, rest)))) => format!("{scheme}://{rest}"),
        _ => without_query.to_owned(),
    }
}

/// The address with this password.
pub(crate) fn with_password(url: &str, password: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}password={}", super::percent_encoded(password.as_bytes()))
}
