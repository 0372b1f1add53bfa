//! Groups and their members.

use std::collections::BTreeMap;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;

use super::as_seen::{has_seen, still_as_seen};
use super::audit::{What, audit};
use super::center::{Center, check_description, check_name};
use super::customers::customer_for;
use super::gateways::no_gateway;
use super::order::{OrderError, invalid};
use super::views;
use crate::access::{Action, Caller, GroupId, Visible};
use crate::api::{CreateGroup, EditGroup, GroupView, NudgedGroup};
use crate::gateway::rule::Rule;
use crate::store::fleet::{self, Filter, Kind, Members, Part, Sort};
use crate::store::{GatewayRow, GroupRow, StoreError, Transaction, gateways, groups};

impl Center {
    /// The groups that the caller may see, without their members.
    pub(crate) async fn groups(&self, caller: &Caller) -> Result<Vec<GroupView>, OrderError> {
        let visible = caller.where_may(Action::SeeGroups);
        let mut connection = self.store.read().await?;
        let rows = groups::list(&mut connection, &visible).await?;
        let put_in = groups::member_counts(&mut connection, &visible).await?;
        let mut list = Vec::with_capacity(rows.len());
        for row in rows {
            let count = if row.rule.is_some() {
                member_count(&mut connection, &row).await?
            } else {
                put_in.get(&row.group_id).copied().unwrap_or(0)
            };
            list.push(views::group(row, count));
        }
        Ok(list)
    }

    /// One group.
    pub(crate) async fn group(&self, caller: &Caller, name: &str) -> Result<GroupView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_group(&mut connection, caller, name, Action::SeeGroups).await?;
        whole(&mut connection, row).await
    }

    /// One group, without its members.
    pub(crate) async fn group_summary(&self, caller: &Caller, name: &str) -> Result<GroupView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_group(&mut connection, caller, name, Action::SeeGroups).await?;
        let count = member_count(&mut connection, &row).await?;
        Ok(views::group(row, count))
    }

    /// The first members of a group, by EUI.
    pub(crate) async fn first_members(
        &self,
        caller: &Caller,
        name: &str,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<GatewayRow>, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_group(&mut connection, caller, name, Action::SeeGroups).await?;
        let part = Part { sort: Sort::Eui, descending: false, after: None, limit };
        Ok(fleet::page(&mut connection, &Filter::members(members_of(&row)?), &part, now).await?.rows)
    }

    /// What people call these gateways, as far as the caller may see them.
    pub(crate) async fn names(
        &self,
        caller: &Caller,
        these: &[Eui],
    ) -> Result<BTreeMap<Eui, String>, OrderError> {
        let rows = gateways::these(&mut *self.store.read().await?, these).await?;
        let seen = rows.into_iter().filter(|row| caller.sees(&row.customer_id));
        Ok(seen.map(|row| (row.eui, row.shown_name())).collect())
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
        let rule = checked_rule(order.rule.as_deref())?;
        let mut transaction = self.store.begin().await?;
        let customer =
            customer_for(&mut transaction, caller, order.customer.as_deref(), Action::EditGroups).await?;
        let of_customer = Visible::Only(vec![customer.id]);
        let alike = groups::named(&mut transaction, &order.name, &of_customer).await?;
        if !alike.is_empty() {
            return Err(OrderError::Conflict(format!("there is a group {:?} already", order.name)));
        }
        if groups::count(&mut transaction, customer.id).await? >= self.max_groups {
            return Err(OrderError::Conflict(format!(
                "the customer {:?} has {} groups, as many as a customer may have: remove one first, or start the center with a greater --max-groups",
                customer.name, self.max_groups
            )));
        }
        let row = GroupRow {
            group_id: GroupId::new(),
            customer,
            name: order.name.clone(),
            description: order.description.clone(),
            rule,
            alerting: order.alerting,
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

    /// Names, describes, rules a group. What is not said stays.
    pub(crate) async fn edit_group(
        &self,
        caller: &Caller,
        name: &str,
        order: &EditGroup,
    ) -> Result<GroupView, OrderError> {
        if let Some(name) = &order.name {
            check_name("a group's name", name)?;
        }
        order.description.as_deref().map_or(Ok(()), check_description)?;
        let mut transaction = self.store.begin().await?;
        let mut row = find_group(&mut transaction, caller, name, Action::EditGroups).await?;
        if !has_seen(caller, &views::group(row.clone(), 0).properties())? {
            check_as_seen(&mut transaction, caller, &row).await?;
        }
        if let Some(name) = order.name.as_ref().filter(|name| **name != row.name) {
            let of_customer = Visible::Only(vec![row.customer.id]);
            if !groups::named(&mut transaction, name, &of_customer).await?.is_empty() {
                return Err(OrderError::Conflict(format!("there is a group {name:?} already")));
            }
            row.name.clone_from(name);
        }
        if let Some(description) = &order.description {
            row.description.clone_from(description);
        }
        if order.rule.is_some() {
            row.rule = checked_rule(order.rule.as_deref())?;
        }
        row.alerting = order.alerting.unwrap_or(row.alerting);
        groups::edit(&mut transaction, &row).await?;
        let detail = format!("now: rule {:?}, alerting {}", row.rule.as_deref().unwrap_or(""), row.alerting);
        audit(&mut transaction, caller, Action::EditGroups, what(&row, detail)).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(caller, row.group_id.as_str()).await
    }

    /// Removes a group. Updates that were sent to it go on.
    pub(crate) async fn remove_group(&self, caller: &Caller, name: &str) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_group(&mut transaction, caller, name, Action::EditGroups).await?;
        check_as_seen(&mut transaction, caller, &row).await?;
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
        let (members, online) = members_and_online(&mut connection, &row).await?;
        drop(connection);
        if !self.is_connected() {
            return Err(OrderError::Unavailable("the center is not connected to its broker".to_owned()));
        }
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let answer = NudgedGroup {
            asked: count(online.len()),
            not_connected: count(members.len().saturating_sub(online.len())),
        };
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
            return Err(OrderError::NotFound(match &row.rule {
                Some(rule) => format!(
                    "gateway {eui} was not put into the group {:?}: change its rule, {rule:?}",
                    row.name
                ),
                None => format!("gateway {eui} is not in the group {:?}", row.name),
            }));
        }
        audit(&mut transaction, caller, Action::EditGroups, what(&row, format!("{eui} taken out of it")))
            .await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(caller, row.group_id.as_str()).await
    }
}

