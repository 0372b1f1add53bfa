//! The sessions with the executor: one at a time, for the job at the head. A lost session says nothing about the job: the
//! executor is asked again until it states the end.

use keros_protocol::{CommandId, Outcome, TaskRef, executor};

use crate::effect::{Effect, Note, SessionRequest};
use crate::event::Now;
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
/// Shortest time between two progress reports, at first; doubled up to [`MAX_PROGRESS_GAP_MS`].
const FIRST_PROGRESS_GAP_MS: u64 = 1000;
const MAX_PROGRESS_GAP_MS: u64 = 30_000;

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
    /// What keeps the head from going on.
    pub(crate) problem: Option<String>,
    /// Where the running job is.
    pub(crate) progress: Option<Progress>,
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

/// The task under way, and when the next progress report may be made.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) command_id: CommandId,
    pub(crate) task: Option<TaskRef>,
    unreported: bool,
    next_ms: u64,
    gap_ms: u64,
}

/// Opens a session for the job at the head, when there is none and it is time.
pub(crate) fn take_turn(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let link = &state.live.executor;
    if link.open.is_some() || now.monotonic_ms < link.retry_at_ms {
        return;
    }
    if let Some(id) = head(state).map(|job| job.command_id) {
        job_event(state, now, id, JobEvent::Turn, effects);
    }
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
    let total_s = state.kept.jobs.iter().find(|job| job.command_id == id).map_or(0, |job| job.total_s);
    let link = &mut state.live.executor;
    if fresh {
        link.fresh = Some(id);
    }
    let request = if link.envelope_lost == Some(id) { SessionRequest::Attach } else { request };
    link.last_session += 1;
    let session = link.last_session;
    let deadline_ms = now.monotonic_ms + u64::from(total_s) * 1000 + GRACE_MS;
    link.open = Some(Open { session, command_id: id, request, deadline_ms });
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
    let (id, request) = (open.command_id, open.request);
    let event = match event {
        executor::Event::Started { command_id, .. } if command_id == id => JobEvent::Started,
        executor::Event::TaskStarted { task, .. } => JobEvent::TaskStarted(task),
        executor::Event::Ended { outcome } => JobEvent::Ended(outcome),
        executor::Event::RequestFailed { message } => {
            request_failed(state, now, id, request, &message, effects);
            return;
        }
        executor::Event::ItemEnded { .. }
        | executor::Event::Retrying { .. }
        | executor::Event::TaskEnded { .. }
        | executor::Event::PartEnded { .. }
        | executor::Event::Resumed { .. }
        | executor::Event::Confirming { .. }
        | executor::Event::Confirmed {}
        | executor::Event::RollingBack { .. }
        | executor::Event::UndoStep { .. }
        | executor::Event::Undone { .. }
        | executor::Event::Rebooting { .. } => return,
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
    job_event(state, now, id, event, effects);
}

fn request_failed(
    state: &mut State,
    now: Now,
    id: CommandId,
    request: SessionRequest,
    message: &str,
    effects: &mut Vec<Effect>,
) {
    let link = &mut state.live.executor;
    link.problem = Some(format!("the executor cannot serve command {id}: {}", bounded(message)));
    if request != SessionRequest::Attach {
        return;
    }
    if link.unknown.answers == 0 {
        link.unknown.since_ms = now.monotonic_ms;
    }
    link.unknown.answers = link.unknown.answers.saturating_add(1);
    let unknown = link.unknown;
    let total_s = state.kept.jobs.iter().find(|job| job.command_id == id).map_or(0, |job| job.total_s);
    let believed_at_ms = unknown.since_ms + u64::from(total_s) * 1000 + GRACE_MS;
    if unknown.answers >= MIN_UNKNOWN && now.monotonic_ms >= believed_at_ms {
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
}

/// Forgets what concerns a job that has ended.
pub(crate) fn job_ended(state: &mut State, id: CommandId) {
    let link = &mut state.live.executor;
    if link.open.take_if(|open| open.command_id == id).is_some() || head(state).is_none() {
        let link = &mut state.live.executor;
        link.retry_at_ms = 0;
        link.backoff_ms = 0;
        link.problem = None;
        link.progress = None;
    }
}

/// All that is owed is asked for anew.
pub(crate) fn restart(state: &mut State) {
    let last_session = state.live.executor.last_session;
    let progress = state.live.executor.progress.take();
    state.live.executor = ExecutorLink { last_session, progress, ..ExecutorLink::default() };
}

/// The job is at this task; tells whether to report it now.
pub(crate) fn note_progress(state: &mut State, now: Now, id: CommandId, task: Option<TaskRef>) -> bool {
    let progress = &mut state.live.executor.progress;
    if progress.as_ref().is_none_or(|progress| progress.command_id != id) {
        let next_ms = now.monotonic_ms + FIRST_PROGRESS_GAP_MS;
        *progress = Some(Progress {
            command_id: id,
            task,
            unreported: false,
            next_ms,
            gap_ms: FIRST_PROGRESS_GAP_MS,
        });
        return true;
    }
    if let Some(progress) = progress.as_mut() {
        // A session that is opened anew repeats all events from the beginning.
        let number = |task: &Option<TaskRef>| task.as_ref().map_or(0, |task| task.number);
        if number(&task) > number(&progress.task) {
            progress.task = task;
            progress.unreported = true;
        }
    }
    false
}

/// The progress report that is due.
pub(crate) fn due_progress(state: &mut State, now: Now) -> Option<(CommandId, Outcome)> {
    let progress = state.live.executor.progress.as_mut()?;
    if !progress.unreported || now.monotonic_ms < progress.next_ms {
        return None;
    }
    progress.unreported = false;
    progress.gap_ms = (progress.gap_ms * 2).min(MAX_PROGRESS_GAP_MS);
    progress.next_ms = now.monotonic_ms + progress.gap_ms;
    Some((progress.command_id, Outcome::Running { task: progress.task.clone() }))
}

/// When the next look is needed.
pub(crate) fn next_wake_ms(state: &State) -> Option<u64> {
    let link = &state.live.executor;
    let session = match &link.open {
        Some(open) => Some(open.deadline_ms),
        None => head(state).map(|_| link.retry_at_ms),
    };
    let progress = link.progress.as_ref().filter(|p| p.unreported).map(|p| p.next_ms);
    [session, progress].into_iter().flatten().min()
}
