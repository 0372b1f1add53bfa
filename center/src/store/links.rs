//! The tables of Magic Links and of the blobs that they name.

use keros_protocol::UnixSeconds;
use keros_protocol::UpdateId;
use keros_protocol::magic_link::{Descriptor, Digest, KerosRange, Title};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, QueryBuilder, Row as _};

use super::among::Among;
use super::{Result, count, from_json, number, numbered, optional_number, parsed, to_big, to_json};
use crate::access::{CustomerId, Visible};

/// Rows of one INSERT: 3 values each, far below SQLite's 32,766 values for one statement.
const ROWS_PER_INSERT: usize = 1000;

/// A Magic Link, without its files and gateways: these are in its blobs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinkRow {
    /// Its hash.
    pub(crate) digest: Digest,
    /// What it is called.
    pub(crate) name: String,
    /// What it does.
    pub(crate) description: String,
    /// The KerOS versions that it fits.
    pub(crate) keros: Option<KerosRange>,
    /// The hardware that it fits.
    pub(crate) models: Vec<String>,
    /// From when on it is not started.
    pub(crate) expires_at: Option<UnixSeconds>,
    /// The file that is run.
    pub(crate) playbook: Title,
    /// All files together.
    pub(crate) size_bytes: u64,
    /// How many files.
    pub(crate) file_count: u32,
    /// How many gateways, or beginnings of EUIs, it declares.
    pub(crate) gateway_count: u32,
    /// When it was put here.
    pub(crate) created_at: UnixSeconds,
}

fn link_row(row: &AnyRow) -> Result<LinkRow> {
    Ok(LinkRow {
        digest: parsed(row, "digest")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        keros: row.try_get::<Option<String>, _>("keros")?.map(|_| parsed(row, "keros")).transpose()?,
        models: from_json(row, "models")?.unwrap_or_default(),
        expires_at: optional_number(row, "expires_at")?,
        playbook: parsed(row, "playbook")?,
        size_bytes: number(row, "size_bytes")?,
        file_count: count(row, "file_count")?,
        gateway_count: count(row, "gateway_count")?,
        created_at: number(row, "created_at")?,
    })
}

/// The links of the visible customers, newest first.
pub(crate) async fn list(connection: &mut AnyConnection, visible: &Visible) -> Result<Vec<LinkRow>> {
    let among = Among::new("o.customer_id", visible, 1);
    let sql = among.within(
        "SELECT * FROM magic_links l WHERE EXISTS (SELECT 1 FROM magic_link_customers o \
         WHERE o.link = l.digest AND {among}) ORDER BY created_at DESC, digest",
    );
    let rows = among.bind(sqlx::query(sql)).fetch_all(connection).await?;
    rows.iter().map(link_row).collect()
}

/// The links of the visible customers whose digest begins so, two at most.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    beginning: &str,
    visible: &Visible,
) -> Result<Vec<LinkRow>> {
    let among = Among::new("o.customer_id", visible, 3);
    let sql = among.within(
        "SELECT * FROM magic_links l WHERE digest >= $1 AND digest < $2 AND EXISTS (SELECT 1 \
         FROM magic_link_customers o WHERE o.link = l.digest AND {among}) ORDER BY digest LIMIT 2",
    );
    // `g` is after every hex digit.
    let query = sqlx::query(sql).bind(beginning.to_owned()).bind(format!("{beginning}g"));
    let rows = among.bind(query).fetch_all(connection).await?;
    rows.iter().map(link_row).collect()
}

