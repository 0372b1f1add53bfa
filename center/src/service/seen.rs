//! Whether who listens may hear of a change.

use super::center::Center;
use super::changes::Change;
use super::gateways::find_gateway;
use super::order::OrderError;
use super::updates::find_update;
use crate::access::{Action, Caller, Visible};

impl Center {
    /// Whether the caller may see what changed. What is not there any more is seen by nobody.
    pub(crate) async fn sees(&self, caller: &Caller, change: Change) -> Result<bool, OrderError> {
        let action = if change.update_id().is_some() { Action::SeeUpdates } else { Action::SeeGateways };
        if caller.where_may(action) == Visible::All {
            return Ok(true);
        }
        let mut connection = self.store.read().await?;
        let found = match change {
            Change::Delivery { update_id, .. } | Change::Update(update_id) => {
                find_update(&mut connection, caller, update_id, action).await.map(drop)
            }
            Change::Gateway(eui) => find_gateway(&mut connection, caller, eui, action).await.map(drop),
        };
        match found {
            Ok(()) => Ok(true),
            Err(OrderError::NotFound(_) | OrderError::Forbidden(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
