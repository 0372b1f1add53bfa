//! The table of what was done.

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::{Result, to_big};
use crate::access::{CustomerId, UserId};

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
