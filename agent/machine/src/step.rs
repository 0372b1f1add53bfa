//! The one function that moves the state.

use keros_protocol::{CommandId, Outcome, Statement, TaskRef, limits};

use crate::effect::{Effect, Note, SessionRequest};
use crate::event::{Event, Now};
use crate::job::{EndedJob, JobEvent, Move, Phase, advance, without_output};
use crate::output::{output_of, shorten_output};
use crate::state::{State, bounded};
use crate::{intake, session, telemetry, time_floor};

/// Moves the state by one event, and says what is to be done.
#[must_use]
pub fn step(now: Now, mut state: State, event: Event) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    take(&mut state, now, event, &mut effects);
    drive(&mut state, now, &mut effects);
    (state, effects)
}

/// When [`Event::Woken`] is needed at the latest, on the monotonic clock.
#[must_use]
pub fn next_wake_ms(state: &State, now: Now) -> Option<u64> {
    let telemetry = state.live.sending.connected.then(|| now.monotonic_ms + telemetry::wait_ms(state, now));
    let time = state.judged_time(now);
    let waiting = state.kept.jobs.iter().filter(|job| job.phase == Phase::Accepted {});
    let expiry = waiting.map(|job| job.expires_at_unix_s.saturating_sub(time).saturating_mul(1000)).min();
    let expiry = expiry.map(|wait_ms| now.monotonic_ms.saturating_add(wait_ms));
    [telemetry, expiry, state.live.sending.deadline_ms(), session::next_wake_ms(state)]
        .into_iter()
        .flatten()
        .min()
}

fn take(state: &mut State, now: Now, event: Event, effects: &mut Vec<Effect>) {
    match event {
        Event::Booted | Event::StoreRecovered => {
            let connected = state.live.sending.connected;
            state.live.sending.restart(connected);
            session::restart(state);
        }
        Event::Woken => {}
        Event::Connected => {
            state.live.sending.restart(true);
            state.live.telemetry.connected();
        }
        Event::Disconnected => state.live.sending.restart(false),
        Event::CommandArrived(arrival) => intake::arrive(state, now, arrival, effects),
        Event::StatementVerified(statement) => hear_statement(state, now, &statement, effects),
        Event::TelemetryAnswered { packages_known } => {
            state.kept.packages_known = packages_known;
            state.live.telemetry.answered();
        }
        Event::TelemetryWanted => state.live.telemetry.wanted = true,
        Event::Executor { session, event } => session::heard(state, now, session, event, effects),
        Event::SessionClosed { session, handed_over, message } => {
            session::closed(state, now, session, handed_over, &message, effects);
        }
        Event::EnvelopeLost { command_id } => session::envelope_lost(state, now, command_id, effects),
    }
}

/// What follows from the time and the state alone.
fn drive(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    expire(state, now, effects);
    session::watch(state, now, effects);
    session::take_turn(state, now, effects);
    if let Some((id, outcome)) = session::due_progress(state, now) {
        report_open(state, now, id, outcome);
    }
    let (eui, now_ms) = (state.setup.eui, now.monotonic_ms);
    if state.live.sending.pump(&state.kept.outbox, now_ms, eui, effects) {
        // The center may have lost them, or be out of reach: an answer to telemetry tells which.
        state.live.telemetry.wanted = true;
    }
    telemetry::pump(state, now, effects);
}

fn expire(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let time = state.judged_time(now);
    let expired = state.kept.jobs.iter().filter(|job| job.phase == Phase::Accepted {});
    let expired: Vec<_> =
        expired.filter(|job| job.expires_at_unix_s <= time).map(|job| job.command_id).collect();
    for id in expired {
        job_event(state, now, id, JobEvent::Expired, effects);
    }
}

fn hear_statement(state: &mut State, now: Now, statement: &Statement, effects: &mut Vec<Effect>) {
    time_floor::raise(state, statement.time_unix_s, effects);
    if let Some(position) = statement.last_report
        && !state.live.sending.acknowledged(&mut state.kept.outbox, position)
    {
        effects.push(Effect::Note(Note::ForeignAcknowledgement));
    }
    for cancellation in &statement.cancellations {
        job_event(state, now, cancellation.command_id, JobEvent::CancelAsked, effects);
    }
}

