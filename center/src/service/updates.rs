//! Updates: sending one to a group or to a gateway, and what became of it.

use std::collections::BTreeSet;

use keros_protocol::{Eui, UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::audit::{What, audit};
use super::center::{Center, in_thread};
use super::changes::Change;
use super::conflict::{Pending, conflict, refusal};
use super::gateways::{find_gateway, no_gateway};
use super::groups::{find_group, members_and_online};
use super::links::require_link;
use super::order::{Audience, Order, OrderError, Way, new_update};
use super::software_update::{Addressee, pending_for};
use super::state::Counts;
use super::views::{self, LineOf};
use crate::access::{Action, Caller, GroupId, Visible};
use crate::api::{Follow, SendToGateway, SendUpdate, UpdateView};
use crate::bounds::MAX_ANSWERED_LINES;
use crate::plan::hold;
use crate::store::fleet::{self, Filter};
use crate::store::{
    Customer, NewUpdate, Origin, StoreError, UpdateRow, UpdatesOf, commands, customers, lines, pending,
    plans, tally, updates,
};

/// How long a confirmation may lie before it is sent, seconds.
const FORM_KEY_S: u64 = 3600;

impl Center {
    /// Accepts an update for a group, and asks those of its gateways that are connected for telemetry.
    pub(crate) async fn send_update(
        &self,
        caller: &Caller,
        order: SendUpdate,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let addressee = Addressee::Group(order.group.clone());
        self.send_once(caller, &addressee, order.into(), None, now).await
    }

    /// Accepts an update for one gateway.
    pub(crate) async fn send_to_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
        order: SendToGateway,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        self.send_once(caller, &Addressee::Gateway(eui), order.into(), None, now).await
    }

    /// The same, for a form that may come twice: its key becomes the update's id, and what was sent with it is only shown.
    pub(crate) async fn send_once(
        &self,
        caller: &Caller,
        addressee: &Addressee,
        order: Order,
        key: Option<UpdateId>,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let (audience, customer, group_id) = self.audience(caller, addressee).await?;
        let origin =
            Origin { customer, group_id, created_by_id: caller.user, created_by: caller.name.clone() };
        self.accept(caller, order, audience, origin, key, now).await
    }

    /// For whom an order is; the caller may send there.
    async fn audience(
        &self,
        caller: &Caller,
        addressee: &Addressee,
    ) -> Result<(Audience, Customer, Option<GroupId>), OrderError> {
        let mut connection = self.store.read().await?;
        match addressee {
            Addressee::Group(name) => {
                let group = find_group(&mut connection, caller, name, Action::SendUpdates).await?;
                let (members, online) = members_and_online(&mut connection, &group).await?;
                let gateways = in_order_of_stages(members, &online);
                let audience = Audience { group: group.name, gateways, way: Way::Sent, follows: None };
                Ok((audience, group.customer, Some(group.group_id)))
            }
            Addressee::Gateway(eui) => {
                let gateway = find_gateway(&mut connection, caller, *eui, Action::SendUpdates).await?;
                let customer = customers::find(&mut connection, gateway.customer_id).await?;
                let audience =
                    Audience { group: String::new(), gateways: vec![*eui], way: Way::Sent, follows: None };
                Ok((audience, customer.ok_or_else(|| no_gateway(*eui))?, None))
            }
        }
    }

    /// Checks an order and keeps it, unless it has to wait for another one: of two that come at once, one does.
    pub(super) async fn accept(
        &self,
        caller: &Caller,
        order: Order,
        audience: Audience,
        origin: Origin,
        key: Option<UpdateId>,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let customer = origin.customer.id;
        let scope = audience.scope();
        self.check_link_order(&order.job, &origin.customer, &audience.gateways, now).await?;
        let mut update = in_thread(move || new_update(order, audience, origin, now)).await?;
        let mut transaction = self.store.begin().await?;
        if let Some(key) = key {
            if updates::find(&mut transaction, key).await?.is_some_and(|row| is_same(&row, &update.row)) {
                drop(transaction);
                return self.accepted(caller, key, now).await;
            }
            check_key(key, now)?;
            update.row.update_id = key;
        }
        let update_id = update.row.update_id;
        require_link(&mut transaction, &update.job, customer).await?;
        let expired = commands::expire(&mut transaction, now).await?;
        let pending = in_the_way(&mut transaction, &update).await?;
        if let Some(pending) = conflict(scope, &update.row.kind, &pending) {
            return Err(OrderError::Conflict(refusal(scope, pending)));
        }
        // Since they were read, one may have gone to another customer, or out of service.
        let in_service = Filter::all(Visible::Only(vec![customer]));
        let in_service = fleet::all(&mut transaction, &in_service, now).await?;
        let mut gateways = update.commands.iter().map(|(_, eui, _)| eui);
        if let Some(eui) = gateways.find(|eui| in_service.binary_search(eui).is_err()) {
            return Err(OrderError::Conflict(format!(
                "gateway {eui} is retired, or has just moved to another customer: look at the gateways again, and send it anew"
            )));
        }
        updates::create(&mut transaction, &update).await?;
        // All of it is taken back when it is a second time.
        if let Some(follows) = update.row.plan.follows
            && let Some(other) = plans::double(&mut transaction, update_id, follows).await?
        {
            return Err(OrderError::Conflict(format!(
                "it was sent again already, by update {other}, to at least one of these gateways"
            )));
        }
        audit(&mut transaction, caller, Action::SendUpdates, sent(&update)).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell_expired(expired);
        tracing::info!(%update_id, group = update.row.group, gateways = update.commands.len(), "an update is accepted");
        self.tell(&[Change::Update(update_id)]);
        if hold(&update.row.plan.gate(), 0, now).is_none() {
            self.nudge_waiting(update_id, 0).await?;
        }
        self.accepted(caller, update_id, now).await
    }

    /// The answer to an order: the update with its lines, unless there are very many.
    pub(super) async fn accepted(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let summary = self.update_summary(caller, update_id, now).await?;
        if summary.gateway_count() > MAX_ANSWERED_LINES {
            return Ok(summary);
        }
        self.update(caller, update_id, now).await
    }

    /// The updates of these that the caller may see, newest first, those before `before`, without their lines.
    pub(crate) async fn updates(
        &self,
        caller: &Caller,
        of: UpdatesOf<'_>,
        before: Option<UpdateId>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<UpdateView>, OrderError> {
        let mut connection = self.store.read().await?;
        let mut list = Vec::new();
        let visible = caller.where_may(Action::SeeUpdates);
        for row in updates::list(&mut connection, &visible, of, before, limit).await? {
            let counts = counts(&mut connection, &row, now).await?;
            list.push(views::update(row, counts));
        }
        Ok(list)
    }

    /// One update, without its lines.
    pub(crate) async fn update_summary(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_update(&mut connection, caller, update_id, Action::SeeUpdates).await?;
        let counts = counts(&mut connection, &row, now).await?;
        let followed_by = followed_by(&mut connection, update_id).await?;
        Ok(UpdateView { followed_by, ..views::update(row, counts) })
    }

    /// One update, with a line for each gateway.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_update(&mut connection, caller, update_id, Action::SeeUpdates).await?;
        let of = LineOf::update(&row);
        let mut counts = Counts::default();
        let mut lines = Vec::new();
        for line in lines::all(&mut connection, update_id).await? {
            let command = &line.command;
            counts.add(command.delivery, command.outcome.as_ref().map(|outcome| outcome.name()), 1);
            counts.overdue += u32::from(command.is_overdue(now));
            lines.push(views::delivery(line, of, now));
        }
        let followed_by = followed_by(&mut connection, update_id).await?;
        Ok(UpdateView { gateways: lines, followed_by, ..views::update(row, counts) })
    }
}

