//! Looks after updates that have not ended: their stages, and what people are told once. What is to be done is decided by a pure function,
//! and decided again in the transaction that does it: two centers, or a center and an operator, do no step twice.

use std::collections::BTreeSet;

use keros_protocol::{UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::center::Center;
use super::changes::Change;
use super::state::{Counts, is_terminal};
use super::webhooks::{enqueue, update_data};
use crate::plan::{Action, Hold, StageCounts, hold, step};
use crate::store::{PlanRow, StageCountRow, StoreError, plans, updates};
use crate::webhooks::EventKind;

/// What is to be done for an update.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Todo {
    /// For its roll-out.
    action: Action,
    /// It is new that a gateway did not succeed.
    failed: bool,
    /// It is new that nothing more is expected.
    ended: bool,
}

impl Todo {
    fn is_nothing(&self) -> bool {
        self.action == Action::Wait && !self.failed && !self.ended
    }
}

/// Decides it.
fn todo(row: &PlanRow, rows: &[StageCountRow], now: UnixSeconds) -> Todo {
    let action = match &row.plan.rollout {
        Some(rollout) => step(rollout, &row.progress, &of_stage(rows, row.progress.stage), now),
        None => Action::Wait,
    };
    let bad = rows.iter().any(|row| row.overdue > 0 || row.outcome.as_deref().is_some_and(is_bad));
    Todo {
        action,
        failed: bad && row.failed_at.is_none(),
        ended: row.ended_at.is_none() && totals(rows).ended(),
    }
}

/// Whether an outcome of this name is an end that is no success, and that nobody asked for.
pub(super) fn is_bad(name: &str) -> bool {
    is_terminal(name) && !matches!(name, "succeeded" | "cancelled")
}

/// The gateways of one stage.
pub(super) fn of_stage(rows: &[StageCountRow], stage: u32) -> StageCounts {
    let mut counts = StageCounts::default();
    for row in rows.iter().filter(|row| row.stage == stage) {
        counts.total += row.commands;
        let one = totals(std::slice::from_ref(row));
        counts.ended += if one.ended() { row.commands } else { 0 };
        counts.succeeded += if row.outcome.as_deref() == Some("succeeded") { row.commands } else { 0 };
        counts.failed += if row.outcome.as_deref().is_some_and(is_bad) { row.commands } else { 0 };
        counts.overdue += row.overdue;
    }
    counts
}

/// The counts of all stages together.
pub(super) fn totals(rows: &[StageCountRow]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        counts.add(row.delivery, row.outcome.as_deref(), row.commands);
        counts.overdue += row.overdue;
    }
    counts
}

impl Center {
    /// Looks after updates that have not ended: after those that have changed, or after all of them. `since`: when it was last done.
    pub(crate) async fn tend(
        &self,
        changed: Option<&BTreeSet<UpdateId>>,
        since: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        let open = plans::open(&mut *self.store.read().await?).await?;
        for update_id in open {
            if let Some(row) = plans::find(&mut *self.store.read().await?, update_id).await? {
                if changed.is_none_or(|changed| changed.contains(&update_id)) {
                    self.tend_one(update_id, &row, now).await?;
                }
                self.wake(update_id, &row, since, now).await?;
            }
        }
        Ok(())
    }

    async fn tend_one(&self, update_id: UpdateId, row: &PlanRow, now: UnixSeconds) -> Result<(), StoreError> {
        let counts = plans::counts(&mut *self.store.read().await?, update_id, now).await?;
        if todo(row, &counts, now).is_nothing() {
            return Ok(());
        }
        let mut transaction = self.store.begin().await?;
        let Some(row) = plans::find(&mut transaction, update_id).await? else { return Ok(()) };
        let counts = plans::counts(&mut transaction, update_id, now).await?;
        let todo = todo(&row, &counts, now);
        carry_out(&mut transaction, update_id, &row, &todo, now).await?;
        transaction.commit().await?;
        if todo.is_nothing() {
            return Ok(());
        }
        tracing::info!(%update_id, action = ?todo.action, failed = todo.failed, ended = todo.ended, "an update goes on");
        self.tell(&[Change::Update(update_id)]);
        if todo.action == Action::Release {
            self.nudge_waiting(update_id, row.progress.stage + 1).await?;
        }
        Ok(())
    }

