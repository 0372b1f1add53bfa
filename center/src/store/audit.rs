//! The table of what was done.

use keros_protocol::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::among::Among;
use super::{Result, number, parsed, to_big};
use crate::access::{CustomerId, UserId, Visible};
use crate::bounds::PRUNED_AT_ONCE;

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    /// Sorts by time.
    pub(crate) audit_id: Uuid,
    /// When.
    pub(crate) at: UnixSeconds,
    /// Who; `None`: whoever has the center's own token.
    pub(crate) user: Option<UserId>,
    /// His log-in name then.
    pub(crate) user_name: String,
    /// From where.
    pub(crate) address: Option<String>,
    /// What kind of thing.
    pub(crate) action: String,
    /// Whose; `None`: the center's own.
    pub(crate) customer: Option<CustomerId>,
    /// On what.
    pub(crate) subject: String,
    /// `done`, `refused`, `failed`.
    pub(crate) result: String,
    /// More about it.
    pub(crate) detail: String,
}

/// Keeps a line.
pub(crate) async fn keep(connection: &mut AnyConnection, row: &AuditRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (audit_id, at, user_id, user_name, address, action, customer_id, subject, result, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.audit_id.to_string())
    .bind(to_big(row.at))
    .bind(row.user.map(|user| user.to_string()))
    .bind(row.user_name.clone())
    .bind(row.address.clone())
    .bind(row.action.clone())
    .bind(row.customer.map(|customer| customer.to_string()))
    .bind(row.subject.clone())
    .bind(row.result.clone())
    .bind(row.detail.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditFilter {
    /// Those before this one.
    pub(crate) before: Option<Uuid>,
    /// Those of this log-in name.
    pub(crate) user: Option<String>,
    /// Those that are done, or refused.
    pub(crate) result: Option<String>,
    /// So many at most.
    pub(crate) limit: u32,
}

fn audit_row(row: &AnyRow) -> Result<AuditRow> {
    Ok(AuditRow {
        audit_id: parsed(row, "audit_id")?,
        at: number(row, "at")?,
        user: row.try_get::<Option<String>, _>("user_id")?.map(|_| parsed(row, "user_id")).transpose()?,
        user_name: row.try_get("user_name")?,
        address: row.try_get("address")?,
        action: row.try_get("action")?,
        customer: row
            .try_get::<Option<String>, _>("customer_id")?
            .map(|_| parsed(row, "customer_id"))
            .transpose()?,
        subject: row.try_get("subject")?,
        result: row.try_get("result")?,
        detail: row.try_get("detail")?,
    })
}

/// The lines of the visible customers, the newest first; of the center too, when all are visible.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    visible: &Visible,
    filter: &AuditFilter,
) -> Result<Vec<AuditRow>> {
    let among = Among::new("customer_id", visible, 5);
    let sql = among.within(
        "SELECT audit_id, at, user_id, user_name, address, action, customer_id, subject, result, detail FROM audit \
         WHERE audit_id < $1 AND ($2 = '' OR user_name = $2) AND ($3 = '' OR result = $3) AND {among} \
         ORDER BY audit_id DESC LIMIT $4",
    );
    let query = sqlx::query(sql)
        // `g` is after every hex digit.
        .bind(filter.before.map_or_else(|| "g".to_owned(), |id| id.to_string()))
        .bind(filter.user.clone().unwrap_or_default())
        .bind(filter.result.clone().unwrap_or_default())
        .bind(i64::from(filter.limit));
    let rows = among.bind(query).fetch_all(connection).await?;
    rows.iter().map(audit_row).collect()
}

/// The newest line that is beyond the newest `most`.
pub(crate) async fn beyond(connection: &mut AnyConnection, most: u64) -> Result<Option<Uuid>> {
    let row = sqlx::query("SELECT audit_id FROM audit ORDER BY audit_id DESC LIMIT 1 OFFSET $1")
        .bind(to_big(most))
        .fetch_optional(connection)
        .await?;
    row.map(|row| parsed(&row, "audit_id")).transpose()
}

/// Removes a part of the lines before a time, and of those up to `beyond`; whether there may be more.
pub(crate) async fn prune(
    connection: &mut AnyConnection,
    before: UnixSeconds,
    beyond: Option<Uuid>,
) -> Result<bool> {
    // They sort by time: what goes is among the oldest.
    let done = sqlx::query(
        "DELETE FROM audit WHERE (at < $1 OR audit_id <= $2) \
         AND audit_id IN (SELECT audit_id FROM audit ORDER BY audit_id LIMIT $3)",
    )
    .bind(to_big(before))
    .bind(beyond.map(|id| id.to_string()).unwrap_or_default())
    .bind(to_big(PRUNED_AT_ONCE))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() >= PRUNED_AT_ONCE)
}
