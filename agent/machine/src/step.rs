//! The one function that moves the state.

use keros_protocol::{CommandId, Outcome, TaskRef, limits};

use crate::effect::{Effect, Note, SessionRequest};
use crate::event::{Event, Now};
use crate::hearing;
use crate::job::{EndedJob, Job, JobEvent, Move, Phase, advance, without_output};
use crate::output::{output_of, shorten_output};
use crate::state::{State, bounded};
use crate::{by_root, fetch, intake, progress, proof, session, side, telemetry};

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
    let waits = waiting(state).map(|job| now.monotonic_ms.saturating_add(waits_ms(state, now, job))).min();
    let sending = state.live.sending.deadline_ms();
    let jobs = [session::next_wake_ms(state), side::next_wake_ms(state), progress::next_wake_ms(state)];
    let fetch = state.live.fetch.next_wake_ms();
    [telemetry, waits, sending, fetch].into_iter().chain(jobs).flatten().min()
}

fn waiting(state: &State) -> impl Iterator<Item = &Job> {
    state.kept.jobs.iter().filter(|job| job.phase == Phase::Accepted {})
}

/// How long this job may still wait for its turn: by the judged time, and by the clock that never jumps.
fn waits_ms(state: &State, now: Now, job: &Job) -> u64 {
    let judged_ms = job.expires_at_unix_s.saturating_sub(state.judged_time(now)).saturating_mul(1000);
    let came_ms = state.live.came_ms.get(&job.command_id).copied().unwrap_or(0);
    let whole_s = job.waits_s.unwrap_or(job.expires_at_unix_s.saturating_sub(job.received_at_unix_s));
    let counted_ms = came_ms.saturating_add(whole_s.saturating_mul(1000)).saturating_sub(now.monotonic_ms);
    judged_ms.min(counted_ms)
}

fn take(state: &mut State, now: Now, event: Event, effects: &mut Vec<Effect>) {
    match event {
        Event::Booted | Event::StoreRecovered => {
            let connected = state.live.sending.connected;
            state.live.sending.restart(connected);
            session::restart(state, effects);
            state.live.side.restart(effects);
        }
        Event::Woken => {}
        Event::Connected { fresh_nonce } => {
            state.live.sending.restart(true);
            state.live.telemetry.connected();
            state.live.proof.connected(fresh_nonce);
            state.live.fetch.connected();
        }
        Event::Disconnected => state.live.sending.restart(false),
        Event::CommandArrived(arrival) => intake::arrive(state, now, arrival, effects),
        Event::StatementVerified(heard) => hearing::hear(state, now, *heard, effects),
        Event::TelemetryAnswered { packages_known } => {
            state.kept.packages_known = packages_known;
            state.live.telemetry.answered();
        }
        Event::CancelledByRoot { command_id } => by_root::cancel(state, now, command_id, effects),
        Event::TelemetryWanted => state.live.telemetry.wanted = true,
        Event::Executor { session, event } => {
            if !side::heard(state, now, session, &event, effects) {
                session::heard(state, now, session, event, effects);
            }
        }
        Event::SessionClosed { session, handed_over, message } => {
            if !side::closed(state, session) {
                session::closed(state, now, session, handed_over, &message, effects);
            }
        }
        Event::FetchEnded { command_id, end } => fetch::ended(state, now, command_id, end, effects),
        Event::EnvelopeLost { command_id } => session::envelope_lost(state, now, command_id, effects),
    }
}

/// What follows from the time and the state alone.
fn drive(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    end_waiting(state, now, effects);
    session::watch(state, now, effects);
    session::take_turn(state, now, effects);
    fetch::pump(state, now, effects);
    side::watch(state, now, effects);
    proof::watch(state, now, effects);
    if let Some((id, outcome)) = progress::due(state, now) {
        report_open(state, now, id, outcome);
    }
    let (eui, now_ms) = (state.setup.eui, now.monotonic_ms);
    if state.live.sending.pump(&state.kept.outbox, now_ms, eui, effects) {
        // The center may have lost them, or be out of reach: an answer to telemetry tells which.
        state.live.telemetry.wanted = true;
    }
    telemetry::pump(state, now, effects);
}

