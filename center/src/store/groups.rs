//! The tables of groups and their members.

use std::collections::BTreeMap;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::among::Among;
use super::{Customer, Result, parsed, to_big};
use crate::access::{CustomerId, GroupId, Visible};

/// A group, without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRow {
    /// Its id.
    pub(crate) group_id: GroupId,
    /// Whose it is.
    pub(crate) customer: Customer,
    /// Its name, one of its customer's.
    pub(crate) name: String,
    /// Free text.
    pub(crate) description: String,
}

/// What [`group_row`] reads.
macro_rules! groups {
    ($rest:literal) => {
        concat!(
            "SELECT g.group_id AS group_id, g.customer_id AS customer_id, k.name AS customer, g.name AS name, \
             g.description AS description FROM gateway_groups g JOIN customers k ON k.customer_id = g.customer_id ",
            $rest
        )
    };
}

fn group_row(row: &AnyRow) -> Result<GroupRow> {
    Ok(GroupRow {
        group_id: row.try_get::<String, _>("group_id")?.into(),
        customer: Customer { id: parsed(row, "customer_id")?, name: row.try_get("customer")? },
        name: row.try_get("name")?,
        description: row.try_get("description")?,
    })
}

/// The visible groups by name.
pub(crate) async fn list(connection: &mut AnyConnection, visible: &Visible) -> Result<Vec<GroupRow>> {
    let among = Among::new("g.customer_id", visible, 1);
    let sql = among.within(groups!("WHERE {among} ORDER BY g.name, g.group_id"));
    let rows = among.bind(sqlx::query(sql)).fetch_all(connection).await?;
    rows.iter().map(group_row).collect()
}

/// The visible groups of this id or of this name, that of the id first, and three at most.
pub(crate) async fn named(
    connection: &mut AnyConnection,
    name: &str,
    visible: &Visible,
) -> Result<Vec<GroupRow>> {
    let among = Among::new("g.customer_id", visible, 2);
    let sql = among.within(groups!(
        "WHERE (g.group_id = $1 OR g.name = $1) AND {among} \
         ORDER BY CASE WHEN g.group_id = $1 THEN 0 ELSE 1 END, g.group_id LIMIT 3"
    ));
    let rows = among.bind(sqlx::query(sql).bind(name.to_owned())).fetch_all(connection).await?;
    rows.iter().map(group_row).collect()
}

/// The members of the visible groups.
pub(crate) async fn all_members(
    connection: &mut AnyConnection,
    visible: &Visible,
) -> Result<BTreeMap<GroupId, Vec<Eui>>> {
    let among = Among::new("g.customer_id", visible, 1);
    let sql = among.within(
        "SELECT m.group_id AS group_id, m.eui AS eui FROM group_members m \
         JOIN gateway_groups g ON g.group_id = m.group_id WHERE {among} ORDER BY m.eui",
    );
    let rows = among.bind(sqlx::query(sql)).fetch_all(connection).await?;
    let mut members: BTreeMap<GroupId, Vec<Eui>> = BTreeMap::new();
    for row in &rows {
        let group = row.try_get::<String, _>("group_id")?.into();
        members.entry(group).or_default().push(parsed(row, "eui")?);
    }
    Ok(members)
}

/// The members of a group.
pub(crate) async fn members(connection: &mut AnyConnection, group: &GroupId) -> Result<Vec<Eui>> {
    let rows = sqlx::query("SELECT eui FROM group_members WHERE group_id = $1 ORDER BY eui")
        .bind(group.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| parsed(row, "eui")).collect()
}

/// How many groups a customer has.
pub(crate) async fn count(connection: &mut AnyConnection, customer: CustomerId) -> Result<u32> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM gateway_groups WHERE customer_id = $1")
        .bind(customer.to_string())
        .fetch_one(connection)
        .await?;
    super::count(&row, "n")
}

/// Makes an empty group.
pub(crate) async fn create(connection: &mut AnyConnection, group: &GroupRow, now: UnixSeconds) -> Result<()> {
    sqlx::query(
        "INSERT INTO gateway_groups (group_id, customer_id, name, description, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(group.group_id.to_string())
    .bind(group.customer.id.to_string())
    .bind(group.name.clone())
    .bind(group.description.clone())
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a group and its memberships.
pub(crate) async fn remove(connection: &mut AnyConnection, group: &GroupId) -> Result<()> {
    sqlx::query("DELETE FROM gateway_groups WHERE group_id = $1")
        .bind(group.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts a gateway into a group; both must be there.
pub(crate) async fn add_member(connection: &mut AnyConnection, group: &GroupId, eui: Eui) -> Result<()> {
    sqlx::query(
        "INSERT INTO group_members (group_id, eui) VALUES ($1, $2) ON CONFLICT (group_id, eui) DO NOTHING",
    )
    .bind(group.to_string())
    .bind(eui.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes a gateway out of a group; whether it was in it.
pub(crate) async fn remove_member(connection: &mut AnyConnection, group: &GroupId, eui: Eui) -> Result<bool> {
    let done = sqlx::query("DELETE FROM group_members WHERE group_id = $1 AND eui = $2")
        .bind(group.to_string())
        .bind(eui.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The names of the groups of every gateway from the first to the last; of one gateway when both are it.
pub(crate) async fn of_gateways(
    connection: &mut AnyConnection,
    first: Eui,
    last: Eui,
) -> Result<BTreeMap<Eui, Vec<String>>> {
    let rows = sqlx::query(
        "SELECT m.eui AS eui, g.name AS name FROM group_members m JOIN gateway_groups g ON g.group_id = m.group_id \
         WHERE m.eui >= $1 AND m.eui <= $2 ORDER BY m.eui, g.name",
    )
    .bind(first.to_string())
    .bind(last.to_string())
    .fetch_all(connection)
    .await?;
    let mut groups: BTreeMap<Eui, Vec<String>> = BTreeMap::new();
    for row in &rows {
        groups.entry(parsed(row, "eui")?).or_default().push(row.try_get("name")?);
    }
    Ok(groups)
}

/// The members of a group that are online.
pub(crate) async fn online_members(connection: &mut AnyConnection, group: &GroupId) -> Result<Vec<Eui>> {
    let rows = sqlx::query(
        "SELECT m.eui AS eui FROM group_members m JOIN gateways g ON g.eui = m.eui \
         WHERE m.group_id = $1 AND g.online = 1 ORDER BY m.eui",
    )
    .bind(group.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| parsed(row, "eui")).collect()
}
