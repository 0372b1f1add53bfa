//! The sessions that follow a job: one at a time, for the job at the head. A lost session says nothing about the job: the
//! executor is asked again until it states the end.

use keros_protocol::{CommandId, Outcome, executor};

use crate::effect::{Effect, Note, SessionRequest};
use crate::event::Now;
use crate::fetch;
use crate::job::{Job, JobEvent, Phase};
use crate::state::{State, bounded};
use crate::step::job_event;

/// Wait before the executor is asked again, at first.
const FIRST_BACKOFF_MS: u64 = 1000;
/// And at most.
const MAX_BACKOFF_MS: u64 = 300_000;
/// A session may be silent for the job's time limit and this much more, which the executor needs to end processes and
/// write its journal; then it is opened anew.
const GRACE_MS: u64 = 300_000;
/// Answers "I do not know it" before they are believed.
const MIN_UNKNOWN: u32 = 3;
/// An executor that has said nothing of a job for this much longer than the job may take has lost it.
const GIVE_UP_MS: u64 = 86_400_000;

/// What lives of the link to the executor.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecutorLink {
    last_session: u64,
    open: Option<Open>,
    retry_at_ms: u64,
    backoff_ms: u64,
    /// The job that became `Starting` in this run of the agent, while no session was handed over.
    fresh: Option<CommandId>,
    /// The job whose stored command cannot be read.
    envelope_lost: Option<CommandId>,
    unknown: Unknown,
    /// When the executor last said something of the job at the head, or could have begun to.
    heard_ms: u64,
    /// What keeps the head from going on.
    pub(crate) problem: Option<String>,
    /// The clock does.
    pub(crate) clock_waits: bool,
}

#[derive(Debug, Clone)]
struct Open {
    session: u64,
    command_id: CommandId,
    request: SessionRequest,
    deadline_ms: u64,
}

/// How often in a row the executor has said that it knows nothing of a job.
#[derive(Debug, Clone, Copy, Default)]
struct Unknown {
    answers: u32,
    since_ms: u64,
}

/// Opens a session for the job at the head, when there is none and it is time.
pub(crate) fn take_turn(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let link = &state.live.executor;
    if link.open.is_some() || now.monotonic_ms < link.retry_at_ms {
        return;
    }
    // A later job must not overtake one that waits for its bundle.
    let Some(job) = head(state).filter(|job| !fetch::is_awaited(state, job)) else {
        state.live.executor.clock_waits = false;
        return;
    };
    let to_start = matches!(job.phase, Phase::Accepted {} | Phase::Starting {});
    let (id, starts) = (job.command_id, to_start && !job.unasked && !job.by_hand);
    let waits = starts && !state.live.time.is_believed(now);
    if waits && !state.live.executor.clock_waits {
        effects.push(Effect::Note(Note::ClockNotBelieved));
    }
    state.live.executor.clock_waits = waits;
    if !waits {
        job_event(state, now, id, JobEvent::Turn, effects);
    }
}

/// Sessions are numbered within one run of the agent.
pub(crate) const fn next_number(state: &mut State) -> u64 {
    state.live.executor.last_session += 1;
    state.live.executor.last_session
}

/// How long a session may be silent, and how long "I do not know it" is not believed.
fn silence_ms(state: &State, id: CommandId) -> u64 {
    let job = state.kept.jobs.iter().find(|job| job.command_id == id);
    let window_s = match job.map(|job| &job.phase) {
        Some(Phase::Confirming { window_s, .. }) => *window_s,
        Some(Phase::Accepted {} | Phase::Starting {} | Phase::Running {}) | None => 0,
    };
    let total_s = job.map_or(0, |job| job.total_s);
    (u64::from(total_s) + u64::from(window_s)) * 1000 + GRACE_MS
}

/// A job that may have been started comes first, then the oldest.
fn head(state: &State) -> Option<&Job> {
    let jobs = &state.kept.jobs;
    jobs.iter().find(|job| job.phase != Phase::Accepted {}).or_else(|| jobs.first())
}

/// Opens a session. `fresh`: the job becomes `Starting` only now.
pub(crate) fn open(
    state: &mut State,
    now: Now,
    id: CommandId,
    request: SessionRequest,
    fresh: bool,
    effects: &mut Vec<Effect>,
) {
    let deadline_ms = now.monotonic_ms + silence_ms(state, id);
    let session = next_number(state);
    let link = &mut state.live.executor;
    if fresh {
        link.fresh = Some(id);
        link.heard_ms = now.monotonic_ms;
    }
    let request = if link.envelope_lost == Some(id) { SessionRequest::Attach } else { request };
    link.open = Some(Open { session, command_id: id, request: request.clone(), deadline_ms });
    effects.push(Effect::OpenSession { session, command_id: id, request });
}

