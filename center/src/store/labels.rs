//! The table of labels.

use std::collections::BTreeMap;

use keros_protocol::Eui;
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::sql::Sql;
use super::{Result, parsed};

/// The labels of these gateways, those of each sorted.
pub(crate) async fn of(
    connection: &mut AnyConnection,
    gateways: &[Eui],
) -> Result<BTreeMap<Eui, Vec<String>>> {
    let mut sql = Sql::new("SELECT eui, label FROM gateway_labels WHERE eui IN ");
    sql.list(gateways).push(" ORDER BY eui, label");
    let mut labels: BTreeMap<Eui, Vec<String>> = BTreeMap::new();
    for row in sql.fetch(connection).await? {
        labels.entry(parsed(&row, "eui")?).or_default().push(row.try_get("label")?);
    }
    Ok(labels)
}

/// Gives a gateway these labels and no others.
pub(crate) async fn set(connection: &mut AnyConnection, eui: Eui, labels: &[String]) -> Result<()> {
    sqlx::query("DELETE FROM gateway_labels WHERE eui = $1")
        .bind(eui.to_string())
        .execute(&mut *connection)
        .await?;
    for label in labels {
        sqlx::query(
            "INSERT INTO gateway_labels (eui, label) VALUES ($1, $2) ON CONFLICT (eui, label) DO NOTHING",
        )
        .bind(eui.to_string())
        .bind(label.clone())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
