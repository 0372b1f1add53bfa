//! The audit log: every change that a person makes, in the same transaction as the change.

use keros_protocol::limits::shorten;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::center::unix_now;
use super::once::done_once;
use super::order::OrderError;
use crate::access::{Action, Caller, CustomerId};
use crate::store::audit::{self, AuditRow};

/// Bytes of a subject and of a detail: a line of a table, not a copy of what was sent.
const MAX_TEXT_BYTES: usize = 1024;

/// What something was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct What {
    /// Whose it is; `None`: the center's own.
    pub(crate) customer: Option<CustomerId>,
    /// On what, as people name it: `gateway 7076FF…`, `group "north"`.
    pub(crate) subject: String,
    /// More about it.
    pub(crate) detail: String,
}

impl What {
    /// Something of a customer.
    pub(crate) fn of(customer: CustomerId, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { customer: Some(customer), subject: subject.into(), detail: detail.into() }
    }

    /// Something of the center.
    pub(crate) fn of_center(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { customer: None, subject: subject.into(), detail: detail.into() }
    }
}

/// Keeps that somebody did something. It is called in the transaction that does it.
pub(crate) async fn audit(
    connection: &mut AnyConnection,
    caller: &Caller,
    action: Action,
    what: What,
) -> Result<(), OrderError> {
    done_once(connection, caller, &what.subject).await?;
    Ok(audit::keep(connection, &row(caller, action.as_str(), what, "done")).await?)
}

/// Keeps that somebody did something that no action of the table of permissions is.
pub(crate) async fn audit_done(
    connection: &mut AnyConnection,
    caller: &Caller,
    action: &str,
    what: What,
) -> Result<(), OrderError> {
    Ok(audit::keep(connection, &row(caller, action, what, "done")).await?)
}

/// Keeps that somebody tried what he may not.
pub(crate) async fn audit_refused(
    connection: &mut AnyConnection,
    caller: &Caller,
    action: &str,
    what: What,
) -> Result<(), OrderError> {
    Ok(audit::keep(connection, &row(caller, action, what, "refused")).await?)
}

fn row(caller: &Caller, action: &str, what: What, result: &str) -> AuditRow {
    AuditRow {
        audit_id: Uuid::now_v7(),
        at: unix_now(),
        user: caller.user,
        user_name: caller.name.clone(),
        address: caller.address.clone(),
        action: action.to_owned(),
        customer: what.customer,
        subject: shorten(&what.subject, MAX_TEXT_BYTES),
        result: result.to_owned(),
        detail: shorten(&what.detail, MAX_TEXT_BYTES),
    }
}
