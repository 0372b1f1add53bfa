//! Updates: sending one to a group, and what became of it.

use keros_protocol::{UnixSeconds, UpdateId};

use super::center::{Center, in_thread};
use super::changes::Change;
use super::links::require_link;
use super::order::{OrderError, Way, new_update};
use super::state::Counts;
use super::views;
use crate::api::{SendUpdate, UpdateView};
use crate::store::{StoreError, groups, updates};

impl Center {
    /// Accepts an update for a group, and asks those of its gateways that are connected for telemetry.
    pub(crate) async fn send_update(
        &self,
        order: SendUpdate,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let group = self.group(&order.group).await?;
        self.check_link_order(&order.job, &group.gateways, now).await?;
        let update = in_thread(move || new_update(order, &group.gateways, Way::Sent, now)).await?;
        let mut transaction = self.store.begin().await?;
        require_link(&mut transaction, &update.job).await?;
        let expired = updates::expire(&mut transaction, now).await?;
        if let Some((under_way, eui)) = updates::in_progress(&mut transaction, &update.row.group).await? {
            return Err(OrderError::Conflict(format!(
                "update {under_way} is in progress: its command still waits for gateway {eui}"
            )));
        }
        updates::create(&mut transaction, &update).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell_expired(expired);
        let update_id = update.row.update_id;
        tracing::info!(%update_id, group = update.row.group, gateways = update.commands.len(), "an update is accepted");
        self.tell(&[Change::Update(update_id)]);
        let online = groups::online_members(&mut *self.store.read().await?, &update.row.group).await?;
        self.nudge_some(online);
        self.update(update_id, now).await
    }

    /// Updates, newest first, those before `before`, without their lines.
    pub(crate) async fn updates(
        &self,
        before: Option<UpdateId>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<UpdateView>, OrderError> {
        let mut connection = self.store.read().await?;
        let mut list = Vec::new();
        for row in updates::list(&mut connection, before, limit).await? {
            let counts = updates::counts(&mut connection, row.update_id, now).await?;
            list.push(views::update(row, Counts::of(&counts)));
        }
        Ok(list)
    }

    /// One update, without its lines.
    pub(crate) async fn update_summary(
        &self,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = updates::find(&mut connection, update_id).await?.ok_or_else(|| no_update(update_id))?;
        let counts = updates::counts(&mut connection, update_id, now).await?;
        Ok(views::update(row, Counts::of(&counts)))
    }

    /// One update, with a line for each gateway.
    pub(crate) async fn update(
        &self,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = updates::find(&mut connection, update_id).await?.ok_or_else(|| no_update(update_id))?;
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

pub(super) fn no_update(update_id: UpdateId) -> OrderError {
    OrderError::NotFound(format!("there is no update {update_id}: `keros-center update list` lists them"))
}
