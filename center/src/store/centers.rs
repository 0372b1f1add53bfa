//! The tables of the centers that serve from this database, and what was under way when one of them went away.

use keros_protocol::{Eui, UnixSeconds, UpdateId};
use sqlx::{AnyConnection, Row as _};

use super::{Result, number, parsed, to_big};

/// A center that serves, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CenterRow {
    /// Its name at the broker.
    pub(crate) center_id: String,
    /// A digest of the settings that all must have alike.
    pub(crate) settings: String,
    /// Gateways are connected to a broker of its own.
    pub(crate) own_broker: bool,
    /// Counts up while it lives.
    pub(crate) beat: u64,
    /// When it last did, by its own clock.
    pub(crate) seen_at: UnixSeconds,
}

/// A sign of life.
pub(crate) async fn beat(
    connection: &mut AnyConnection,
    center_id: &str,
    settings: &str,
    own_broker: bool,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO centers (center_id, settings, own_broker, beat, seen_at) VALUES ($1, $2, $3, 1, $4) \
         ON CONFLICT (center_id) DO UPDATE SET settings = excluded.settings, own_broker = excluded.own_broker, \
         beat = centers.beat + 1, seen_at = excluded.seen_at",
    )
    .bind(center_id.to_owned())
    .bind(settings.to_owned())
    .bind(i64::from(own_broker))
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// All centers.
pub(crate) async fn list(connection: &mut AnyConnection) -> Result<Vec<CenterRow>> {
    let rows =
        sqlx::query("SELECT center_id, settings, own_broker, beat, seen_at FROM centers ORDER BY center_id")
            .fetch_all(connection)
            .await?;
    let center = |row: &sqlx::any::AnyRow| {
        Ok(CenterRow {
            center_id: row.try_get("center_id")?,
            settings: row.try_get("settings")?,
            own_broker: number(row, "own_broker")? != 0,
            beat: number(row, "beat")?,
            seen_at: number(row, "seen_at")?,
        })
    };
    rows.iter().map(center).collect()
}

/// Removes a center that has stopped at this beat; `false`: another one was faster, or it lives. One statement, so that of several one
/// succeeds.
pub(crate) async fn remove(connection: &mut AnyConnection, center_id: &str, beat: u64) -> Result<bool> {
    let done = sqlx::query("DELETE FROM centers WHERE center_id = $1 AND beat = $2")
        .bind(center_id.to_owned())
        .bind(to_big(beat))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// A center takes back its own sign of life.
pub(crate) async fn forget(connection: &mut AnyConnection, center_id: &str) -> Result<()> {
    sqlx::query("DELETE FROM centers WHERE center_id = $1")
        .bind(center_id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// What all centers share under this name: what is there, or else what is proposed.
pub(crate) async fn shared(connection: &mut AnyConnection, name: &str, proposed: &str) -> Result<String> {
    sqlx::query("INSERT INTO center_settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name.to_owned())
        .bind(proposed.to_owned())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT value FROM center_settings WHERE name = $1")
        .bind(name.to_owned())
        .fetch_one(connection)
        .await?;
    Ok(row.try_get("value")?)
}

/// Gateways that are online and that something is under way for.
pub(crate) async fn gateways_under_way(connection: &mut AnyConnection, limit: usize) -> Result<Vec<Eui>> {
    let rows = sqlx::query(
        "SELECT DISTINCT c.eui AS eui FROM commands c JOIN gateways g ON g.eui = c.eui \
         WHERE g.online = 1 AND (c.delivery IN ('waiting', 'sent') OR c.overdue_at IS NOT NULL) \
         ORDER BY eui LIMIT $1",
    )
    .bind(to_big(limit as u64))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "eui")).collect()
}

/// Updates of which something changed since then.
pub(crate) async fn changed_since(
    connection: &mut AnyConnection,
    since: UnixSeconds,
    limit: usize,
) -> Result<Vec<UpdateId>> {
    let rows = sqlx::query(
        "SELECT DISTINCT update_id FROM commands WHERE changed_at >= $1 ORDER BY update_id DESC LIMIT $2",
    )
    .bind(to_big(since))
    .bind(to_big(limit as u64))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "update_id")).collect()
}
