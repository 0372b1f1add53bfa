//! Gateways: who they are, and asking one for telemetry.

use keros_protocol::{Eui, UnixSeconds};

use super::center::{Center, check_description, check_name};
use super::order::OrderError;
use super::views;
use crate::api::{DeclareGateway, GatewayView};
use crate::store::{StoreError, gateways, groups};

impl Center {
    /// Gateways in the order of their EUIs, those after `after`.
    pub(crate) async fn gateways(
        &self,
        after: Option<Eui>,
        limit: u32,
    ) -> Result<Vec<GatewayView>, OrderError> {
        let mut connection = self.store.read().await?;
        let rows = gateways::list(&mut connection, after, limit).await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let mut groups = groups::of_gateways(&mut connection, first.eui, last.eui).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let of_it = groups.remove(&row.eui).unwrap_or_default();
                views::gateway(row, of_it)
            })
            .collect())
    }

    /// One gateway, with its last telemetry.
    pub(crate) async fn gateway(&self, eui: Eui) -> Result<GatewayView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = gateways::find(&mut connection, eui).await?.ok_or_else(|| no_gateway(eui))?;
        let groups = groups::of_gateways(&mut connection, eui, eui).await?.remove(&eui);
        let telemetry = gateways::telemetry(&mut connection, eui).await?;
        Ok(GatewayView { telemetry, ..views::gateway(row, groups.unwrap_or_default()) })
    }

    /// Declares a gateway, or names one that is known.
    pub(crate) async fn declare(
        &self,
        order: &DeclareGateway,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        let eui: Eui = order.eui.parse().map_err(|error| OrderError::Invalid(format!("{error}")))?;
        if let Some(name) = &order.name {
            check_name("a gateway's name", name)?;
        }
        check_description(&order.description)?;
        let mut transaction = self.store.begin().await?;
        gateways::declare(&mut transaction, eui, order.name.as_deref(), &order.description, now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.gateway(eui).await
    }

    /// Asks one gateway for telemetry.
    pub(crate) async fn nudge(&self, eui: Eui) -> Result<(), OrderError> {
        let gateway = gateways::find(&mut *self.store.read().await?, eui).await?;
        let gateway = gateway.ok_or_else(|| no_gateway(eui))?;
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

pub(super) fn no_gateway(eui: Eui) -> OrderError {
    OrderError::NotFound(format!("gateway {eui} is not known: declare it, or wait for its first telemetry"))
}