/// A group with its members, as it is shown.
async fn whole(connection: &mut AnyConnection, row: GroupRow) -> Result<GroupView, OrderError> {
    let put_in = groups::put_in(connection, &row.group_id).await?;
    let gateways = members(connection, &row).await?;
    let count = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
    Ok(GroupView { gateways, put_in, ..views::group(row, count) })
}

async fn check_as_seen(
    connection: &mut AnyConnection,
    caller: &Caller,
    row: &GroupRow,
) -> Result<(), OrderError> {
    // A group of 100,000 gateways takes a while: only who asks for it waits.
    if caller.seen.is_none() {
        return Ok(());
    }
    still_as_seen(caller, &whole(connection, row.clone()).await?)
}

/// A rule as it is kept; an empty one is none.
fn checked_rule(text: Option<&str>) -> Result<Option<String>, OrderError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let rule: Result<Rule, _> = text.parse();
    rule.map(|_| Some(text.to_owned())).map_err(|error| invalid(format!("the rule: {error}")))
}

/// The rule of a group.
pub(super) fn rule_of(row: &GroupRow) -> Result<Option<Rule>, OrderError> {
    let broken = |text: &str| StoreError::Row { column: "rule", value: text.to_owned() };
    let rule = row.rule.as_deref().map(|text| text.parse().map_err(|_| broken(text)));
    Ok(rule.transpose()?)
}

/// Who the members of a group are: for every list of them, and for every update.
pub(super) fn members_of(row: &GroupRow) -> Result<Members, OrderError> {
    Ok(Members { group: row.group_id.clone(), customer: row.customer.id, rule: rule_of(row)? })
}

/// The members of a group at this moment.
pub(super) async fn members(connection: &mut AnyConnection, row: &GroupRow) -> Result<Vec<Eui>, OrderError> {
    // Nothing of it depends on the time.
    Ok(fleet::all(connection, &Filter::members(members_of(row)?), 0).await?)
}

/// The same, and those of them that are connected.
pub(super) async fn members_and_online(
    connection: &mut AnyConnection,
    row: &GroupRow,
) -> Result<(Vec<Eui>, Vec<Eui>), OrderError> {
    Ok(fleet::all_and_online(connection, &Filter::members(members_of(row)?), 0).await?)
}

/// How many they are.
pub(super) async fn member_count(connection: &mut AnyConnection, row: &GroupRow) -> Result<u32, OrderError> {
    Ok(fleet::total(connection, &Filter::members(members_of(row)?), 0).await?)
}

/// The same, by kind.
pub(super) async fn member_kinds(
    connection: &mut AnyConnection,
    row: &GroupRow,
) -> Result<Vec<Kind>, OrderError> {
    Ok(fleet::kinds(connection, &Filter::members(members_of(row)?), 0).await?)
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
