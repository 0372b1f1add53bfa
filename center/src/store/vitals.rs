//! The tables of what gateways say of themselves: the last telemetry, the packages, the history of vitals.

use keros_protocol::{Eui, Package, Telemetry, UnixSeconds};
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::{Result, from_json, to_big, to_json};
use crate::bounds::PRUNED_AT_ONCE;
use crate::gateway::history::{self, Day, Point, Row};
use crate::gateway::search::{name_key, search_text, version_key};
use crate::gateway::vitals::warnings;
use crate::store::GatewayRow;
use crate::store::gateways::shown_name;

/// What a telemetry says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    /// The telemetry without its package list.
    pub(crate) telemetry: Telemetry,
    /// The package list as JSON and its digest, when it came along.
    pub(crate) packages: Option<(String, String)>,
    /// The history of so many days is kept.
    pub(crate) history_days: u32,
}

/// Keeps what a gateway says of itself; `known` is what was known of it before. The gateway is there, and is online by it.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    known: Option<&GatewayRow>,
    heard: &Heard,
    now: UnixSeconds,
) -> Result<()> {
    let telemetry = &heard.telemetry;
    sqlx::query("UPDATE gateways SET online = 1, last_telemetry_at = $2, warnings = $3 WHERE eui = $1")
        .bind(telemetry.eui.to_string())
        .bind(to_big(now))
        .bind(warnings(telemetry).join(","))
        .execute(&mut *connection)
        .await?;
    keep_facts(connection, known, telemetry).await?;
    keep_vitals(connection, telemetry, heard.history_days, now).await?;
    if let Some((packages, digest)) = &heard.packages {
        keep_packages(connection, telemetry.eui, packages, digest).await?;
    }
    Ok(())
}

/// What hardly ever changes: lists are sorted by it, so it is only written when it has changed.
async fn keep_facts(
    connection: &mut AnyConnection,
    known: Option<&GatewayRow>,
    telemetry: &Telemetry,
) -> Result<()> {
    let version = telemetry.keros_version.as_ref();
    let same = known.is_some_and(|known| {
        known.codename == telemetry.codename
            && known.keros_version.as_deref() == version.map(keros_protocol::KerosVersion::as_str)
            && known.agent_version.as_ref() == Some(&telemetry.agent_version)
    });
    if same {
        return Ok(());
    }
    let name = known.and_then(|known| known.name.as_deref());
    let shown = shown_name(telemetry.eui, name, telemetry.codename.as_deref());
    let description = known.map_or("", |known| known.description.as_str());
    sqlx::query(
        "UPDATE gateways SET codename = $2, keros_version = $3, agent_version = $4, keros_key = $5, name_key = $6, \
         search_text = $7 WHERE eui = $1",
    )
    .bind(telemetry.eui.to_string())
    .bind(telemetry.codename.clone())
    .bind(version.map(|version| version.as_str().to_owned()))
    .bind(telemetry.agent_version.clone())
    .bind(version.map(version_key).unwrap_or_default())
    .bind(name_key(&shown))
    .bind(search_text(telemetry.eui, &shown, description))
    .execute(connection)
    .await?;
    Ok(())
}

async fn keep_vitals(
    connection: &mut AnyConnection,
    telemetry: &Telemetry,
    history_days: u32,
    now: UnixSeconds,
) -> Result<()> {
    let mut hours = hours(connection, telemetry.eui).await?;
    if let Some(point) = Point::of(telemetry) {
        let ended = history::add(&mut hours, now, point);
        if !ended.is_empty() {
            keep_days(connection, telemetry.eui, ended, history_days).await?;
        }
        let most = u64::from(history_days).saturating_mul(history::HOURS_A_DAY);
        hours.keep_last(usize::try_from(most).unwrap_or(usize::MAX));
    }
    sqlx::query(
        "INSERT INTO gateway_vitals (eui, telemetry, hours) VALUES ($1, $2, $3) \
         ON CONFLICT (eui) DO UPDATE SET telemetry = excluded.telemetry, hours = excluded.hours",
    )
    .bind(telemetry.eui.to_string())
    .bind(to_json("telemetry", telemetry)?)
    .bind(hours.to_text())
    .execute(connection)
    .await?;
    Ok(())
}

