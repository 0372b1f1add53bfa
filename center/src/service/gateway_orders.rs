//! What operators do with gateways: name, describe, label, move, retire.

use keros_protocol::{CommandId, Eui, UnixSeconds, UpdateId};

use super::as_seen::still_as_seen;
use super::audit::{What, audit};
use super::cancel::{Decision, decide};
use super::center::{Center, check_description, check_name};
use super::changes::Change;
use super::customers::customer_for;
use super::fleet::whole_gateway;
use super::gateways::find_gateway;
use super::order::{OrderError, invalid};
use crate::access::{Action, Caller};
use crate::api::{EditGateway, GatewayView, MoveGateway, Retired};
use crate::gateway::label;
use crate::gateway::location::Location;
use crate::store::{
    StoreError, cancellations, commands, enrolments, gateway_updates, gateways, groups, labels,
};

impl Center {
    /// Names, describes, labels a gateway. What is not said stays.
    pub(crate) async fn edit_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
        order: &EditGateway,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        check_texts(order.name.as_deref(), order.description.as_deref())?;
        if let Some(refusal) = order.labels.as_deref().and_then(label::refusal) {
            return Err(invalid(refusal));
        }
        let location = order.location.as_deref().map(location_of).transpose()?;
        let mut transaction = self.store.begin().await?;
        let row = find_gateway(&mut transaction, caller, eui, Action::EditGateways).await?;
        if caller.seen.is_some() {
            still_as_seen(caller, &whole_gateway(&mut transaction, row.clone(), now).await?)?;
        }
        let name = order.name.as_deref().or(row.name.as_deref()).filter(|name| !name.is_empty());
        let description = order.description.as_deref().unwrap_or(&row.description);
        gateways::rename(&mut transaction, &row, name, description).await?;
        if let Some(list) = &order.labels {
            labels::set(&mut transaction, eui, list).await?;
        }
        if let Some(location) = location {
            gateways::locate(&mut transaction, eui, location).await?;
        }
        let what = What::of(row.customer_id, format!("gateway {eui}"), edited(order));
        audit(&mut transaction, caller, Action::EditGateways, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell(&[Change::Gateway(eui)]);
        self.gateway(caller, eui, now).await
    }

    /// Moves a gateway to another customer. It leaves the groups of the old one and loses its labels, which are the old one's words and would
    /// make it a member of groups that nobody there thought of. What it was sent before stays with the old customer.
    pub(crate) async fn move_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
        order: &MoveGateway,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_gateway(&mut transaction, caller, eui, Action::MoveGateways).await?;
        let name = Some(order.customer.as_str());
        let customer = customer_for(&mut transaction, caller, name, Action::MoveGateways).await?;
        if customer.id == row.customer_id {
            return Err(OrderError::Conflict(format!(
                "gateway {eui} is of the customer {:?} already",
                customer.name
            )));
        }
        commands::expire(&mut transaction, now).await?;
        if let Some(open) = gateway_updates::open(&mut transaction, eui).await?.first() {
            return Err(OrderError::Conflict(format!(
                "update {} of gateway {eui} has not ended: its customer has to see the end of it; cancel it, or wait for it",
                open.update_id
            )));
        }
        // With a line that the old customer has made, somebody there could become its gateway.
        enrolments::cancel(&mut transaction, eui, now).await?;
        let left = groups::leave_all(&mut transaction, eui).await?;
        labels::set(&mut transaction, eui, &[]).await?;
        gateways::set_customer(&mut transaction, eui, customer.id).await?;
        for (of, detail) in [
            // Who sees this log need not know the other customer.
            (row.customer_id, format!("moved to another customer; it left {left} groups")),
            (customer.id, "moved here from another customer".to_owned()),
        ] {
            let what = What::of(of, format!("gateway {eui}"), detail);
            audit(&mut transaction, caller, Action::MoveGateways, what).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell(&[Change::Gateway(eui)]);
        self.gateway(caller, eui, now).await
    }

    /// Takes a gateway out of service: nothing is sent to it any more, lists leave it out, no rule makes it a member. What waits for it is
    /// cancelled, what it has is asked to end. To lock it out as well is another order.
    pub(crate) async fn retire_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
        now: UnixSeconds,
    ) -> Result<Retired, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_gateway(&mut transaction, caller, eui, Action::EditGateways).await?;
        if row.retired_at.is_some() {
            return Err(OrderError::Conflict(format!("gateway {eui} is retired already")));
        }
        commands::expire(&mut transaction, now).await?;
        let mut answer = Retired { eui, cancelled: Vec::new(), asked: Vec::new() };
        let (mut ends, mut asks): (Vec<CommandId>, Vec<CommandId>) = (Vec::new(), Vec::new());
        for command in gateway_updates::open(&mut transaction, eui).await? {
            match decide(command.delivery, command.times_sent, command.outcome.as_ref()) {
                Decision::EndDelivery => {
                    ends.push(command.command_id);
                    answer.cancelled.push(command.update_id);
                }
                Decision::Ask => {
                    asks.push(command.command_id);
                    answer.asked.push(command.update_id);
                }
                Decision::Nothing | Decision::TooLate => {}
            }
        }
        cancellations::end_waiting(&mut transaction, &ends, now).await?;
        cancellations::ask(&mut transaction, &asks, now).await?;
        gateways::retire(&mut transaction, eui, Some(now)).await?;
        let detail = format!("retired; {} updates cancelled, {} asked to end", ends.len(), asks.len());
        let what = What::of(row.customer_id, format!("gateway {eui}"), detail);
        audit(&mut transaction, caller, Action::EditGateways, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell_of(eui, answer.cancelled.iter().chain(&answer.asked));
        if row.online && !asks.is_empty() {
            self.nudge_some(vec![eui]);
        }
        Ok(answer)
    }

    /// Takes a gateway into service again. When it was locked out, it has to enrol anew.
    pub(crate) async fn unretire_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_gateway(&mut transaction, caller, eui, Action::EditGateways).await?;
        if row.retired_at.is_none() {
            return Err(OrderError::Conflict(format!("gateway {eui} is not retired")));
        }
        gateways::retire(&mut transaction, eui, None).await?;
        let what = What::of(row.customer_id, format!("gateway {eui}"), "taken into service again");
        audit(&mut transaction, caller, Action::EditGateways, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell(&[Change::Gateway(eui)]);
        self.gateway(caller, eui, now).await
    }

    fn tell_of<'a>(&self, eui: Eui, updates: impl Iterator<Item = &'a UpdateId>) {
        let deliveries = updates.map(|update_id| Change::Delivery { update_id: *update_id, eui });
        let changes: Vec<Change> = deliveries.chain([Change::Gateway(eui)]).collect();
        self.tell(&changes);
    }
}

/// A name may be empty here: none.
pub(super) fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), OrderError> {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        check_name("a gateway's name", name)?;
    }
    description.map_or(Ok(()), check_description)
}

/// A location as it is said; empty for none.
fn location_of(text: &str) -> Result<Option<Location>, OrderError> {
    if text.trim().is_empty() { Ok(None) } else { text.parse().map(Some).map_err(invalid) }
}

fn edited(order: &EditGateway) -> String {
    let mut parts = Vec::new();
    if let Some(name) = &order.name {
        parts.push(format!("named {name:?}"));
    }
    if order.description.is_some() {
        parts.push("described".to_owned());
    }
    if let Some(labels) = &order.labels {
        parts.push(format!("labelled {:?}", labels.join(" ")));
    }
    if let Some(location) = &order.location {
        parts.push(format!("located at {location:?}"));
    }
    parts.join(", ")
}
