//! Updates: sending one to a group, and what became of it.

use keros_protocol::{UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::audit::{What, audit};
use super::center::{Center, in_thread};
use super::changes::Change;
use super::groups::{find_group, members, members_of};
use super::links::require_link;
use super::order::{OrderError, new_update};
use super::state::Counts;
use super::views;
use crate::access::{Action, Caller};
use crate::api::{SendUpdate, UpdateView};
use crate::store::fleet::{self, Filter};
use crate::store::{NewUpdate, Origin, StoreError, UpdateRow, UpdatesOf, updates};

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
        self.send_once(caller, order, None, now).await
    }

    /// The same, for a form that may come twice: its key becomes the update's id, and what was sent with it is only shown.
    pub(crate) async fn send_once(
        &self,
        caller: &Caller,
        order: SendUpdate,
        key: Option<UpdateId>,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut connection = self.store.read().await?;
        let group = find_group(&mut connection, caller, &order.group, Action::SendUpdates).await?;
        let gateways = members(&mut connection, &group).await?;
        drop(connection);
        self.check_link_order(&order.job, &group.customer, &gateways, now).await?;
        let customer = group.customer.id;
        let origin = Origin {
            customer: group.customer.clone(),
            group_id: Some(group.group_id.clone()),
            created_by_id: caller.user,
            created_by: caller.name.clone(),
        };
        let order = SendUpdate { group: group.name.clone(), ..order };
        let mut update = in_thread(move || new_update(order, &gateways, origin, now)).await?;
        let mut transaction = self.store.begin().await?;
        if let Some(key) = key {
            if updates::find(&mut transaction, key).await?.is_some_and(|row| is_same(&row, &update.row)) {
                drop(transaction);
                return self.update(caller, key, now).await;
            }
            check_key(key, now)?;
            update.row.update_id = key;
        }
        require_link(&mut transaction, &update.job, customer).await?;
        let expired = updates::expire(&mut transaction, now).await?;
        // Members are who they are at this moment: nobody has moved to another customer since they were read.
        let now_members = members(&mut transaction, &group).await?;
        if !update.commands.iter().map(|(_, eui)| eui).eq(&now_members) {
            return Err(OrderError::Conflict(format!(
                "the group {:?} has just changed: try again",
                group.name
            )));
        }
        if let Some((under_way, eui)) = updates::in_progress(&mut transaction, &group.group_id).await? {
            return Err(OrderError::Conflict(format!(
                "update {under_way} is in progress: its command still waits for gateway {eui}"
            )));
        }
        updates::create(&mut transaction, &update).await?;
        audit(&mut transaction, caller, Action::SendUpdates, sent(&update)).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell_expired(expired);
        let update_id = update.row.update_id;
        tracing::info!(%update_id, group = update.row.group, gateways = update.commands.len(), "an update is accepted");
        self.tell(&[Change::Update(update_id)]);
        let online = Filter { online: Some(true), ..Filter::members(members_of(&group)?) };
        let online = fleet::all(&mut *self.store.read().await?, &online, now).await?;
        self.nudge_some(online);
        self.update(caller, update_id, now).await
    }

    /// The updates that the caller may see, newest first, those before `before`, without their lines.
    pub(crate) async fn updates(
        &self,
        caller: &Caller,
        before: Option<UpdateId>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<UpdateView>, OrderError> {
        let mut connection = self.store.read().await?;
        let mut list = Vec::new();
        for row in
            updates::list(&mut connection, &caller.where_may(Action::SeeUpdates), before, limit).await?
        {
            let counts = updates::counts(&mut connection, row.update_id, now).await?;
            list.push(views::update(row, Counts::of(&counts)));
        }
        Ok(list)
    }

    /// Updates of a group, or of a gateway, newest first, without their lines.
    pub(crate) async fn updates_of(
        &self,
        caller: &Caller,
        of: UpdatesOf<'_>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<UpdateView>, OrderError> {
        let mut connection = self.store.read().await?;
        let mut list = Vec::new();
        let visible = caller.where_may(Action::SeeUpdates);
        for row in updates::list_of(&mut connection, &visible, of, limit).await? {
            let counts = updates::counts(&mut connection, row.update_id, now).await?;
            list.push(views::update(row, Counts::of(&counts)));
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
        let counts = updates::counts(&mut connection, update_id, now).await?;
        Ok(views::update(row, Counts::of(&counts)))
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
        let mut counts = Counts::default();
        let mut lines = Vec::new();
        for line in updates::lines(&mut connection, update_id, None).await? {
            let command = &line.command;
            counts.add(command.delivery, command.outcome.as_ref().map(|outcome| outcome.name()), 1);
            counts.overdue += u32::from(command.is_overdue(now));
            lines.push(views::delivery(line, now));
        }
        Ok(UpdateView { gateways: lines, ..views::update(row, counts) })
    }
}

/// Whether two updates are of the same sending: the same person to the same group.
fn is_same(one: &UpdateRow, other: &UpdateRow) -> bool {
    one.origin.created_by_id == other.origin.created_by_id && one.origin.group_id == other.origin.group_id
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

fn sent(update: &NewUpdate) -> What {
    let row = &update.row;
    let detail = format!("{}, to {} gateways of group {:?}", row.kind, update.commands.len(), row.group);
    What::of(row.origin.customer.id, format!("update {}", row.update_id), detail)
}

pub(super) fn no_update(update_id: UpdateId) -> OrderError {
    OrderError::NotFound(format!("there is no update {update_id}: `keros-center update list` lists them"))
}
