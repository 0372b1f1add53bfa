//! Cancelling: what it comes to by what is known of a command (pure), and the shell that keeps it.

use std::collections::BTreeMap;

use keros_protocol::{CommandId, Delivery, Eui, Outcome, UnixSeconds, UpdateId};

use super::audit::{What, audit};
use super::center::Center;
use super::changes::Change;
use super::order::OrderError;
use super::updates::find_update;
use crate::access::{Action, Caller};
use crate::api::{CancelAnswer, CancelView, CancelledDelivery};
use crate::store::{LineRow, StoreError, cancellations, commands, lines};

/// What is done about a command whose end is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It waits: it is cancelled here and now, and never sent.
    EndDelivery,
    /// It was never sent, and will not be.
    Nothing,
    /// The gateway may have it: the gateway is asked, and says what came of it.
    Ask,
    /// It has ended.
    TooLate,
}

impl Decision {
    const fn answer(self) -> CancelAnswer {
        match self {
            Self::EndDelivery | Self::Nothing => CancelAnswer::NeverDelivered,
            Self::Ask => CancelAnswer::Asked,
            Self::TooLate => CancelAnswer::TooLate,
        }
    }
}

/// The table.
pub(super) fn decide(delivery: Delivery, times_sent: u32, outcome: Option<&Outcome>) -> Decision {
    match (delivery, outcome) {
        (_, Some(outcome)) if outcome.is_terminal() => Decision::TooLate,
        (_, Some(_)) | (Delivery::Sent | Delivery::Received, None) => Decision::Ask,
        (Delivery::Waiting, None) => Decision::EndDelivery,
        (Delivery::Cancelled, None) => Decision::Nothing,
        // It may have been received all the same, by a gateway that is out of reach since.
        (Delivery::Expired, None) if times_sent > 0 => Decision::Ask,
        (Delivery::Expired, None) => Decision::Nothing,
    }
}

impl Center {
    /// Asks for the end of an update's commands, or of one gateway's, and says of each what that comes to.
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        eui: Option<Eui>,
        now: UnixSeconds,
    ) -> Result<CancelView, OrderError> {
        // One transaction that writes at a time: what waits in it is not being sent by another one.
        let mut transaction = self.store.begin().await?;
        let row = find_update(&mut transaction, caller, update_id, Action::CancelUpdates).await?;
        let expired = commands::expire(&mut transaction, now).await?;
        let lines = match eui {
            Some(eui) => lines::find(&mut transaction, update_id, eui).await?.into_iter().collect(),
            None => lines::all(&mut transaction, update_id).await?,
        };
        if let (Some(eui), true) = (eui, lines.is_empty()) {
            return Err(OrderError::NotFound(format!("update {update_id} has no command for gateway {eui}")));
        }
        let decided: Vec<(Decision, LineRow)> = lines
            .into_iter()
            .map(|line| {
                let command = &line.command;
                (decide(command.delivery, command.times_sent, command.outcome.as_ref()), line)
            })
            .collect();
        let ids = |wanted| -> Vec<CommandId> {
            let with_it = decided.iter().filter(|(decision, _)| *decision == wanted);
            with_it.map(|(_, line)| line.command.command_id).collect()
        };
        cancellations::end_waiting(&mut transaction, &ids(Decision::EndDelivery), now).await?;
        cancellations::ask(&mut transaction, &ids(Decision::Ask), now).await?;
        let detail = eui.map_or_else(|| "all gateways".to_owned(), |eui| format!("gateway {eui}"));
        let what = What::of(row.origin.customer.id, format!("update {update_id}"), detail);
        audit(&mut transaction, caller, Action::CancelUpdates, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;

        self.tell_expired(expired);
        tracing::info!(%update_id, gateway = eui.map(|eui| eui.to_string()), "an update is cancelled");
        self.tell(&[Change::Update(update_id)]);
        let online = decided.iter().filter(|(decision, line)| *decision == Decision::Ask && line.online);
        self.nudge_some(online.map(|(_, line)| line.command.eui).collect());
        Ok(view(update_id, decided))
    }
}

fn view(update_id: UpdateId, decided: Vec<(Decision, LineRow)>) -> CancelView {
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    let mut gateways = Vec::with_capacity(decided.len());
    for (decision, LineRow { command, name, .. }) in decided {
        let answer = decision.answer();
        *answers.entry(answer.as_str().to_owned()).or_default() += 1;
        let delivery = if decision == Decision::EndDelivery { Delivery::Cancelled } else { command.delivery };
        gateways.push(CancelledDelivery {
            eui: command.eui,
            name,
            command_id: command.command_id,
            answer,
            delivery,
            outcome: command.outcome,
        });
    }
    CancelView { update_id, answers, gateways }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_protocol::Summary;

    #[test]
    fn what_cancelling_comes_to() {
        let ended = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
        let running = Outcome::Running { task: None };
        for (delivery, times_sent, outcome, expected) in [
            (Delivery::Waiting, 0, None, Decision::EndDelivery),
            (Delivery::Sent, 1, None, Decision::Ask),
            (Delivery::Received, 1, Some(Outcome::Received {}), Decision::Ask),
            (Delivery::Received, 1, Some(Outcome::Accepted {}), Decision::Ask),
            (Delivery::Received, 1, Some(running), Decision::Ask),
            (Delivery::Received, 1, Some(Outcome::Confirming { until_unix_s: 5 }), Decision::Ask),
            (Delivery::Received, 1, Some(ended), Decision::TooLate),
            (Delivery::Cancelled, 0, None, Decision::Nothing),
            (Delivery::Expired, 0, None, Decision::Nothing),
            (Delivery::Expired, 1, None, Decision::Ask),
        ] {
            let shown = format!("{delivery} {times_sent} {outcome:?}");
            assert_eq!(decide(delivery, times_sent, outcome.as_ref()), expected, "{shown}");
        }
    }
}
