//! The tables of groups and their members.

use std::collections::BTreeMap;

use keros_protocol::Eui;
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::{Result, parsed};
use crate::api::GroupView;

/// All groups by name, with their members.
pub(crate) async fn list(connection: &mut AnyConnection) -> Result<Vec<GroupView>> {
    let rows = sqlx::query(
        "SELECT g.name, g.description, m.eui AS member FROM gateway_groups g \
         LEFT JOIN group_members m ON m.group_name = g.name ORDER BY g.name, m.eui",
    )
    .fetch_all(connection)
    .await?;
    let mut groups: Vec<GroupView> = Vec::new();
    for row in &rows {
        let name: String = row.try_get("name")?;
        if groups.last().is_none_or(|group| group.name != name) {
            let description = row.try_get("description")?;
            groups.push(GroupView { name, description, gateways: Vec::new() });
        }
        let member: Option<String> = row.try_get("member")?;
        if let (Some(group), Some(_)) = (groups.last_mut(), member) {
            group.gateways.push(parsed(row, "member")?);
        }
    }
    Ok(groups)
}

/// One group.
pub(crate) async fn find(connection: &mut AnyConnection, name: &str) -> Result<Option<GroupView>> {
    let row = sqlx::query("SELECT description FROM gateway_groups WHERE name = $1")
        .bind(name.to_owned())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let description = row.try_get("description")?;
    let rows = sqlx::query("SELECT eui FROM group_members WHERE group_name = $1 ORDER BY eui")
        .bind(name.to_owned())
        .fetch_all(connection)
        .await?;
    let gateways = rows.iter().map(|row| parsed(row, "eui")).collect::<Result<_>>()?;
    Ok(Some(GroupView { name: name.to_owned(), description, gateways }))
}

/// How many groups there are.
pub(crate) async fn count(connection: &mut AnyConnection) -> Result<u32> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM gateway_groups").fetch_one(connection).await?;
    super::count(&row, "n")
}

/// Makes an empty group.
pub(crate) async fn create(connection: &mut AnyConnection, name: &str, description: &str) -> Result<()> {
    sqlx::query("INSERT INTO gateway_groups (name, description) VALUES ($1, $2)")
        .bind(name.to_owned())
        .bind(description.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a group and its memberships; whether it was there.
pub(crate) async fn remove(connection: &mut AnyConnection, name: &str) -> Result<bool> {
    let done = sqlx::query("DELETE FROM gateway_groups WHERE name = $1")
        .bind(name.to_owned())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Puts a gateway into a group; both must be there.
pub(crate) async fn add_member(connection: &mut AnyConnection, name: &str, eui: Eui) -> Result<()> {
    sqlx::query(
        "INSERT INTO group_members (group_name, eui) VALUES ($1, $2) ON CONFLICT (group_name, eui) DO NOTHING",
    )
    .bind(name.to_owned())
    .bind(eui.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a gateway out of a group; whether it was in it.
pub(crate) async fn remove_member(connection: &mut AnyConnection, name: &str, eui: Eui) -> Result<bool> {
    let done = sqlx::query("DELETE FROM group_members WHERE group_name = $1 AND eui = $2")
        .bind(name.to_owned())
        .bind(eui.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The groups of every gateway after `after` up to `last`, or of one gateway when both bounds name it.
pub(crate) async fn of_gateways(
    connection: &mut AnyConnection,
    first: Eui,
    last: Eui,
) -> Result<BTreeMap<Eui, Vec<String>>> {
    let rows = sqlx::query(
        "SELECT eui, group_name FROM group_members WHERE eui >= $1 AND eui <= $2 ORDER BY eui, group_name",
    )
    .bind(first.to_string())
    .bind(last.to_string())
    .fetch_all(connection)
    .await?;
    let mut groups: BTreeMap<Eui, Vec<String>> = BTreeMap::new();
    for row in &rows {
        groups.entry(parsed(row, "eui")?).or_default().push(row.try_get("group_name")?);
    }
    Ok(groups)
}

/// The members of a group that are online.
pub(crate) async fn online_members(connection: &mut AnyConnection, name: &str) -> Result<Vec<Eui>> {
    let rows = sqlx::query(
        "SELECT m.eui AS eui FROM group_members m JOIN gateways g ON g.eui = m.eui \
         WHERE m.group_name = $1 AND g.online = 1 ORDER BY m.eui",
    )
    .bind(name.to_owned())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "eui")).collect()
}