    /// Asks gateways for telemetry whose commands may be handed out since a moment ago.
    async fn wake(
        &self,
        update_id: UpdateId,
        row: &PlanRow,
        since: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        let gate = row.gate();
        let was_held = matches!(hold(&gate, 0, since), Some(Hold::NotBefore(_) | Hold::Window(_)));
        if was_held && hold(&gate, 0, now).is_none() {
            self.nudge_waiting(update_id, row.progress.stage).await?;
        }
        Ok(())
    }

    /// Asks the gateways for telemetry that are connected and for which a command waits, up to this stage.
    pub(super) async fn nudge_waiting(&self, update_id: UpdateId, stage: u32) -> Result<(), StoreError> {
        let online = plans::online_waiting(&mut *self.store.read().await?, update_id, stage).await?;
        self.nudge_some(online);
        Ok(())
    }
}

async fn carry_out(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    row: &PlanRow,
    todo: &Todo,
    now: UnixSeconds,
) -> Result<(), StoreError> {
    match &todo.action {
        Action::Wait => {}
        Action::Release => {
            plans::keep_progress(connection, update_id, &row.progress.released(now), None).await?;
        }
        Action::Halt(why) => {
            plans::keep_progress(connection, update_id, &row.progress, Some((now, why))).await?;
        }
    }
    let at = |is: bool| is.then_some(now);
    plans::keep_seen(connection, update_id, at(todo.failed), at(todo.ended)).await?;
    let halted = matches!(todo.action, Action::Halt(_));
    for (kind, _) in [
        (EventKind::UpdateFailed, todo.failed),
        (EventKind::UpdateHalted, halted),
        (EventKind::UpdateEnded, todo.ended),
    ]
    .into_iter()
    .filter(|(_, is)| *is)
    {
        let Some(update) = updates::find(connection, update_id).await? else { continue };
        let counts = totals(&plans::counts(connection, update_id, now).await?);
        let customer = update.origin.customer.id;
        enqueue(connection, customer, kind, &update_data(update, counts), now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use keros_protocol::Delivery::{Cancelled, Expired, Received, Sent, Waiting};

    use super::*;
    use crate::plan::{Plan, Progress, Rollout};

    fn row(
        stage: u32,
        delivery: keros_protocol::Delivery,
        outcome: Option<&str>,
        commands: u32,
    ) -> StageCountRow {
        StageCountRow { stage, delivery, outcome: outcome.map(str::to_owned), commands, overdue: 0 }
    }

    #[test]
    fn a_stage_counts_its_own_gateways_alone() {
        let rows = [
            row(0, Received, Some("failed"), 1),
            row(1, Waiting, None, 2),
            row(1, Sent, None, 3),
            row(1, Received, Some("running"), 4),
            row(1, Received, Some("succeeded"), 5),
            row(1, Received, Some("rolled_back"), 6),
            row(1, Received, Some("cancelled"), 7),
            row(1, Cancelled, None, 8),
            row(1, Expired, None, 9),
            StageCountRow { overdue: 2, ..row(1, Received, Some("accepted"), 3) },
        ];
        let expected = StageCounts { total: 47, ended: 35, succeeded: 5, failed: 6, overdue: 2 };
        assert_eq!(of_stage(&rows, 1), expected);
    }

    #[test]
    fn what_people_are_told_they_are_told_once() {
        let ended = [row(0, Received, Some("failed"), 1), row(0, Expired, None, 1)];
        let open = [row(0, Received, Some("succeeded"), 1), row(0, Sent, None, 1)];
        let late = [StageCountRow { overdue: 1, ..row(0, Received, Some("running"), 1) }];
        let fresh = PlanRow::default();
        let told = PlanRow { failed_at: Some(1), ended_at: Some(1), ..PlanRow::default() };
        for (state, rows, failed, is_ended) in [
            (&fresh, &ended[..], true, true),
            (&told, &ended, false, false),
            (&fresh, &open, false, false),
            (&fresh, &late, true, false),
            (&told, &late, false, false),
        ] {
            let todo = todo(state, rows, 100);
            assert_eq!((todo.failed, todo.ended, todo.action), (failed, is_ended, Action::Wait), "{rows:?}");
        }
    }

    #[test]
    fn only_what_has_stages_moves_through_them() {
        let rows = [row(0, Received, Some("succeeded"), 1), row(1, Waiting, None, 5)];
        let progress = Progress { last: 1, ..Progress::default() };
        let plan = Plan { rollout: Some(Rollout::default()), ..Plan::default() };
        let staged = PlanRow { plan, progress, ..PlanRow::default() };
        assert_eq!(todo(&staged, &rows, 100).action, Action::Release);
        assert_eq!(todo(&PlanRow::default(), &rows, 100).action, Action::Wait);
    }
}
