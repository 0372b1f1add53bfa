//! Gateways: who they are, and asking one for telemetry.

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;

use super::audit::{What, audit};
use super::center::{Center, check_description, check_name};
use super::customers::customer_for;
use super::order::OrderError;
use crate::access::{Action, Caller};
use crate::api::{DeclareGateway, GatewayView};
use crate::store::{GatewayRow, StoreError, gateways};

impl Center {
    /// Declares a gateway, or names one that is known.
    pub(crate) async fn declare(
        &self,
        caller: &Caller,
        order: &DeclareGateway,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        let eui: Eui = order.eui.parse().map_err(|error| OrderError::Invalid(format!("{error}")))?;
        if let Some(name) = &order.name {
            check_name("a gateway's name", name)?;
        }
        check_description(&order.description)?;
        let mut transaction = self.store.begin().await?;
        let customer = match gateways::find(&mut transaction, eui).await? {
            Some(_) => find_gateway(&mut transaction, caller, eui, Action::EditGateways).await?.customer_id,
            None => {
                let name = order.customer.as_deref();
                customer_for(&mut transaction, caller, name, Action::EditGateways).await?.id
            }
        };
        let name = order.name.as_deref();
        gateways::declare(&mut transaction, eui, customer, name, &order.description, now).await?;
        let what = What::of(customer, format!("gateway {eui}"), "declared");
        audit(&mut transaction, caller, Action::EditGateways, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.gateway(caller, eui, now).await
    }

    /// Asks one gateway for telemetry.
    pub(crate) async fn nudge(&self, caller: &Caller, eui: Eui) -> Result<(), OrderError> {
        let gateway = find_gateway(&mut *self.store.read().await?, caller, eui, Action::AskTelemetry).await?;
        if !gateway.online {
            return Err(OrderError::Conflict(format!(
                "gateway {eui} is not connected: it sends telemetry by itself when it comes back"
            )));
        }
        if !self.is_connected() {
            return Err(OrderError::Unavailable("the center is not connected to its broker".to_owned()));
        }
        self.nudges
            .try_send(vec![eui])
            .map_err(|_| OrderError::Unavailable("too many nudges are waiting: try again later".to_owned()))
    }
}

/// A gateway that the caller sees; he may do this to it.
pub(crate) async fn find_gateway(
    connection: &mut AnyConnection,
    caller: &Caller,
    eui: Eui,
    action: Action,
) -> Result<GatewayRow, OrderError> {
    let found = gateways::find(connection, eui).await?.filter(|row| caller.sees(&row.customer_id));
    let row = found.ok_or_else(|| no_gateway(eui))?;
    caller.require(action, &row.customer_id)?;
    Ok(row)
}

pub(crate) fn no_gateway(eui: Eui) -> OrderError {
    OrderError::NotFound(format!("gateway {eui} is not known: declare it, or wait for its first telemetry"))
}