/// Moves one open job by the table.
pub(crate) fn job_event(
    state: &mut State,
    now: Now,
    id: CommandId,
    event: JobEvent,
    effects: &mut Vec<Effect>,
) {
    let Some(index) = state.kept.jobs.iter().position(|job| job.command_id == id) else { return };
    let phase = state.kept.jobs[index].phase.clone();
    match advance(&phase, event) {
        Move::Stay => {}
        Move::HandOver => {
            set_phase(state, now, index, Phase::Starting {}, effects);
            let fresh = phase == Phase::Accepted {};
            session::open(state, now, id, SessionRequest::Run, fresh, effects);
        }
        Move::Back => set_phase(state, now, index, Phase::Accepted {}, effects),
        Move::Follow => session::open(state, now, id, SessionRequest::Attach, false, effects),
        Move::Run => run(state, now, index, None, effects),
        Move::RunTask(task) => run(state, now, index, Some(task), effects),
        Move::End(outcome) => end(state, now, index, outcome, effects),
        Move::TooLate => effects.push(Effect::Note(Note::CancelTooLate(id))),
        Move::Unexpected(what) => effects.push(Effect::Note(Note::Unexpected(what))),
    }
}

fn set_phase(state: &mut State, now: Now, index: usize, phase: Phase, effects: &mut Vec<Effect>) {
    let job = &mut state.kept.jobs[index];
    if job.phase == phase {
        return;
    }
    let name = match phase {
        Phase::Accepted {} => "waits again",
        Phase::Starting {} => "is handed to the executor",
        Phase::Running {} => "runs",
    };
    job.phase = phase;
    job.changed_at_unix_s = now.unix_s;
    effects.push(Effect::Note(Note::Moved(job.command_id, name)));
}

fn run(state: &mut State, now: Now, index: usize, task: Option<TaskRef>, effects: &mut Vec<Effect>) {
    set_phase(state, now, index, Phase::Running {}, effects);
    let id = state.kept.jobs[index].command_id;
    let task = task.map(|task| TaskRef { name: bounded(&task.name), ..task });
    if session::note_progress(state, now, id, task.clone()) {
        report_open(state, now, id, Outcome::Running { task });
    }
}

fn report_open(state: &mut State, now: Now, id: CommandId, outcome: Outcome) {
    if let Some(update_id) = state.kept.jobs.iter().find(|job| job.command_id == id).map(|job| job.update_id)
    {
        intake::report(state, now, id, update_id, outcome);
    }
}

fn end(state: &mut State, now: Now, index: usize, outcome: Outcome, effects: &mut Vec<Effect>) {
    let job = state.kept.jobs.remove(index);
    let outcome = bound(outcome);
    effects.push(Effect::Note(Note::Moved(job.command_id, outcome.name())));
    intake::report(state, now, job.command_id, job.update_id, outcome.clone());
    let ended = EndedJob {
        command_id: job.command_id,
        update_id: job.update_id,
        kind: Some(job.kind),
        received_at_unix_s: job.received_at_unix_s,
        ended_at_unix_s: now.unix_s,
        until_unix_s: intake::until(job.expires_at_unix_s),
        outcome: without_output(&outcome),
    };
    intake::remember(&mut state.kept, ended);
    session::job_ended(state, job.command_id);
    effects.push(Effect::ForgetEnvelope { command_id: job.command_id });
}

/// Holds an outcome that came from the executor to the protocol's limits, whatever it says.
fn bound(mut outcome: Outcome) -> Outcome {
    if let Some(output) = output_of(&mut outcome) {
        shorten_output(output, limits::MAX_OUTPUT_BYTES);
    }
    match &mut outcome {
        Outcome::Failed { message, task, .. } => {
            *message = bounded(message);
            bound_task(task);
        }
        Outcome::TimedOut { task, .. } | Outcome::Cancelled { task, .. } => bound_task(task),
        Outcome::Refused { detail, .. } => *detail = bounded(detail),
        Outcome::Interrupted { interruption } => {
            bound_task(&mut interruption.task);
            bound_task(&mut interruption.last_task);
        }
        Outcome::RolledBack { reason, remains, .. } => {
            *reason = bounded(reason);
            remains.truncate(32);
            for text in remains {
                *text = limits::shorten(text, 256);
            }
        }
        Outcome::Received {}
        | Outcome::Accepted {}
        | Outcome::Running { .. }
        | Outcome::Confirming { .. }
        | Outcome::Succeeded { .. } => {}
    }
    outcome
}

fn bound_task(task: &mut Option<TaskRef>) {
    if let Some(task) = task {
        task.name = bounded(&task.name);
    }
}