async fn keep_days(
    connection: &mut AnyConnection,
    eui: Eui,
    ended: Vec<(u64, Day)>,
    history_days: u32,
) -> Result<()> {
    let mut days = days(connection, eui).await?;
    for (number, day) in ended {
        history::add_day(&mut days, number, day);
    }
    days.keep_last(usize::try_from(history_days).unwrap_or(usize::MAX));
    sqlx::query(
        "INSERT INTO gateway_days (eui, days) VALUES ($1, $2) ON CONFLICT (eui) DO UPDATE SET days = excluded.days",
    )
    .bind(eui.to_string())
    .bind(days.to_text())
    .execute(connection)
    .await?;
    Ok(())
}

async fn keep_packages(connection: &mut AnyConnection, eui: Eui, packages: &str, digest: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO gateway_packages (eui, packages) VALUES ($1, $2) \
         ON CONFLICT (eui) DO UPDATE SET packages = excluded.packages",
    )
    .bind(eui.to_string())
    .bind(packages.to_owned())
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE gateways SET packages_digest = $2 WHERE eui = $1")
        .bind(eui.to_string())
        .bind(digest.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// The last telemetry of one gateway, without its package list.
pub(crate) async fn telemetry(connection: &mut AnyConnection, eui: Eui) -> Result<Option<Telemetry>> {
    let row = sqlx::query("SELECT telemetry FROM gateway_vitals WHERE eui = $1")
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(None), |row| from_json(&row, "telemetry"))
}

/// The hours of the last week.
pub(crate) async fn hours(connection: &mut AnyConnection, eui: Eui) -> Result<Row<Point>> {
    let row = sqlx::query("SELECT hours FROM gateway_vitals WHERE eui = $1")
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    let text: Option<String> = row.map(|row| row.try_get("hours")).transpose()?;
    Ok(Row::from_text(&text.unwrap_or_default()))
}

/// The days of the last year.
pub(crate) async fn days(connection: &mut AnyConnection, eui: Eui) -> Result<Row<Day>> {
    let row = sqlx::query("SELECT days FROM gateway_days WHERE eui = $1")
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    let text: Option<String> = row.map(|row| row.try_get("days")).transpose()?;
    Ok(Row::from_text(&text.unwrap_or_default()))
}

/// The packages, sorted by name; none when the gateway has not told them.
pub(crate) async fn packages(connection: &mut AnyConnection, eui: Eui) -> Result<Vec<Package>> {
    let row = sqlx::query("SELECT packages FROM gateway_packages WHERE eui = $1")
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    let list = row.map_or(Ok(None), |row| from_json(&row, "packages"))?;
    Ok(list.unwrap_or_default())
}

/// Forgets the history of some gateways that were last heard of before `oldest`; whether there may be more. Their last telemetry stays.
pub(crate) async fn prune(connection: &mut AnyConnection, oldest: UnixSeconds) -> Result<bool> {
    let silent = "SELECT v.eui FROM gateway_vitals v JOIN gateways g ON g.eui = v.eui WHERE v.hours <> '' \
                  AND COALESCE(g.last_telemetry_at, 0) < $1 ORDER BY v.eui LIMIT $2";
    let mut done = 0;
    for sql in [
        format!("DELETE FROM gateway_days WHERE eui IN ({silent})"),
        // Last, since those that it was done for are found by it.
        format!("UPDATE gateway_vitals SET hours = '' WHERE eui IN ({silent})"),
    ] {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(to_big(oldest)).bind(to_big(PRUNED_AT_ONCE));
        done = query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(done >= PRUNED_AT_ONCE)
}
