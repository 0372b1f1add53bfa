//! A command comes: is it new, is there room, and what is answered.

use keros_protocol::{CommandId, Outcome, RefusalReason, UnixSeconds};

use crate::effect::{Effect, Note};
use crate::event::{Arrival, Now, Verdict};
use crate::job::{Cancel, EndedJob, Job, JobEvent, Phase};
use crate::state::{Kept, KnownId, State, bounded};
use crate::step::job_event;
use crate::{MAX_ENDED_JOBS, MAX_KNOWN_IDS, session};

/// An id is remembered for this long after its command has expired: the gateway's clock may be off.
const MARGIN_S: u64 = 86_400;
/// The id of a command that was not believed has no expiry.
const UNBELIEVED_S: u64 = 7 * 86_400;

/// Commands that were not believed and are answered and remembered in that time. More are only logged: whoever forges them
/// must not wash real ids out of the memory.
const MAX_UNBELIEVED: usize = 16;

/// A command that comes again is answered again so often at once, and once more in each such time: whoever repeats the
/// center's messages must not wear out the flash.
const MAX_REPEATS: u64 = 32;
const REPEAT_EVERY_MS: u64 = 60_000;

/// How many answers to commands that come again were given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RepeatBudget {
    used: u64,
    counted_at_ms: u64,
}

impl RepeatBudget {
    fn take(&mut self, now: Now) -> bool {
        let regained = now.monotonic_ms.saturating_sub(self.counted_at_ms) / REPEAT_EVERY_MS;
        self.used = self.used.saturating_sub(regained);
        self.counted_at_ms += regained * REPEAT_EVERY_MS;
        let free = self.used < MAX_REPEATS;
        self.used += u64::from(free);
        free
    }
}

/// Takes a command, or says why not.
pub(crate) fn arrive(state: &mut State, now: Now, arrival: Arrival, effects: &mut Vec<Effect>) {
    let id = arrival.command_id;
    let unbelieved = matches!(&arrival.verdict, Verdict::Refused { reason: RefusalReason::BadSignature, .. });
    if state.knows(id) {
        let note = if unbelieved { Note::Untrusted(id) } else { Note::Duplicate(id) };
        effects.push(Effect::Note(note));
        if !unbelieved {
            repeat(state, now, id);
        }
        return;
    }
    if !state.has_room() {
        effects.push(Effect::Note(Note::Full(id)));
        effects.push(Effect::ForgetEnvelope { command_id: id });
        return;
    }
    if unbelieved && unbelieved_lately(state, now) >= MAX_UNBELIEVED {
        effects.push(Effect::Note(Note::Untrusted(id)));
        return;
    }
    forget_expired(state, now);
    report(state, now, id, arrival.update_id, Outcome::Received {});
    effects.push(Effect::Note(Note::Received(id)));
    match arrival.verdict {
        Verdict::Eligible { kind, expires_at_unix_s, total_s, link, by_hand } => {
            let judged = state.judged_time(now);
            state.live.came_ms.insert(id, now.monotonic_ms);
            state.kept.jobs.push(Job {
                command_id: id,
                update_id: arrival.update_id,
                kind: bounded(&kind),
                received_at_unix_s: now.unix_s,
                changed_at_unix_s: now.unix_s,
                expires_at_unix_s,
                waits_s: Some(expires_at_unix_s.saturating_sub(judged)),
                total_s,
                link,
                needs_bundle: link.is_some(),
                by_hand,
                cancel: None,
                cancelled_by_root: false,
                unasked: false,
                phase: Phase::Accepted {},
            });
            if state.is_after_loss() {
                ask_first(state, now, id, effects);
            } else if was_cancelled(state, id) {
                job_event(state, now, id, JobEvent::CancelAsked, effects);
            } else {
                effects.push(Effect::Note(Note::Accepted(id)));
                report(state, now, id, arrival.update_id, Outcome::Accepted {});
            }
        }
        Verdict::Refused { reason, detail } => {
            let detail = bounded(&detail);
            effects.push(Effect::Note(Note::Refused(id, reason, detail.clone())));
            let outcome = Outcome::Refused { reason, detail };
            report(state, now, id, arrival.update_id, outcome.clone());
            let ended = EndedJob {
                command_id: id,
                update_id: arrival.update_id,
                kind: None,
                link: None,
                received_at_unix_s: now.unix_s,
                ended_at_unix_s: now.unix_s,
                until_unix_s: state.judged_time(now).saturating_add(UNBELIEVED_S),
                outcome,
                cancel: None,
            };
            remember(&mut state.kept, ended);
        }
    }
}

