//! The table of customers.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::among::Among;
use super::{Result, parsed};
use crate::access::{CustomerId, Visible};

/// A customer, as it is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
