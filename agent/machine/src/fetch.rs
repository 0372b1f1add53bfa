//! Bundles are fetched one at a time, for the oldest waiting job that has none, also while an earlier job runs. What is known
//! of it lives only as long as the process: after a boot each bundle is ordered again, and what is on the disk is found.

use std::collections::BTreeSet;

use keros_protocol::{CommandId, RefusalReason};

use crate::effect::{Effect, Note};
use crate::event::{FetchEnd, Now};
use crate::job::{Job, JobEvent, Phase};
use crate::state::{State, bounded};
use crate::step::job_event;

/// Wait before the next attempt, at first; doubled each time, until an attempt brings something.
const FIRST_BACKOFF_MS: u64 = 1000;
/// And at most.
const MAX_BACKOFF_MS: u64 = 3_600_000;
/// Attempts that bring nothing for so long end the job: later ones must not wait for it until it expires.
const NO_PROGRESS_MS: u64 = 86_400_000;

/// What lives of the fetching.
#[derive(Debug, Clone, Default)]
pub(crate) struct FetchLive {
    current: Option<Fetching>,
    /// Open jobs whose bundle is on the disk.
    complete: BTreeSet<CommandId>,
    /// Open jobs whose bundle the executor has found to be another one than was fetched.
    doubted: BTreeSet<CommandId>,
}

/// The bundle that is fetched, or waits for its next attempt.
#[derive(Debug, Clone)]
struct Fetching {
    command_id: CommandId,
    under_way: bool,
    retry_at_ms: u64,
    backoff_ms: u64,
    /// Since when attempts bring nothing.
    stuck_since_ms: u64,
    /// Why the last attempt has failed.
    trouble: Option<String>,
}

impl FetchLive {
    /// The job whose bundle is fetched, also between two attempts.
    pub(crate) fn command_id(&self) -> Option<CommandId> {
        self.current.as_ref().map(|current| current.command_id)
    }

    /// The connection is there: the next attempt need not be waited for.
    pub(crate) fn connected(&mut self) {
        if let Some(current) = &mut self.current {
            current.retry_at_ms = 0;
        }
    }

    /// Forgets what concerns a job that has ended; [`pump`] stops its fetching.
    pub(crate) fn job_ended(&mut self, id: CommandId) {
        self.complete.remove(&id);
        self.doubted.remove(&id);
    }

    /// When the next look is needed.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        self.current.as_ref().filter(|current| !current.under_way).map(|current| current.retry_at_ms)
    }
}

/// Whether a job cannot be handed over yet.
pub(crate) fn is_awaited(state: &State, job: &Job) -> bool {
    job.needs_bundle
        && job.phase == Phase::Accepted {}
        && !state.live.fetch.complete.contains(&job.command_id)
}

/// Orders the fetching of what is missing, and stops that of what is needed no more.
pub(crate) fn pump(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let wanted = state.kept.jobs.iter().find(|job| is_awaited(state, job)).map(|job| job.command_id);
    let fetch = &mut state.live.fetch;
    let unwanted = fetch.current.take_if(|current| Some(current.command_id) != wanted);
    if let Some(Fetching { command_id, under_way: true, .. }) = unwanted {
        effects.push(Effect::StopFetch { command_id });
    }
    let Some(command_id) = wanted else { return };
    let current = fetch.current.get_or_insert_with(|| {
        effects.push(Effect::Note(Note::FetchStarted(command_id)));
        Fetching {
            command_id,
            under_way: false,
            retry_at_ms: 0,
            backoff_ms: 0,
            stuck_since_ms: now.monotonic_ms,
            trouble: None,
        }
    });
    if !current.under_way && now.monotonic_ms >= current.retry_at_ms {
        current.under_way = true;
        effects.push(Effect::Fetch { command_id, rehash: fetch.doubted.contains(&command_id) });
    }
}

/// An attempt is over.
pub(crate) fn ended(state: &mut State, now: Now, id: CommandId, end: FetchEnd, effects: &mut Vec<Effect>) {
    let fetch = &mut state.live.fetch;
    let under_way = |current: &&mut Fetching| current.command_id == id && current.under_way;
    let Some(current) = fetch.current.as_mut().filter(under_way) else {
        effects.push(Effect::Note(Note::Unexpected("the end of a fetch that was not ordered")));
        return;
    };
    current.under_way = false;
    match end {
        FetchEnd::Complete => {
            fetch.current = None;
            fetch.complete.insert(id);
            effects.push(Effect::Note(Note::FetchEnded(id)));
        }
        FetchEnd::Refused { reason, detail } => {
            job_event(state, now, id, JobEvent::NotFetched(reason, detail), effects);
        }
        FetchEnd::Failed { message, progressed } => {
            let message = bounded(&message);
            current.failed(now, &message, progressed);
            if now.monotonic_ms.saturating_sub(current.stuck_since_ms) >= NO_PROGRESS_MS {
                let detail = format!("nothing came for a day; the last attempt: {message}");
                let event = JobEvent::NotFetched(RefusalReason::FetchFailed, detail);
                job_event(state, now, id, event, effects);
            } else {
                effects.push(Effect::Note(Note::FetchFailed(id, message)));
            }
        }
    }
}

impl Fetching {
    fn failed(&mut self, now: Now, message: &str, progressed: bool) {
        if progressed {
            self.stuck_since_ms = now.monotonic_ms;
            self.backoff_ms = 0;
        }
        self.backoff_ms = (self.backoff_ms * 2).clamp(FIRST_BACKOFF_MS, MAX_BACKOFF_MS);
        self.retry_at_ms = now.monotonic_ms + self.backoff_ms;
        self.trouble = Some(format!("its bundle is not there: {message}"));
    }
}

/// What a waiting job ends with when its time is over.
pub(crate) fn time_is_over(state: &State, job: &Job) -> JobEvent {
    let fetch = &state.live.fetch;
    let Some(current) = fetch.current.as_ref().filter(|current| current.command_id == job.command_id) else {
        return JobEvent::Expired;
    };
    match &current.trouble {
        Some(trouble) => {
            JobEvent::NotFetched(RefusalReason::FetchFailed, format!("its time was over; {trouble}"))
        }
        None => {
            let detail = "its time was over before all of its bundle was here".to_owned();
            JobEvent::NotFetched(RefusalReason::Expired, detail)
        }
    }
}

/// Whether the executor refuses a job for a bundle that was whole when it was fetched: the disk has lost something since then.
/// It checks a bundle before it starts a job, so this one was not started. Each is fetched again once; a second refusal is the end.
pub(crate) fn is_bad_copy(state: &State, id: CommandId, reason: RefusalReason) -> bool {
    let of_copy = matches!(reason, RefusalReason::DigestMismatch | RefusalReason::NotFound);
    let starting = |job: &Job| job.command_id == id && job.needs_bundle && job.phase == Phase::Starting {};
    of_copy && state.kept.jobs.iter().any(starting) && !state.live.fetch.doubted.contains(&id)
}

/// What is on the disk for this job is not believed any more.
pub(crate) fn doubt(state: &mut State, id: CommandId) {
    state.live.fetch.complete.remove(&id);
    state.live.fetch.doubted.insert(id);
}
