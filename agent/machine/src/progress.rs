//! How far the job under way has come, and when that is worth a report: often at first, rarely later, and hardly while the
//! center is out of reach, since each report is a write to the flash.

use keros_protocol::{CommandId, Outcome, TaskRef};

use crate::event::Now;
use crate::state::State;

/// Shortest time between two progress reports after the first one; doubled with each, up to [`MAX_GAP_MS`].
const FIRST_GAP_MS: u64 = 1000;
const MAX_GAP_MS: u64 = 30_000;
/// The same while there is no connection.
const AWAY_GAP_MS: u64 = 600_000;

/// The job under way, or the last one that was.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    command_id: CommandId,
    task: Option<TaskRef>,
    /// What was reported last, and when.
    told: Option<(Outcome, u64)>,
    gap_ms: u64,
}

/// The job is at this task, or at none that is known.
pub(crate) fn note(state: &mut State, id: CommandId, task: Option<TaskRef>) {
    let same = state.live.progress.take_if(|progress| progress.command_id == id);
    let mut progress =
        same.unwrap_or(Progress { command_id: id, task: None, told: None, gap_ms: FIRST_GAP_MS });
    // A session that is opened anew repeats all events from the beginning.
    let number = |task: &Option<TaskRef>| task.as_ref().map_or(0, |task| task.number);
    if number(&task) > number(&progress.task) {
        progress.task = task;
    }
    state.live.progress = Some(progress);
}

/// The task under way of this job.
pub(crate) fn task_of(state: &State, id: CommandId) -> Option<&TaskRef> {
    state.live.progress.as_ref().filter(|progress| progress.command_id == id)?.task.as_ref()
}

/// The progress report that is due.
pub(crate) fn due(state: &mut State, now: Now) -> Option<(CommandId, Outcome)> {
    let (outcome, at_ms) = unreported(state)?;
    if now.monotonic_ms < at_ms {
        return None;
    }
    let progress = state.live.progress.as_mut()?;
    if progress.told.is_some() {
        progress.gap_ms = (progress.gap_ms * 2).min(MAX_GAP_MS);
    }
    progress.told = Some((outcome.clone(), now.monotonic_ms));
    Some((progress.command_id, outcome))
}

/// What was not reported yet, and when it may be.
fn unreported(state: &State) -> Option<(Outcome, u64)> {
    let progress = state.live.progress.as_ref()?;
    let job = state.kept.jobs.iter().find(|job| job.command_id == progress.command_id)?;
    let outcome = state.outcome_of(job);
    let Some((told, told_ms)) = &progress.told else { return Some((outcome, 0)) };
    if *told == outcome {
        return None;
    }
    // The end of the tasks is worth a report at once.
    let at_ms = match (told.rank() < outcome.rank(), state.live.sending.connected) {
        (true, _) => 0,
        (false, true) => told_ms + progress.gap_ms,
        (false, false) => told_ms + AWAY_GAP_MS,
    };
    Some((outcome, at_ms))
}

/// When the next look is needed.
pub(crate) fn next_wake_ms(state: &State) -> Option<u64> {
    unreported(state).map(|(_, at_ms)| at_ms)
}