/// How many of its commands are alike.
async fn counts(
    connection: &mut AnyConnection,
    row: &UpdateRow,
    now: UnixSeconds,
) -> Result<Counts, StoreError> {
    match &row.tally {
        Some(tally) => Ok(Counts::of(tally)),
        None => Ok(Counts::of(&tally::counts(connection, row.update_id, &row.plan, now).await?)),
    }
}

/// The commands that an update may have to wait for; for a gateway all of them, for a group one is enough.
async fn in_the_way(connection: &mut AnyConnection, update: &NewUpdate) -> Result<Vec<Pending>, OrderError> {
    match (&update.row.origin.group_id, update.row.eui) {
        (_, Some(eui)) => Ok(pending::of_gateway(connection, eui).await?),
        (Some(group_id), None) => {
            let gateways: Vec<Eui> = update.commands.iter().map(|(_, eui, _)| *eui).collect();
            Ok(pending_for(connection, group_id, &gateways).await?.into_iter().collect())
        }
        (None, None) => Ok(Vec::new()),
    }
}

/// The updates that do the job of this one again.
async fn followed_by(connection: &mut AnyConnection, update_id: UpdateId) -> Result<Vec<Follow>, OrderError> {
    let followers = plans::followers(connection, update_id).await?;
    Ok(followers.into_iter().map(|(update_id, kind)| Follow { update_id, kind }).collect())
}

