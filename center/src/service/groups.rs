//! Groups and their members.

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;

use super::audit::{What, audit};
use super::center::{Center, check_description, check_name};
use super::customers::customer_for;
use super::gateways::no_gateway;
use super::order::OrderError;
use super::views;
use crate::access::{Action, Caller, GroupId};
use crate::api::{CreateGroup, GroupView, NudgedGroup};
use crate::store::{GroupRow, StoreError, Transaction, gateways, groups};

/// Groups of one customer at most.
const MAX_GROUPS: u32 = 1000;

impl Center {
    /// The groups that the caller may see.
    pub(crate) async fn groups(&self, caller: &Caller) -> Result<Vec<GroupView>, OrderError> {
        let visible = caller.where_may(Action::SeeGroups);
        let mut connection = self.store.read().await?;
        let rows = groups::list(&mut connection, &visible).await?;
        let mut members = groups::all_members(&mut connection, &visible).await?;
        let view = |row: GroupRow| {
            let gateways = members.remove(&row.group_id).unwrap_or_default();
            views::group(row, gateways)
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// One group.
    pub(crate) async fn group(&self, caller: &Caller, name: &str) -> Result<GroupView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_group(&mut connection, caller, name, Action::SeeGroups).await?;
        let gateways = groups::members(&mut connection, &row.group_id).await?;
        Ok(views::group(row, gateways))
    }

    /// Makes a group, with its members.
    pub(crate) async fn create_group(
        &self,
        caller: &Caller,
        order: &CreateGroup,
        now: UnixSeconds,
    ) -> Result<GroupView, OrderError> {
        check_name("a group's name", &order.name)?;
        check_description(&order.description)?;
        let mut transaction = self.store.begin().await?;
        let customer =
            customer_for(&mut transaction, caller, order.customer.as_deref(), Action::EditGroups).await?;
        let of_customer = crate::access::Visible::Only(vec![customer.id]);
        let alike = groups::named(&mut transaction, &order.name, &of_customer).await?;
        if !alike.is_empty() {
            return Err(OrderError::Conflict(format!("there is a group {:?} already", order.name)));
        }
        if groups::count(&mut transaction, customer.id).await? >= MAX_GROUPS {
            return Err(OrderError::Conflict(format!("there are {MAX_GROUPS} groups: remove one first")));
        }
        let row = GroupRow {
            group_id: GroupId::new(),
            customer,
            name: order.name.clone(),
            description: order.description.clone(),
        };
        groups::create(&mut transaction, &row, now).await?;
        for eui in &order.gateways {
            put_into(&mut transaction, caller, &row, *eui).await?;
        }
        let detail = format!("made, with {} gateways", order.gateways.len());
        audit(&mut transaction, caller, Action::EditGroups, what(&row, detail)).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(caller, row.group_id.as_str()).await
    }

    /// Removes a group. Updates that were sent to it go on.
    pub(crate) async fn remove_group(&self, caller: &Caller, name: &str) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_group(&mut transaction, caller, name, Action::EditGroups).await?;
        groups::remove(&mut transaction, &row.group_id).await?;
        audit(&mut transaction, caller, Action::EditGroups, what(&row, "removed")).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }

    /// Puts a gateway into a group.
    pub(crate) async fn add_member(
        &self,
        caller: &Caller,
        name: &str,
        eui: Eui,
    ) -> Result<GroupView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_group(&mut transaction, caller, name, Action::EditGroups).await?;
        put_into(&mut transaction, caller, &row, eui).await?;
        audit(&mut transaction, caller, Action::EditGroups, what(&row, format!("{eui} put into it"))).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(caller, row.group_id.as_str()).await
    }

    /// Asks the members of a group for telemetry that are connected.
    pub(crate) async fn nudge_group(&self, caller: &Caller, name: &str) -> Result<NudgedGroup, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_group(&mut connection, caller, name, Action::AskTelemetry).await?;
        let members = groups::members(&mut connection, &row.group_id).await?.len();
        let online = groups::online_members(&mut connection, &row.group_id).await?;
        drop(connection);
        if !self.is_connected() {
            return Err(OrderError::Unavailable("the center is not connected to its broker".to_owned()));
        }
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let answer = NudgedGroup { asked: count(online.len()), not_connected: count(members - online.len()) };
        if !online.is_empty() {
            // A list is one place in the queue, whatever its length; gateways limit by themselves how often they obey.
            self.nudges.try_send(online).map_err(|_| {
                OrderError::Unavailable("too many nudges are waiting: try again later".to_owned())
            })?;
        }
        Ok(answer)
    }

    /// Takes a gateway out of a group.
    pub(crate) async fn remove_member(
        &self,
        caller: &Caller,
        name: &str,
        eui: Eui,
    ) -> Result<GroupView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_group(&mut transaction, caller, name, Action::EditGroups).await?;
        if !groups::remove_member(&mut transaction, &row.group_id, eui).await? {
            return Err(OrderError::NotFound(format!("gateway {eui} is not in the group {:?}", row.name)));
        }
        audit(&mut transaction, caller, Action::EditGroups, what(&row, format!("{eui} taken out of it")))
            .await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(caller, row.group_id.as_str()).await
    }
}

/// Puts a gateway of the group's customer into the group.
async fn put_into(
    transaction: &mut Transaction,
    caller: &Caller,
    group: &GroupRow,
    eui: Eui,
) -> Result<(), OrderError> {
    let found = gateways::find(transaction, eui).await?.filter(|row| caller.sees(&row.customer_id));
    let gateway = found.ok_or_else(|| no_gateway(eui))?;
    if gateway.customer_id != group.customer.id {
        return Err(OrderError::Conflict(format!(
            "gateway {eui} is not of the customer {:?}, whose group {:?} is: move it there first",
            group.customer.name, group.name
        )));
    }
    Ok(groups::add_member(transaction, &group.group_id, eui).await?)
}

/// The group of this id, else the one of this name, among those that the caller sees; he may do this to it.
pub(super) async fn find_group(
    connection: &mut AnyConnection,
    caller: &Caller,
    name: &str,
    action: Action,
) -> Result<GroupRow, OrderError> {
    let mut found = groups::named(connection, name, &caller.visible()).await?.into_iter();
    let first = found.next().ok_or_else(|| no_group(name))?;
    if first.group_id.as_str() != name
        && let Some(second) = found.next()
    {
        return Err(OrderError::Conflict(format!(
            "more than one group is named {name:?}: name it by its id, {} of the customer {:?} or {} of the customer {:?}",
            first.group_id, first.customer.name, second.group_id, second.customer.name
        )));
    }
    caller.require(action, &first.customer.id)?;
    Ok(first)
}

fn what(row: &GroupRow, detail: impl Into<String>) -> What {
    What::of(row.customer.id, format!("group {:?}", row.name), detail)
}

fn no_group(name: &str) -> OrderError {
    OrderError::NotFound(format!("there is no group {name:?}: `keros-center groups` lists them"))
}
