//! What an update orders: it is long, and only read where it is shown.

use keros_protocol::{Job, JobLimits, JobOptions, UpdateId};
use sqlx::AnyConnection;

use super::{Result, StoreError, from_json};

/// What is to be done, how much it may use, how it is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OrderedJob {
    /// What is to be done.
    pub(crate) job: Job,
    /// How much it may use.
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    pub(crate) options: JobOptions,
}

/// The job of an update.
pub(crate) async fn find(connection: &mut AnyConnection, update_id: UpdateId) -> Result<Option<OrderedJob>> {
    let row = sqlx::query("SELECT job, limits, options FROM updates WHERE update_id = $1")
        .bind(update_id.to_string())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let missing = |column| StoreError::Row { column, value: "NULL".to_owned() };
    Ok(Some(OrderedJob {
        job: from_json(&row, "job")?.ok_or_else(|| missing("job"))?,
        limits: from_json(&row, "limits")?.ok_or_else(|| missing("limits"))?,
        options: from_json(&row, "options")?.ok_or_else(|| missing("options"))?,
    }))
}