/// Whether the command was started, only the executor knows, even if it has expired or is cancelled: both are judged when the
/// executor does not know it.
fn ask_first(state: &mut State, now: Now, id: CommandId, effects: &mut Vec<Effect>) {
    let cancel = was_cancelled(state, id).then_some(Cancel::Asked);
    let Some(job) = state.kept.jobs.iter_mut().find(|job| job.command_id == id) else { return };
    (job.phase, job.unasked, job.cancel) = (Phase::Starting {}, true, cancel);
    let update_id = job.update_id;
    session::awaits_answer(state, now, id);
    effects.push(Effect::Note(Note::Moved(id, "the executor is asked whether it knows it")));
    report(state, now, id, update_id, Outcome::Accepted {});
}

/// The center does not know of a command that was taken: it is told again, unless that is under way anyway.
fn repeat(state: &mut State, now: Now, id: CommandId) {
    if state.kept.outbox.has(id) || !state.live.repeats.take(now) {
        return;
    }
    let open = state.kept.jobs.iter().find(|job| job.command_id == id);
    let open = open.map(|job| (job.update_id, state.outcome_of(job)));
    let ended = state.kept.ended.iter().find(|job| job.command_id == id);
    let ended = ended.map(|job| (job.update_id, job.outcome.clone()));
    if let Some((update_id, outcome)) = open.or(ended) {
        report(state, now, id, update_id, Outcome::Received {});
        report(state, now, id, update_id, outcome);
    }
}

/// Whether a command was cancelled before it came; that need not be remembered any longer.
fn was_cancelled(state: &mut State, id: CommandId) -> bool {
    let before = state.kept.cancelled.len();
    state.kept.cancelled.retain(|cancelled| *cancelled != id);
    state.kept.cancelled.len() < before
}

/// Adds a report to those that are owed.
pub(crate) fn report(
    state: &mut State,
    now: Now,
    id: CommandId,
    update_id: Option<keros_protocol::UpdateId>,
    outcome: Outcome,
) {
    state.kept.outbox.push(id, update_id, now.unix_s, outcome);
}

/// An id must be remembered until its command has expired for certain.
pub(crate) const fn until(expires_at_unix_s: UnixSeconds) -> UnixSeconds {
    expires_at_unix_s.saturating_add(MARGIN_S)
}

/// Counts and keeps an ended job; the oldest ones shrink to their ids.
pub(crate) fn remember(kept: &mut Kept, ended: EndedJob) {
    let total = kept.ended_total.entry(ended.outcome.name().to_owned()).or_default();
    *total = total.saturating_add(1);
    kept.ended.push_back(ended);
    while kept.ended.len() > MAX_ENDED_JOBS {
        if let Some(oldest) = kept.ended.pop_front() {
            let known = KnownId { command_id: oldest.command_id, until_unix_s: oldest.until_unix_s };
            kept.known.push_back(known);
        }
    }
    while kept.known.len() > MAX_KNOWN_IDS {
        kept.known.pop_front();
    }
}

fn unbelieved_lately(state: &State, now: Now) -> usize {
    let time = state.judged_time(now);
    let unbelieved = |job: &&EndedJob| {
        job.until_unix_s > time
            && matches!(job.outcome, Outcome::Refused { reason: RefusalReason::BadSignature, .. })
    };
    state.kept.ended.iter().filter(unbelieved).count()
}

fn forget_expired(state: &mut State, now: Now) {
    let time = state.judged_time(now);
    state.kept.known.retain(|known| known.until_unix_s > time);
}
