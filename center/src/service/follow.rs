//! Updates that follow others: the same job again for those that it did not succeed on, the real one after its dry run; and an operator's word
//! to a roll-out.

use std::collections::BTreeSet;

use keros_protocol::{Delivery, Eui, JobOptions, UnixSeconds, UpdateId};

use super::audit::{What, audit};
use super::center::Center;
use super::changes::Change;
use super::order::{Audience, Order, OrderError, Way, invalid};
use super::tend::of_stage;
use super::updates::{find_update, no_update};
use crate::access::{Action, Caller, Visible};
use crate::api::{FollowUp, SendOptions, UpdateView};
use crate::plan::{Plan, go_on};
use crate::store::fleet::{self, Filter};
use crate::store::{
    CommandRow, FollowsAs, OrderedJob, RealOrder, StoreError, UpdateRow, jobs, plans, updates,
};

/// How a command can have ended, as [`FollowUp::outcomes`] names it.
const ENDS: [&str; 8] =
    ["succeeded", "failed", "refused", "cancelled", "timed_out", "interrupted", "rolled_back", "expired"];

/// Where a roll-out was when a person said that it may go on: what was said twice must not begin two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The stage under way, from 1.
    pub(crate) stage: u32,
    /// It was stopped.
    pub(crate) halted: bool,
}

/// What is sent again, and to whom.
struct Ready {
    row: UpdateRow,
    ordered: OrderedJob,
    gateways: Vec<Eui>,
}

impl Center {
    /// Sends the job of an update again, to those of its gateways that it did not succeed on.
    pub(crate) async fn retry(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        order: FollowUp,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        self.follow(caller, update_id, FollowsAs::Retry, order, now).await
    }

    /// Sends what a dry run was for, to those gateways on which it succeeded.
    pub(crate) async fn carry_out(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        order: FollowUp,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        self.follow(caller, update_id, FollowsAs::Real, order, now).await
    }

    async fn follow(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        kind: FollowsAs,
        follow_up: FollowUp,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let Ready { row, ordered, gateways } = self.ready(caller, update_id, kind, &follow_up, now).await?;
        let (job, limits) = (ordered.job, ordered.limits);
        let RealOrder { options, plan, expires_in_s } = how(&row, kind, &follow_up)?;
        let order = Order { job, limits, options, expires_in_s, plan, dry_run_first: false };
        let audience =
            Audience { group: row.group, gateways, way: Way::Sent, follows: Some((update_id, kind)) };
        let mut origin = row.origin;
        (origin.created_by_id, origin.created_by) = (caller.user, caller.name.clone());
        let view = self.accept(caller, order, audience, origin, None, now).await?;
        self.tell(&[Change::Update(update_id)]);
        Ok(view)
    }

    /// For how many gateways an update would be that follows this one, if it can be sent. Nothing is sent.
    pub(crate) async fn would_follow(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        kind: FollowsAs,
        now: UnixSeconds,
    ) -> Result<usize, OrderError> {
        let ready = self.ready(caller, update_id, kind, &FollowUp::default(), now).await?;
        how(&ready.row, kind, &FollowUp::default())?;
        Ok(ready.gateways.len())
    }

    /// What is sent again, and to whom; who asks may send it.
    async fn ready(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        kind: FollowsAs,
        follow_up: &FollowUp,
        now: UnixSeconds,
    ) -> Result<Ready, OrderError> {
        let ends = ends(kind, &follow_up.outcomes)?;
        let mut connection = self.store.read().await?;
        let row = find_update(&mut connection, caller, update_id, Action::SendUpdates).await?;
        if row.by_hand {
            return Err(invalid("a command that is carried by hand is signed anew, and not sent again"));
        }
        if kind == FollowsAs::Real {
            let before = plans::followers(&mut connection, update_id).await?;
            if let Some((real, _)) = before.into_iter().find(|(_, kind)| *kind == FollowsAs::Real) {
                return Err(OrderError::Conflict(format!("it is carried out already, by update {real}")));
            }
        }
        let ordered = jobs::find(&mut connection, update_id).await?.ok_or_else(|| no_update(update_id))?;
        let lines = updates::lines(&mut connection, update_id, None).await?;
        let in_service = Filter::all(Visible::Only(vec![row.origin.customer.id]));
        let in_service: BTreeSet<Eui> =
            fleet::all(&mut connection, &in_service, now).await?.into_iter().collect();
        // Who sends it again twice, or again after that has succeeded, does not mean those that have it by the first time.
        let done = plans::followed_gateways(&mut connection, update_id, kind).await?;
        drop(connection);
        let gateways: Vec<Eui> = lines
            .iter()
            .filter(|line| end_of(&line.command).is_some_and(|end| ends.contains(end)))
            .map(|line| line.command.eui)
            .filter(|eui| in_service.contains(eui) && !done.contains(eui))
            .collect();
        if gateways.is_empty() {
            let ends: Vec<&str> = ends.into_iter().collect();
            return Err(OrderError::Conflict(format!(
                "no gateway of update {update_id} that is still in service here has one of these outcomes: {}{}",
                ends.join(", "),
                if done.is_empty() {
                    ""
                } else {
                    "; to others it was sent again already, by the updates that follow it"
                }
            )));
        }
        Ok(Ready { row, ordered, gateways })
    }

