//! What dry runs would change: each text once for an update, however many gateways say it.

use keros_protocol::{CommandId, Eui, UpdateId};
use ring::digest::{SHA256, digest};
use sqlx::{AnyConnection, Row as _};

use super::{Result, count};

/// Gateways on which the same would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DifferencesRow {
    /// Names the text within its update.
    pub(crate) digest: String,
    /// What would be changed.
    pub(crate) text: String,
    /// On how many gateways.
    pub(crate) gateways: u32,
}

/// The dry run of a command would change this.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    command_id: CommandId,
    text: &str,
) -> Result<()> {
    let digest = hex(text);
    sqlx::query(
        "INSERT INTO differences (update_id, digest, differences) VALUES ($1, $2, $3) \
         ON CONFLICT (update_id, digest) DO NOTHING",
    )
    .bind(update_id.to_string())
    .bind(digest.clone())
    .bind(text.to_owned())
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE commands SET differences_digest = $2 WHERE command_id = $1")
        .bind(command_id.to_string())
        .bind(digest)
        .execute(connection)
        .await?;
    Ok(())
}

/// The groups of an update, the greatest first, and how many there are.
pub(crate) async fn groups(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    limit: u32,
) -> Result<(Vec<DifferencesRow>, u32)> {
    let rows = sqlx::query(
        "SELECT g.digest AS digest, g.n AS n, d.differences AS text FROM \
         (SELECT differences_digest AS digest, COUNT(*) AS n FROM commands \
         WHERE update_id = $1 AND differences_digest IS NOT NULL GROUP BY differences_digest) g \
         JOIN differences d ON d.update_id = $1 AND d.digest = g.digest ORDER BY g.n DESC, g.digest LIMIT $2",
    )
    .bind(update_id.to_string())
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let all = sqlx::query(
        "SELECT COUNT(DISTINCT differences_digest) AS n FROM commands \
         WHERE update_id = $1 AND differences_digest IS NOT NULL",
    )
    .bind(update_id.to_string())
    .fetch_one(connection)
    .await?;
    let groups = rows.iter().map(|row| {
        let (digest, text) = (row.try_get("digest")?, row.try_get("text")?);
        Ok(DifferencesRow { digest, text, gateways: count(row, "n")? })
    });
    Ok((groups.collect::<Result<_>>()?, count(&all, "n")?))
}

/// On how many gateways the dry run of an update would change something.
pub(crate) async fn gateways(connection: &mut AnyConnection, update_id: UpdateId) -> Result<u32> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n FROM commands WHERE update_id = $1 AND differences_digest IS NOT NULL",
    )
    .bind(update_id.to_string())
    .fetch_one(connection)
    .await?;
    count(&row, "n")
}

/// What the dry run of one gateway would change.
pub(crate) async fn of_gateway(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    eui: Eui,
) -> Result<Option<String>> {
    let row = sqlx::query(
        "SELECT d.differences AS text FROM commands c \
         JOIN differences d ON d.update_id = c.update_id AND d.digest = c.differences_digest \
         WHERE c.update_id = $1 AND c.eui = $2",
    )
    .bind(update_id.to_string())
    .bind(eui.to_string())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.try_get("text")).transpose()?)
}

fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