/// Whether there is this link.
pub(crate) async fn exists(connection: &mut AnyConnection, digest: Digest) -> Result<bool> {
    let row = sqlx::query("SELECT digest FROM magic_links WHERE digest = $1")
        .bind(digest.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Whether there is this link, as one of this customer.
pub(crate) async fn is_of(
    connection: &mut AnyConnection,
    digest: Digest,
    customer: CustomerId,
) -> Result<bool> {
    let row = sqlx::query("SELECT link FROM magic_link_customers WHERE link = $1 AND customer_id = $2")
        .bind(digest.to_string())
        .bind(customer.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// The customers that have this link.
pub(crate) async fn customers(connection: &mut AnyConnection, digest: Digest) -> Result<Vec<CustomerId>> {
    let rows =
        sqlx::query("SELECT customer_id FROM magic_link_customers WHERE link = $1 ORDER BY customer_id")
            .bind(digest.to_string())
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| parsed(row, "customer_id")).collect()
}

/// Makes a link one of a customer's too; whether it was not before.
pub(crate) async fn give(
    connection: &mut AnyConnection,
    digest: Digest,
    customer: CustomerId,
) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO magic_link_customers (link, customer_id) VALUES ($1, $2) ON CONFLICT (link, customer_id) DO NOTHING",
    )
    .bind(digest.to_string())
    .bind(customer.to_string())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A customer has the link no longer.
pub(crate) async fn take(connection: &mut AnyConnection, digest: Digest, customer: CustomerId) -> Result<()> {
    sqlx::query("DELETE FROM magic_link_customers WHERE link = $1 AND customer_id = $2")
        .bind(digest.to_string())
        .bind(customer.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a link of a visible customer names the blob.
pub(crate) async fn is_named_for(
    connection: &mut AnyConnection,
    blob: Digest,
    visible: &Visible,
) -> Result<bool> {
    let among = Among::new("o.customer_id", visible, 2);
    let sql = among.within(
        "SELECT b.link AS link FROM magic_link_blobs b JOIN magic_link_customers o ON o.link = b.link \
         WHERE b.blob = $1 AND {among} LIMIT 1",
    );
    let row = among.bind(sqlx::query(sql).bind(blob.to_string())).fetch_optional(connection).await?;
    Ok(row.is_some())
}

/// How many links there are.
pub(crate) async fn total(connection: &mut AnyConnection) -> Result<u32> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM magic_links").fetch_one(connection).await?;
    count(&row, "n")
}

/// Keeps a link that is not there, and what it names.
pub(crate) async fn create(
    connection: &mut AnyConnection,
    link: &LinkRow,
    blobs: &[Descriptor],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO magic_links (digest, name, description, keros, models, expires_at, playbook, size_bytes, \
         file_count, gateway_count, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(link.digest.to_string())
    .bind(link.name.clone())
    .bind(link.description.clone())
    .bind(link.keros.as_ref().map(ToString::to_string))
    .bind(to_json("models", &link.models)?)
    .bind(link.expires_at.map(to_big))
    .bind(link.playbook.to_string())
    .bind(to_big(link.size_bytes))
    .bind(i64::from(link.file_count))
    .bind(i64::from(link.gateway_count))
    .bind(to_big(link.created_at))
    .execute(&mut *connection)
    .await?;
    for part in blobs.chunks(ROWS_PER_INSERT) {
        let mut insert =
            QueryBuilder::<sqlx::Any>::new("INSERT INTO magic_link_blobs (link, blob, size_bytes) ");
        insert.push_values(part, |mut values, blob| {
            values
                .push_bind(link.digest.to_string())
                .push_bind(blob.digest.to_string())
                .push_bind(to_big(blob.size));
        });
        numbered(insert)?.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Removes a link; gives what it named.
pub(crate) async fn remove(connection: &mut AnyConnection, digest: Digest) -> Result<Vec<Digest>> {
    let rows = sqlx::query("SELECT blob FROM magic_link_blobs WHERE link = $1")
        .bind(digest.to_string())
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM magic_links WHERE digest = $1")
        .bind(digest.to_string())
        .execute(connection)
        .await?;
    rows.iter().map(|row| parsed(row, "blob")).collect()
}

/// The length of a blob, if the link names it.
pub(crate) async fn named(connection: &mut AnyConnection, link: Digest, blob: Digest) -> Result<Option<u64>> {
    let row = sqlx::query("SELECT size_bytes FROM magic_link_blobs WHERE link = $1 AND blob = $2")
        .bind(link.to_string())
        .bind(blob.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|row| number(&row, "size_bytes")).transpose()
}

/// Whether any link names the blob.
pub(crate) async fn is_named(connection: &mut AnyConnection, blob: Digest) -> Result<bool> {
    let row = sqlx::query("SELECT link FROM magic_link_blobs WHERE blob = $1 LIMIT 1")
        .bind(blob.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// The visible updates that run a link, newest first.
pub(crate) async fn updates(
    connection: &mut AnyConnection,
    digest: Digest,
    visible: &Visible,
    limit: u32,
) -> Result<Vec<UpdateId>> {
    let among = Among::new("customer_id", visible, 3);
    let sql = among.within(
        "SELECT update_id FROM updates WHERE link_digest = $1 AND {among} ORDER BY update_id DESC LIMIT $2",
    );
    let query = sqlx::query(sql).bind(digest.to_string()).bind(i64::from(limit));
    let rows = among.bind(query).fetch_all(connection).await?;
    rows.iter().map(|row| parsed(row, "update_id")).collect()
}

/// An update of these customers that runs the link and has not ended.
pub(crate) async fn open_update(
    connection: &mut AnyConnection,
    digest: Digest,
    of: &Visible,
) -> Result<Option<UpdateId>> {
    // A word is owed by exactly those commands that are received and have not ended.
    let among = Among::new("u.customer_id", of, 2);
    let sql = among.within(
        "SELECT u.update_id AS update_id FROM updates u WHERE u.link_digest = $1 AND {among} AND u.tally IS NULL AND EXISTS (SELECT 1 \
         FROM commands c WHERE c.update_id = u.update_id \
         AND (c.delivery IN ('waiting', 'sent') OR c.overdue_at IS NOT NULL)) LIMIT 1",
    );
    let row = among.bind(sqlx::query(sql).bind(digest.to_string())).fetch_optional(connection).await?;
    row.map(|row| parsed(&row, "update_id")).transpose()
}

/// The links that were put here up to this time, and that no update runs that was sent since, or has not ended.
pub(crate) async fn collectable(connection: &mut AnyConnection, until: UnixSeconds) -> Result<Vec<Digest>> {
    let rows = sqlx::query(
        "SELECT l.digest AS digest FROM magic_links l WHERE l.created_at <= $1 AND NOT EXISTS \
         (SELECT 1 FROM updates u WHERE u.link_digest = l.digest AND (u.created_at > $1 OR u.tally IS NULL AND EXISTS \
         (SELECT 1 FROM commands c WHERE c.update_id = u.update_id \
         AND (c.delivery IN ('waiting', 'sent') OR c.overdue_at IS NOT NULL))))",
    )
    .bind(to_big(until))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "digest")).collect()
}