/// The executor says something.
pub(crate) fn heard(
    state: &mut State,
    now: Now,
    session: u64,
    event: executor::Event,
    effects: &mut Vec<Effect>,
) {
    let Some(open) = state.live.executor.open.as_ref().filter(|open| open.session == session) else {
        effects.push(Effect::Note(Note::Unexpected("a line of a session that is no longer followed")));
        return;
    };
    let (id, attached) = (open.command_id, open.request == SessionRequest::Attach);
    let event = match event {
        executor::Event::Started { command_id, .. } if command_id == id => JobEvent::Started,
        executor::Event::TaskStarted { task, .. } => JobEvent::TaskStarted(task),
        executor::Event::Ended { outcome: Outcome::Refused { reason, detail } }
            if fetch::is_bad_copy(state, id, reason) =>
        {
            fetch::doubt(state, id);
            effects.push(Effect::Note(Note::BadCopy(id, bounded(&format!("{reason}: {detail}")))));
            not_started(state, now, id, JobEvent::BadCopy, effects);
            return;
        }
        executor::Event::Ended { outcome } => JobEvent::Ended(outcome),
        executor::Event::RequestFailed { unknown: true, .. } if attached && is_unasked(state, id) => {
            not_started(state, now, id, JobEvent::NeverHandedOver, effects);
            return;
        }
        executor::Event::RequestFailed { message, .. } => {
            request_failed(state, now, id, attached, &message, effects);
            return;
        }
        executor::Event::Confirming { nonce, window_s, until_unix_s, .. } => {
            JobEvent::Provisional { nonce: bounded(&nonce), window_s, until_unix_s }
        }
        executor::Event::Confirmed {}
        | executor::Event::RollingBack { .. }
        | executor::Event::Rebooting { .. } => JobEvent::Decided,
        executor::Event::Undone { nonce, .. } => JobEvent::Undone(nonce.as_deref().map(bounded)),
        executor::Event::ItemEnded { .. }
        | executor::Event::Retrying { .. }
        | executor::Event::TaskEnded { .. }
        | executor::Event::Durable { .. }
        | executor::Event::PartEnded { .. }
        | executor::Event::Resumed { .. }
        | executor::Event::UndoStep { .. } => {
            state.live.executor.heard_ms = now.monotonic_ms;
            return;
        }
        executor::Event::Started { .. }
        | executor::Event::CancelAnswered { .. }
        | executor::Event::ConfirmAnswered { .. }
        | executor::Event::Status { .. }
        | executor::Event::RunStarted { .. }
        | executor::Event::Finding { .. }
        | executor::Event::Checked { .. } => {
            effects.push(Effect::Note(Note::Unexpected("an executor's line about something else")));
            return;
        }
    };
    let link = &mut state.live.executor;
    link.backoff_ms = 0;
    link.problem = None;
    link.unknown = Unknown::default();
    link.heard_ms = now.monotonic_ms;
    if let Some(job) = state.kept.jobs.iter_mut().find(|job| job.command_id == id) {
        job.unasked = false;
    }
    job_event(state, now, id, event, effects);
    let deadline_ms = now.monotonic_ms + silence_ms(state, id);
    if let Some(open) = state.live.executor.open.as_mut().filter(|open| open.command_id == id) {
        open.deadline_ms = deadline_ms;
    }
}

fn is_unasked(state: &State, id: CommandId) -> bool {
    state.kept.jobs.iter().any(|job| job.command_id == id && job.unasked)
}

/// The executor has not started a job. One that came after the state was lost is judged now as any other.
fn not_started(state: &mut State, now: Now, id: CommandId, event: JobEvent, effects: &mut Vec<Effect>) {
    let link = &mut state.live.executor;
    (link.backoff_ms, link.problem, link.heard_ms) = (0, None, now.monotonic_ms);
    if let Some(open) = link.open.take_if(|open| open.command_id == id) {
        effects.push(Effect::CloseSession { session: open.session });
    }
    if let Some(job) = state.kept.jobs.iter_mut().find(|job| job.command_id == id) {
        job.unasked = false;
    }
    job_event(state, now, id, event, effects);
}

/// The executor is to be asked about this command: from now on it owes an answer, if it does not follow another one.
pub(crate) fn awaits_answer(state: &mut State, now: Now, id: CommandId) {
    if head(state).is_some_and(|job| job.command_id == id) {
        state.live.executor.heard_ms = now.monotonic_ms;
    }
}

/// A job that the executor had is over: what it owes about the next one, it owes from now on.
pub(crate) const fn awaits_next(state: &mut State, now: Now) {
    state.live.executor.heard_ms = now.monotonic_ms;
}

