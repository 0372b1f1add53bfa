//! What the center is asked to sign: that it was heard of after a job's end, and what time it is. Each question is a nonce in
//! telemetry, and its answer a statement that carries it.

use keros_protocol::CommandId;

use crate::effect::Effect;
use crate::event::Now;
use crate::job::Phase;
use crate::state::State;

/// A statement that answers later than this is too old to tell the time.
const TIME_ANSWER_MS: u64 = 600_000;
/// A new connection that does not come is not waited for longer than this: the old one may do.
const RECONNECT_MS: u64 = 60_000;
/// Connections that come and go must not make a flood of telemetry.
const MIN_REPEAT_MS: u64 = 10_000;

/// The questions of this run of the agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProofLive {
    /// For the next question about the time.
    fresh_nonce: Option<String>,
    time_wanted: bool,
    time: Option<TimeQuestion>,
    job: Option<JobQuestion>,
}

#[derive(Debug, Clone)]
struct TimeQuestion {
    nonce: String,
    sent_ms: Option<u64>,
}

#[derive(Debug, Clone)]
struct JobQuestion {
    nonce: String,
    until_ms: u64,
    /// A new connection is on its way: what the old one can still do proves little.
    hold_until_ms: u64,
    sent_ms: Option<u64>,
    sent_on_this_connection: bool,
    answered: bool,
}

impl ProofLive {
    /// A nonce that nobody can guess.
    pub(crate) fn supply(&mut self, fresh_nonce: String) {
        self.fresh_nonce.get_or_insert(fresh_nonce);
    }

    /// The center's time is wanted, and must not be an old statement's.
    pub(crate) const fn want_time(&mut self) {
        self.time_wanted = true;
    }

    /// A new connection is there.
    pub(crate) fn connected(&mut self, fresh_nonce: String) {
        self.fresh_nonce = Some(fresh_nonce);
        if let Some(job) = &mut self.job {
            job.hold_until_ms = 0;
            job.sent_on_this_connection = false;
        }
    }

    /// Whether these nonces answer the question about the time; it is settled then.
    pub(crate) fn is_time_answer(&mut self, now: Now, nonces: &[String]) -> bool {
        let in_time = |sent_ms: u64| now.monotonic_ms.saturating_sub(sent_ms) <= TIME_ANSWER_MS;
        let answered = self
            .time
            .take_if(|question| nonces.contains(&question.nonce) && question.sent_ms.is_some_and(in_time));
        if answered.is_some() {
            self.time_wanted = false;
        }
        answered.is_some()
    }

    /// The executor is content with the answer.
    pub(crate) fn settled(&mut self) {
        if let Some(job) = &mut self.job {
            job.answered = true;
        }
    }
}

/// The job whose question these nonces answer.
pub(crate) fn answered_job(state: &State, nonces: &[String]) -> Option<CommandId> {
    let asks = |phase: &Phase| match phase {
        Phase::Confirming { nonce: Some(nonce), .. } => nonces.contains(nonce),
        Phase::Confirming { nonce: None, .. }
        | Phase::Accepted {}
        | Phase::Starting {}
        | Phase::Running {} => false,
    };
    state.kept.jobs.iter().find(|job| asks(&job.phase)).map(|job| job.command_id)
}

/// Keeps the questions in step with the jobs and the clock.
pub(crate) fn watch(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    watch_job(state, now, effects);
    let unknown = !state.live.time.is_believed(now);
    let proof = &mut state.live.proof;
    let too_old = |question: &mut TimeQuestion| {
        question.sent_ms.is_some_and(|sent_ms| now.monotonic_ms.saturating_sub(sent_ms) > TIME_ANSWER_MS)
    };
    if proof.time.take_if(too_old).is_some() {
        proof.time_wanted = true;
    }
    if proof.time.is_none() && (proof.time_wanted || unknown) {
        proof.time = proof.fresh_nonce.take().map(|nonce| TimeQuestion { nonce, sent_ms: None });
    }
}

fn watch_job(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    let asked = state.kept.jobs.iter().find_map(|job| match &job.phase {
        Phase::Confirming { nonce: Some(nonce), window_s, .. } => Some((nonce, *window_s)),
        _ => None,
    });
    let Some((nonce, window_s)) = asked else {
        state.live.proof.job = None;
        return;
    };
    if state.live.proof.job.as_ref().is_some_and(|job| job.nonce == *nonce) {
        return;
    }
    let connected = state.live.sending.connected;
    state.live.proof.job = Some(JobQuestion {
        nonce: nonce.clone(),
        until_ms: now.monotonic_ms.saturating_add(u64::from(window_s) * 1000),
        hold_until_ms: if connected { now.monotonic_ms + RECONNECT_MS } else { 0 },
        sent_ms: None,
        sent_on_this_connection: false,
        answered: false,
    });
    if connected {
        effects.push(Effect::Reconnect);
    }
}

/// What the next telemetry carries.
pub(crate) fn nonces(state: &State, now: Now) -> Vec<String> {
    let proof = &state.live.proof;
    let job = proof.job.as_ref().filter(|job| is_open(job, now)).map(|job| job.nonce.clone());
    let time = proof.time.as_ref().map(|question| question.nonce.clone());
    job.into_iter().chain(time).collect()
}

/// Telemetry with all questions goes out.
pub(crate) fn sent(state: &mut State, now: Now) {
    let proof = &mut state.live.proof;
    if let Some(question) = &mut proof.time {
        question.sent_ms.get_or_insert(now.monotonic_ms);
    }
    if let Some(job) = proof.job.as_mut().filter(|job| is_open(job, now)) {
        job.sent_ms = Some(now.monotonic_ms);
        job.sent_on_this_connection = true;
    }
}

/// Milliseconds until a question must be asked; `None` when there is none. Once on each connection it is not held back by
/// the shortest interval of telemetry.
pub(crate) fn wait_ms(state: &State, now: Now, at_least_ms: u64) -> Option<u64> {
    let proof = &state.live.proof;
    let unasked = proof.time.as_ref().is_some_and(|question| question.sent_ms.is_none());
    let time = unasked.then_some(at_least_ms);
    let job = proof.job.as_ref().filter(|job| is_open(job, now)).map(|job| {
        let since = |wait_ms: u64| {
            job.sent_ms.map_or(0, |sent_ms| (sent_ms + wait_ms).saturating_sub(now.monotonic_ms))
        };
        let held_ms = job.hold_until_ms.saturating_sub(now.monotonic_ms);
        let repeat_ms = since(state.setup.telemetry_min_interval_ms.max(MIN_REPEAT_MS));
        let wait_ms =
            if job.sent_on_this_connection { repeat_ms.max(at_least_ms) } else { since(MIN_REPEAT_MS) };
        wait_ms.max(held_ms)
    });
    [time, job].into_iter().flatten().min()
}

const fn is_open(job: &JobQuestion, now: Now) -> bool {
    !job.answered && now.monotonic_ms < job.until_ms
}