/// Waiting jobs whose time is over, and those that were cancelled while they could not be handed over.
fn end_waiting(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let event = |job: &Job| match job.cancel {
        _ if job.cancelled_by_root => Some(JobEvent::RootCancels),
        Some(_) => Some(JobEvent::CancelAsked),
        None => (waits_ms(state, now, job) == 0).then(|| fetch::time_is_over(state, job)),
    };
    let ended: Vec<_> =
        waiting(state).filter_map(|job| event(job).map(|event| (job.command_id, event))).collect();
    for (id, event) in ended {
        job_event(state, now, id, event, effects);
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
            let unasked = state.kept.jobs[index].unasked;
            let request = if unasked { SessionRequest::Attach } else { SessionRequest::Run };
            session::open(state, now, id, request, fresh, effects);
        }
        Move::Back => set_phase(state, now, index, Phase::Accepted {}, effects),
        Move::Follow => session::open(state, now, id, SessionRequest::Attach, false, effects),
        Move::Run => run(state, now, index, None, effects),
        Move::RunTask(task) => run(state, now, index, Some(task), effects),
        Move::Confirm { nonce, window_s, until_unix_s } => {
            progress::note(state, id, None);
            set_phase(state, now, index, Phase::Confirming { until_unix_s, window_s, nonce }, effects);
        }
        Move::AskCancel => hearing::ask_cancel(state, now, id),
        Move::End(outcome) => end(state, now, index, outcome, effects),
        Move::Unexpected(what) => effects.push(Effect::Note(Note::Unexpected(what))),
    }
}

fn set_phase(state: &mut State, now: Now, index: usize, phase: Phase, effects: &mut Vec<Effect>) {
    let job = &mut state.kept.jobs[index];
    if job.phase == phase {
        return;
    }
    let id = job.command_id;
    let note = match phase {
        Phase::Accepted {} => Note::Moved(id, "waits again"),
        Phase::Starting {} => Note::Moved(id, "is handed to the executor"),
        Phase::Running {} => Note::Moved(id, "runs"),
        Phase::Confirming { nonce: Some(_), .. } => Note::Confirming(id),
        Phase::Confirming { nonce: None, .. } => Note::Moved(id, "needs no sign of life any more"),
    };
    job.phase = phase;
    job.changed_at_unix_s = now.unix_s;
    effects.push(Effect::Note(note));
}

fn run(state: &mut State, now: Now, index: usize, task: Option<TaskRef>, effects: &mut Vec<Effect>) {
    set_phase(state, now, index, Phase::Running {}, effects);
    let id = state.kept.jobs[index].command_id;
    progress::note(state, id, task.map(|task| TaskRef { name: bounded(&task.name), ..task }));
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
    effects.push(Effect::Note(Note::Ended {
        command_id: job.command_id,
        outcome: Box::new(without_output(&outcome)),
        by_agent: job.phase == Phase::Accepted {},
    }));
    intake::report(state, now, job.command_id, job.update_id, outcome.clone());
    let ended = EndedJob {
        command_id: job.command_id,
        update_id: job.update_id,
        kind: Some(job.kind),
        link: job.link,
        received_at_unix_s: job.received_at_unix_s,
        ended_at_unix_s: now.unix_s,
        until_unix_s: intake::until(job.expires_at_unix_s),
        outcome: without_output(&outcome),
        cancel: job.cancel,
    };
    intake::remember(&mut state.kept, ended);
    state.live.came_ms.remove(&job.command_id);
    if job.phase != (Phase::Accepted {}) {
        session::awaits_next(state, now);
    }
    session::job_ended(state, job.command_id);
    side::job_ended(state, job.command_id);
    state.live.fetch.job_ended(job.command_id);
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
