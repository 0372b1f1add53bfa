//! The tables of groups and their members.

use std::collections::BTreeMap;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::among::Among;
use super::fleet::Members;
use super::sql::Sql;
use super::{Customer, Result, number, parsed, to_big};
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
    /// The rule that gateways are members by, as it was written.
    pub(crate) rule: Option<String>,
    /// Whether people want to hear of members that are out of reach.
    pub(crate) alerting: bool,
}

/// What [`group_row`] reads.
macro_rules! groups {
    ($rest:literal) => {
        concat!(
            "SELECT g.group_id AS group_id, g.customer_id AS customer_id, k.name AS customer, g.name AS name, \
             g.description AS description, g.rule AS rule, g.alerting AS alerting FROM gateway_groups g JOIN customers k ON k.customer_id = g.customer_id ",
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
        rule: row.try_get("rule")?,
        alerting: number(row, "alerting")? != 0,
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

/// How many gateways in service were put into each group.
pub(crate) async fn member_counts(
    connection: &mut AnyConnection,
    visible: &Visible,
) -> Result<BTreeMap<GroupId, u32>> {
    let among = Among::new("k.customer_id", visible, 1);
    let sql = among.within(
        "SELECT m.group_id AS group_id, COUNT(*) AS n FROM group_members m \
         JOIN gateway_groups k ON k.group_id = m.group_id \
         JOIN gateways g ON g.eui = m.eui AND g.customer_id = k.customer_id AND g.retired_at IS NULL \
         WHERE {among} GROUP BY m.group_id",
    );
    let rows = among.bind(sqlx::query(sql)).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((row.try_get::<String, _>("group_id")?.into(), super::count(row, "n")?)))
        .collect()
}

/// The gateways that were put into a group, and not those that its rule takes in.
pub(crate) async fn put_in(connection: &mut AnyConnection, group: &GroupId) -> Result<Vec<Eui>> {
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
        "INSERT INTO gateway_groups (group_id, customer_id, name, description, created_at, rule, alerting) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(group.group_id.to_string())
    .bind(group.customer.id.to_string())
    .bind(group.name.clone())
    .bind(group.description.clone())
    .bind(to_big(now))
    .bind(group.rule.clone())
    .bind(i64::from(group.alerting))
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

/// Takes a gateway out of all groups that it was put into; out of how many.
pub(crate) async fn leave_all(connection: &mut AnyConnection, eui: Eui) -> Result<u64> {
    let done = sqlx::query("DELETE FROM group_members WHERE eui = $1")
        .bind(eui.to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Names, describes, rules a group.
pub(crate) async fn edit(connection: &mut AnyConnection, group: &GroupRow) -> Result<()> {
    sqlx::query(
        "UPDATE gateway_groups SET name = $2, description = $3, rule = $4, alerting = $5 WHERE group_id = $1",
    )
    .bind(group.group_id.to_string())
    .bind(group.name.clone())
    .bind(group.description.clone())
    .bind(group.rule.clone())
    .bind(i64::from(group.alerting))
    .execute(connection)
    .await?;
    Ok(())
}

/// The names of the groups that each of these gateways was put into.
pub(crate) async fn of_gateways(
    connection: &mut AnyConnection,
    gateways: &[Eui],
) -> Result<BTreeMap<Eui, Vec<String>>> {
    let mut sql = Sql::new(
        "SELECT m.eui AS eui, g.name AS name FROM group_members m JOIN gateway_groups g ON g.group_id = m.group_id \
         WHERE m.eui IN ",
    );
    sql.list(gateways).push(" ORDER BY m.eui, g.name");
    let mut groups: BTreeMap<Eui, Vec<String>> = BTreeMap::new();
    for row in sql.fetch(connection).await? {
        groups.entry(parsed(&row, "eui")?).or_default().push(row.try_get("name")?);
    }
    Ok(groups)
}

/// The groups of a customer that have a rule.
pub(crate) async fn with_rules(
    connection: &mut AnyConnection,
    customer: CustomerId,
) -> Result<Vec<GroupRow>> {
    let rows = sqlx::query(groups!("WHERE g.customer_id = $1 AND g.rule IS NOT NULL ORDER BY g.name"))
        .bind(customer.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(group_row).collect()
}

/// The groups that people are told of silent gateways for.
pub(crate) async fn alerting(connection: &mut AnyConnection) -> Result<Vec<GroupRow>> {
    let rows = sqlx::query(groups!("WHERE g.alerting = 1 ORDER BY g.group_id")).fetch_all(connection).await?;
    rows.iter().map(group_row).collect()
}

/// Who the members of a group with a rule are; `None`: it has none, or is not there.
pub(crate) async fn members_by_rule(
    connection: &mut AnyConnection,
    group: &GroupId,
) -> Result<Option<Members>> {
    let row =
        sqlx::query("SELECT customer_id, rule FROM gateway_groups WHERE group_id = $1 AND rule IS NOT NULL")
            .bind(group.to_string())
            .fetch_optional(connection)
            .await?;
    row.map(|row| {
        Ok(Members {
            group: group.clone(),
            customer: parsed(&row, "customer_id")?,
            rule: Some(parsed(&row, "rule")?),
        })
    })
    .transpose()
}
