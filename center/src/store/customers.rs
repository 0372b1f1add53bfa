//! The table of customers.

use std::collections::BTreeMap;

use keros_protocol::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::among::Among;
use super::{Result, count as count_of, number, parsed, to_big};
use crate::access::{CustomerId, Visible};
use crate::api::CustomerView;

/// A customer, as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    /// Its id.
    pub(crate) id: CustomerId,
    /// Its name.
    pub(crate) name: String,
}

fn customer(row: &AnyRow) -> Result<Customer> {
    Ok(Customer { id: parsed(row, "customer_id")?, name: row.try_get("name")? })
}

/// One customer.
pub(crate) async fn find(connection: &mut AnyConnection, id: CustomerId) -> Result<Option<Customer>> {
    let row = sqlx::query("SELECT customer_id, name FROM customers WHERE customer_id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(customer).transpose()
}

/// The visible customer of this id, or else of this name.
pub(crate) async fn named(
    connection: &mut AnyConnection,
    name: &str,
    visible: &Visible,
) -> Result<Option<Customer>> {
    let among = Among::new("customer_id", visible, 2);
    let sql = among.within(
        "SELECT customer_id, name FROM customers WHERE (customer_id = $1 OR name = $1) AND {among} \
         ORDER BY CASE WHEN customer_id = $1 THEN 0 ELSE 1 END LIMIT 1",
    );
    let row = among.bind(sqlx::query(sql).bind(name.to_owned())).fetch_optional(connection).await?;
    row.as_ref().map(customer).transpose()
}

/// The names of all customers.
pub(crate) async fn names(connection: &mut AnyConnection) -> Result<BTreeMap<CustomerId, String>> {
    let rows = sqlx::query("SELECT customer_id, name FROM customers").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((parsed(row, "customer_id")?, row.try_get("name")?))).collect()
}

/// The visible customers by name, with how much they have.
pub(crate) async fn list(connection: &mut AnyConnection, visible: &Visible) -> Result<Vec<CustomerView>> {
    let among = Among::new("k.customer_id", visible, 1);
    let sql = among.within(
        "SELECT k.customer_id AS customer_id, k.name AS name, k.description AS description, k.created_at AS created_at, \
         (SELECT COUNT(*) FROM gateways g WHERE g.customer_id = k.customer_id) AS gateways, \
         (SELECT COUNT(*) FROM gateway_groups o WHERE o.customer_id = k.customer_id) AS group_count \
         FROM customers k WHERE {among} ORDER BY k.name",
    );
    let rows = among.bind(sqlx::query(sql)).fetch_all(connection).await?;
    let view = |row: &AnyRow| {
        Ok(CustomerView {
            customer_id: parsed(row, "customer_id")?,
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            gateways: count_of(row, "gateways")?,
            groups: count_of(row, "group_count")?,
            created_at_unix_s: number(row, "created_at")?,
        })
    };
    rows.iter().map(view).collect()
}

/// How many there are.
pub(crate) async fn count(connection: &mut AnyConnection) -> Result<u32> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM customers").fetch_one(connection).await?;
    count_of(&row, "n")
}

/// Whether another customer than this one has the name, or the name as its id.
pub(crate) async fn is_taken(
    connection: &mut AnyConnection,
    name: &str,
    by_other_than: Option<CustomerId>,
) -> Result<bool> {
    let row = sqlx::query(
        "SELECT customer_id FROM customers WHERE (name = $1 OR customer_id = $1) AND customer_id <> $2",
    )
    .bind(name.to_owned())
    .bind(by_other_than.map(|id| id.to_string()).unwrap_or_default())
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Keeps a new one.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    id: CustomerId,
    name: &str,
    description: &str,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query("INSERT INTO customers (customer_id, name, description, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id.to_string())
        .bind(name.to_owned())
        .bind(description.to_owned())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps what it is called.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    id: CustomerId,
    name: &str,
    description: &str,
) -> Result<()> {
    sqlx::query("UPDATE customers SET name = $2, description = $3 WHERE customer_id = $1")
        .bind(id.to_string())
        .bind(name.to_owned())
        .bind(description.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// What it has that keeps it from being removed.
pub(crate) async fn has(connection: &mut AnyConnection, id: CustomerId) -> Result<Option<&'static str>> {
    for (what, sql) in [
        ("gateways", "SELECT 1 AS one FROM gateways WHERE customer_id = $1 LIMIT 1"),
        ("groups", "SELECT 1 AS one FROM gateway_groups WHERE customer_id = $1 LIMIT 1"),
        ("updates", "SELECT 1 AS one FROM updates WHERE customer_id = $1 LIMIT 1"),
        ("Magic Links", "SELECT 1 AS one FROM magic_link_customers WHERE customer_id = $1 LIMIT 1"),
        ("webhooks", "SELECT 1 AS one FROM webhooks WHERE customer_id = $1 LIMIT 1"),
    ] {
        if sqlx::query(sql).bind(id.to_string()).fetch_optional(&mut *connection).await?.is_some() {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

/// Removes it, and the roles on it.
pub(crate) async fn remove(connection: &mut AnyConnection, id: CustomerId) -> Result<()> {
    for sql in
        ["DELETE FROM user_roles WHERE customer_id = $1", "DELETE FROM customers WHERE customer_id = $1"]
    {
        sqlx::query(sql).bind(id.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}