    /// An operator lets a roll-out go on: one that was stopped where it is, one that is under way with its next stage.
    pub(crate) async fn go_on(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        seen: Option<Seen>,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_update(&mut transaction, caller, update_id, Action::SendUpdates).await?;
        if row.plan.plan.rollout.is_none() {
            return Err(OrderError::Conflict(format!("update {update_id} has no stages")));
        }
        let rows = plans::counts(&mut transaction, update_id, now).await?;
        let before = row.plan.progress;
        if seen.is_some_and(|seen| seen != Seen { stage: before.stage + 1, halted: before.halted }) {
            return Err(OrderError::Conflict(format!(
                "the roll-out of update {update_id} has gone on since it was looked at: look at it again"
            )));
        }
        let progress = go_on(&before, &of_stage(&rows, before.stage), now).ok_or_else(|| {
            OrderError::Conflict(format!(
                "the last stage of update {update_id} is under way, and not stopped"
            ))
        })?;
        plans::keep_progress(&mut transaction, update_id, &progress, None).await?;
        let detail = format!("roll-out goes on, stage {} of {}", progress.stage + 1, progress.last + 1);
        let what = What::of(row.origin.customer.id, format!("update {update_id}"), detail);
        audit(&mut transaction, caller, Action::SendUpdates, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell(&[Change::Update(update_id)]);
        self.nudge_waiting(update_id, progress.stage).await?;
        self.accepted(caller, update_id, now).await
    }
}

/// The ends that are asked for.
fn ends(kind: FollowsAs, stated: &[String]) -> Result<BTreeSet<&'static str>, OrderError> {
    if stated.is_empty() {
        return Ok(match kind {
            FollowsAs::Retry => {
                ENDS.into_iter().filter(|end| !matches!(*end, "succeeded" | "cancelled")).collect()
            }
            FollowsAs::Real => BTreeSet::from(["succeeded"]),
        });
    }
    let known = |name: &String| {
        let found = ENDS.into_iter().find(|end| end == name);
        found.ok_or_else(|| {
            let name = keros_protocol::limits::shorten(name, 64);
            invalid(format!("outcomes: there is no outcome {name:?}: there are {}", ENDS.join(", ")))
        })
    };
    stated.iter().map(known).collect()
}

/// How a command has ended, if it has.
fn end_of(command: &CommandRow) -> Option<&'static str> {
    match (&command.outcome, command.delivery) {
        (Some(outcome), _) => outcome.is_terminal().then(|| outcome.name()),
        (None, Delivery::Cancelled) => Some("cancelled"),
        (None, Delivery::Expired) => Some("expired"),
        (None, Delivery::Waiting | Delivery::Sent | Delivery::Received) => None,
    }
}

/// How the job is to be done: as is stated, else as before.
fn how(row: &UpdateRow, kind: FollowsAs, stated: &FollowUp) -> Result<RealOrder, OrderError> {
    let from = row.plan.plan.not_before_unix_s.unwrap_or(row.created_at).max(row.created_at);
    let expires_in_s = Some(row.expires_at.saturating_sub(from));
    let before = match (kind, &row.real_order) {
        (FollowsAs::Real, Some(real)) => real.clone(),
        (FollowsAs::Real, None) if row.options.dry_run => {
            let options = SendOptions { dry_run: false, confirm_window_s: None };
            RealOrder { options, plan: Plan::default(), expires_in_s }
        }
        (FollowsAs::Real, None) => {
            return Err(invalid("it is no dry run: there is nothing to be carried out"));
        }
        (FollowsAs::Retry, _) => {
            let JobOptions { dry_run, confirm_window_s } = row.options;
            let options = SendOptions { dry_run, confirm_window_s: Some(confirm_window_s) };
            // Stages were for the first time; a window is kept.
            let plan = Plan { window: row.plan.plan.window, ..Plan::default() };
            RealOrder { options, plan, expires_in_s }
        }
    };
    Ok(RealOrder {
        options: stated.options.unwrap_or(before.options),
        plan: stated.plan.clone().unwrap_or(before.plan),
        expires_in_s: stated.expires_in_s.or(before.expires_in_s),
    })
}