/// Whether two updates are of the same sending: the same person to the same group.
fn is_same(one: &UpdateRow, other: &UpdateRow) -> bool {
    one.origin.created_by_id == other.origin.created_by_id
        && one.origin.group_id == other.origin.group_id
        && one.eui == other.eui
}

/// A key names its time. What was confirmed long ago has to be looked at again: the gateways may be others by now.
fn check_key(key: UpdateId, now: UnixSeconds) -> Result<(), OrderError> {
    let made_at = key.0.get_timestamp().filter(|_| key.0.get_version_num() == 7).map(|at| at.to_unix().0);
    let is_fresh = |at: u64| (at..=at.saturating_add(FORM_KEY_S)).contains(&now);
    if made_at.is_some_and(is_fresh) {
        return Ok(());
    }
    Err(OrderError::Conflict(
        "the confirmation is older than an hour: look at it again, and confirm it anew".to_owned(),
    ))
}

/// An update that the caller sees; he may do this to it.
pub(super) async fn find_update(
    connection: &mut AnyConnection,
    caller: &Caller,
    update_id: UpdateId,
    action: Action,
) -> Result<UpdateRow, OrderError> {
    let found = updates::find(connection, update_id).await?;
    let row = found.filter(|row| caller.sees(&row.origin.customer.id)).ok_or_else(|| no_update(update_id))?;
    caller.require(action, &row.origin.customer.id)?;
    Ok(row)
}

/// The gateways in the order in which stages take them: those that are connected first, so that the first stage says something soon, and by
/// chance among them, so that a part of a fleet is not its oldest gateways.
fn in_order_of_stages(members: Vec<Eui>, online: &[Eui]) -> Vec<Eui> {
    let online: BTreeSet<Eui> = online.iter().copied().collect();
    // A version 7 UUID ends with 62 bits of chance.
    let by_chance = |eui: &Eui| (!online.contains(eui), uuid::Uuid::now_v7().as_u64_pair().1);
    let mut gateways = members;
    gateways.sort_by_cached_key(by_chance);
    gateways
}

fn sent(update: &NewUpdate) -> What {
    let row = &update.row;
    let to = match row.eui {
        Some(eui) => format!("gateway {eui}"),
        None => format!("{} gateways of group {:?}", update.commands.len(), row.group),
    };
    let follows =
        row.plan.follows.map(|(update_id, kind)| format!(", {} of update {update_id}", kind.as_str()));
    let detail = format!("{}, to {to}{}", row.kind, follows.unwrap_or_default());
    What::of(row.origin.customer.id, format!("update {}", row.update_id), detail)
}

pub(super) fn no_update(update_id: UpdateId) -> OrderError {
    OrderError::NotFound(format!("there is no update {update_id}: `keros-center update list` lists them"))
}
