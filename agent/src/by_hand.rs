//! What root does by hand: a command that is brought is judged as one from the center, and taken the same way; a job is cancelled
//! as far as the agent may.

use keros_machine::{Arrival, Event, RootCancel, Verdict};
use keros_protocol::{CommandId, Envelope, RefusalReason};
use keros_service::log;
use tracing::Level;

use crate::core::Core;
use crate::local::{CancelAnswer, CancelResult, CancelledJob, CommandAnswer, JudgedCommand, Judgement};

/// Judges it, and takes it unless it is only to be checked.
pub(crate) fn command(core: &mut Core, envelope: &Envelope, only_check: bool) -> CommandAnswer {
    let arrival = match core.judge(envelope) {
        Ok(arrival) => arrival,
        Err(error) => return CommandAnswer::Unreadable(error.to_string()),
    };
    let command_id = arrival.command_id;
    let judgement = match known(core, &arrival) {
        Some(duplicate) => duplicate,
        None => judgement(&arrival.verdict),
    };
    if only_check {
        return CommandAnswer::Judged(JudgedCommand { command_id, judgement });
    }
    let is_new = matches!(judgement, Judgement::Accepted {});
    core.take(arrival, envelope);
    if is_new && !core.state().knows(command_id) {
        let detail =
            "it cannot be stored, or too many jobs are open; see `keros-agent status`, and try again";
        return CommandAnswer::NotTaken(detail);
    }
    CommandAnswer::Judged(JudgedCommand { command_id, judgement })
}

/// Cancels a job that waits. What was handed over is left to the executor, which root asks by itself.
pub(crate) fn cancel(core: &mut Core, command_id: CommandId) -> CancelAnswer {
    let result = match core.state().root_cancel(command_id) {
        RootCancel::Waits => CancelResult::Cancelled {},
        RootCancel::HandedOver => CancelResult::HandedOver {},
        RootCancel::TooLate(outcome) => CancelResult::TooLate { outcome },
        RootCancel::Unknown => return CancelAnswer::Unknown,
    };
    let what = match result {
        CancelResult::Cancelled {} => "it had not started",
        CancelResult::HandedOver {} => "it is with the executor",
        CancelResult::TooLate { .. } => "too late, it has ended",
    };
    log::remark(Level::INFO, command_id, &format_args!("cancelled by root on the gateway: {what}"));
    core.apply(vec![Event::CancelledByRoot { command_id }]);
    if core.is_unsaved() {
        let detail = "it is cancelled, but that cannot be stored: free some room on the disk, and ask again";
        return CancelAnswer::NotDone(detail);
    }
    CancelAnswer::Done(CancelledJob { command_id, result })
}

fn judgement(verdict: &Verdict) -> Judgement {
    match verdict {
        Verdict::Eligible { .. } => Judgement::Accepted {},
        Verdict::Refused { reason, detail } => Judgement::Refused { reason: *reason, detail: detail.clone() },
    }
}

/// A command that is here already; what is not signed cannot claim that.
fn known(core: &Core, arrival: &Arrival) -> Option<Judgement> {
    let (id, state) = (arrival.command_id, core.state());
    let unbelieved = matches!(&arrival.verdict, Verdict::Refused { reason: RefusalReason::BadSignature, .. });
    if unbelieved || !state.knows(id) {
        return None;
    }
    let open = state.jobs().iter().find(|job| job.command_id == id).map(|job| state.outcome_of(job));
    let ended = || state.ended().find(|job| job.command_id == id).map(|job| job.outcome.clone());
    Some(Judgement::Duplicate { outcome: open.or_else(ended) })
}
