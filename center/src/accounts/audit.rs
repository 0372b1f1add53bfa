//! The audit log, as it is looked at.

use super::shell::Accounts;
use crate::access::{Action, Caller, Visible};
use crate::api::AuditView;
use crate::service::{OrderError, no_customer};
use crate::store::audit::{self, AuditFilter, AuditRow};
use crate::store::customers;

impl Accounts {
    /// Lines of the customers whose log the caller may see, or of one of them.
    pub(crate) async fn audit_log(
        &self,
        caller: &Caller,
        customer: Option<&str>,
        filter: &AuditFilter,
    ) -> Result<Vec<AuditView>, OrderError> {
        caller.require_somewhere(Action::SeeAudit)?;
        let mut connection = self.store.read().await?;
        let visible = match customer {
            None => caller.where_may(Action::SeeAudit),
            Some(name) => {
                let found = customers::named(&mut connection, name, &caller.visible()).await?;
                let found = found.ok_or_else(|| no_customer(name))?;
                caller.require(Action::SeeAudit, &found.id)?;
                Visible::Only(vec![found.id])
            }
        };
        let rows = audit::list(&mut connection, &visible, filter).await?;
        Ok(rows.into_iter().map(view).collect())
    }
}

fn view(row: AuditRow) -> AuditView {
    AuditView {
        audit_id: row.audit_id,
        at_unix_s: row.at,
        user_id: row.user,
        user: row.user_name,
        address: row.address,
        action: row.action,
        customer_id: row.customer,
        subject: row.subject,
        result: row.result,
        detail: row.detail,
    }
}
