//! The center says something: the time, up to where it has the reports, what it wants cancelled, and that it is there.

use keros_protocol::{CommandId, Envelope, Outcome, Statement};

use crate::effect::{Effect, Note};
use crate::event::{Heard, Now};
use crate::job::{Cancel, JobEvent};
use crate::state::State;
use crate::step::job_event;
use crate::{MAX_CANCELLED_IDS, proof, side, time};

/// Takes a statement.
pub(crate) fn hear(state: &mut State, now: Now, heard: Heard, effects: &mut Vec<Effect>) {
    let Heard { statement, envelope, fresh_nonce } = heard;
    let answers = state.live.proof.is_time_answer(now, &statement.nonces);
    state.live.proof.supply(fresh_nonce);
    time::hear(state, now, &statement, answers, effects);
    if let Some(position) = statement.last_report
        && !state.live.sending.acknowledged(&mut state.kept.outbox, position)
    {
        effects.push(Effect::Note(Note::ForeignAcknowledgement));
    }
    state.live.statement = Some(envelope);
    for cancellation in statement.cancellations.iter().take(MAX_CANCELLED_IDS) {
        cancel(state, now, cancellation.command_id, effects);
    }
    confirm(state, now, &statement);
}

/// The center wants this command cancelled, wherever it is.
fn cancel(state: &mut State, now: Now, id: CommandId, effects: &mut Vec<Effect>) {
    if let Some(job) = state.kept.jobs.iter_mut().find(|job| job.command_id == id) {
        if !side::is_obeyed(&job.phase, job.cancel) {
            job.cancel.get_or_insert(Cancel::Asked);
            job_event(state, now, id, JobEvent::CancelAsked, effects);
        }
    } else if let Some(job) = state.kept.ended.iter_mut().find(|job| job.command_id == id) {
        if job.cancel.is_none() && !matches!(job.outcome, Outcome::Cancelled { .. }) {
            job.cancel = Some(Cancel::TooLate);
            effects.push(Effect::Note(Note::CancelTooLate(id)));
        }
    } else if !state.knows(id) && !state.kept.cancelled.contains(&id) {
        state.kept.cancelled.push_back(id);
        while state.kept.cancelled.len() > MAX_CANCELLED_IDS {
            state.kept.cancelled.pop_front();
        }
    }
}

/// The executor is asked to cancel a job, by the statement that is heard now.
pub(crate) fn ask_cancel(state: &mut State, now: Now, id: CommandId) {
    if let Some(envelope) = state.live.statement.clone() {
        side::want_cancel(state, now, id, &envelope);
    }
}

/// The executor hears that the center was heard of, unless the center wants the very job cancelled.
fn confirm(state: &mut State, now: Now, statement: &Statement) {
    let Some(id) = proof::answered_job(state, &statement.nonces) else { return };
    let wanted = state.kept.jobs.iter().find(|job| job.command_id == id);
    let undone_now = wanted.is_some_and(|job| job.cancel == Some(Cancel::Asked));
    let envelope: Option<Envelope> = state.live.statement.clone().filter(|_| !undone_now);
    if let Some(envelope) = envelope {
        side::want_confirm(state, now, id, &envelope);
    }
}