fn request_failed(
    state: &mut State,
    now: Now,
    id: CommandId,
    attached: bool,
    message: &str,
    effects: &mut Vec<Effect>,
) {
    let silence_ms = silence_ms(state, id);
    let link = &mut state.live.executor;
    link.problem = Some(format!("the executor cannot serve command {id}: {}", bounded(message)));
    // Only a clear word of the executor says that a job which it may know was not started.
    if !attached || is_unasked(state, id) {
        return;
    }
    let link = &mut state.live.executor;
    if link.unknown.answers == 0 {
        link.unknown.since_ms = now.monotonic_ms;
    }
    link.unknown.answers = link.unknown.answers.saturating_add(1);
    let unknown = link.unknown;
    if unknown.answers >= MIN_UNKNOWN && now.monotonic_ms >= unknown.since_ms + silence_ms {
        job_event(state, now, id, JobEvent::Unknown, effects);
    }
}

/// A session is over, or could not be opened.
pub(crate) fn closed(
    state: &mut State,
    now: Now,
    session: u64,
    handed_over: bool,
    message: &str,
    effects: &mut Vec<Effect>,
) {
    let link = &mut state.live.executor;
    // The session of a job that has ended closes too: nothing to say about that.
    let Some(open) = link.open.take_if(|open| open.session == session) else { return };
    let id = open.command_id;
    let never = !handed_over && link.fresh == Some(id);
    if handed_over {
        link.fresh = None;
    }
    back_off(link, now);
    link.problem.get_or_insert_with(|| format!("command {id}: {}", bounded(message)));
    effects.push(Effect::Note(Note::ExecutorLost(id, bounded(message))));
    let event = if never { JobEvent::NeverHandedOver } else { JobEvent::SessionLost };
    job_event(state, now, id, event, effects);
}

fn back_off(link: &mut ExecutorLink, now: Now) {
    link.backoff_ms = (link.backoff_ms * 2).clamp(FIRST_BACKOFF_MS, MAX_BACKOFF_MS);
    link.retry_at_ms = now.monotonic_ms + link.backoff_ms;
}

/// The stored command cannot be read: from now on the executor is only asked whether it knows it.
pub(crate) fn envelope_lost(state: &mut State, now: Now, id: CommandId, effects: &mut Vec<Effect>) {
    let link = &mut state.live.executor;
    link.envelope_lost = Some(id);
    if let Some(open) = link.open.take_if(|open| open.command_id == id) {
        effects.push(Effect::CloseSession { session: open.session });
    }
    // Nothing was handed over in this session; whether it was before, the phase knows.
    let never = link.fresh.take_if(|fresh| *fresh == id).is_some();
    if never {
        job_event(state, now, id, JobEvent::NeverHandedOver, effects);
    }
    job_event(state, now, id, JobEvent::EnvelopeLost, effects);
}

/// Opens a session anew that was silent for too long.
pub(crate) fn watch(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let overdue = state.live.executor.open.as_ref().filter(|open| now.monotonic_ms >= open.deadline_ms);
    if let Some(session) = overdue.map(|open| open.session) {
        effects.push(Effect::CloseSession { session });
        closed(state, now, session, true, "silent for longer than the job may take", effects);
    }
    if let Some((id, _)) = given_up(state).filter(|(_, at_ms)| now.monotonic_ms >= *at_ms) {
        job_event(state, now, id, JobEvent::GivenUp, effects);
    }
}

/// The job that was handed over, and when it is given up.
fn given_up(state: &State) -> Option<(CommandId, u64)> {
    let job = head(state).filter(|job| job.phase != Phase::Accepted {})?;
    let silence_ms = silence_ms(state, job.command_id);
    Some((job.command_id, state.live.executor.heard_ms + silence_ms + GIVE_UP_MS))
}

/// Forgets what concerns a job that has ended.
pub(crate) fn job_ended(state: &mut State, id: CommandId) {
    let link = &mut state.live.executor;
    if link.open.take_if(|open| open.command_id == id).is_some() || head(state).is_none() {
        let link = &mut state.live.executor;
        link.retry_at_ms = 0;
        link.backoff_ms = 0;
        link.problem = None;
    }
}

/// All that is owed is asked for anew.
pub(crate) fn restart(state: &mut State, effects: &mut Vec<Effect>) {
    let ExecutorLink { last_session, heard_ms, .. } = state.live.executor;
    if let Some(open) = &state.live.executor.open {
        effects.push(Effect::CloseSession { session: open.session });
    }
    state.live.executor = ExecutorLink { last_session, heard_ms, ..ExecutorLink::default() };
}

/// When the next look is needed.
pub(crate) fn next_wake_ms(state: &State) -> Option<u64> {
    let link = &state.live.executor;
    let session = match &link.open {
        Some(open) => Some(open.deadline_ms),
        // The center's word about the time, and the end of a fetch, come as events.
        None => head(state)
            .filter(|job| !link.clock_waits && !fetch::is_awaited(state, job))
            .map(|_| link.retry_at_ms),
    };
    let given_up = given_up(state).map(|(_, at_ms)| at_ms);
    [session, given_up].into_iter().flatten().min()
}
