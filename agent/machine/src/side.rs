//! What the executor is asked beside the session that follows a job: to cancel it, and that the center was heard of. One such
//! session at a time, each with one answer; asked again a few times for each statement that orders it.

use keros_protocol::{CommandId, Envelope, executor};

use crate::effect::{Effect, Note, SessionRequest};
use crate::event::Now;
use crate::job::{Cancel, Phase};
use crate::session;
use crate::state::{State, bounded};

/// An answer takes a moment; a session without one is given up after this long.
const ANSWER_MS: u64 = 60_000;
/// Wait before it is asked again, at first; doubled each time.
const FIRST_BACKOFF_MS: u64 = 1000;
/// How often one statement is handed over before the next one is waited for.
const MAX_ATTEMPTS: u32 = 8;
/// A cancellation that was answered is not asked again for this long, whatever number of statements repeat it.
const ANSWERED_MS: u64 = 60_000;

/// The side sessions of this run of the agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct SideLive {
    open: Option<Open>,
    confirm: Option<Wish>,
    cancel: Option<Wish>,
    /// The cancellation that was answered last.
    answered: Option<(CommandId, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Confirm,
    Cancel,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    session: u64,
    command_id: CommandId,
    kind: Kind,
    deadline_ms: u64,
}

/// What is to be asked, with the statement that orders it.
#[derive(Debug, Clone)]
struct Wish {
    command_id: CommandId,
    statement: Box<Envelope>,
    attempts: u32,
    at_ms: u64,
}

impl SideLive {
    fn wish(&mut self, kind: Kind) -> &mut Option<Wish> {
        match kind {
            Kind::Confirm => &mut self.confirm,
            Kind::Cancel => &mut self.cancel,
        }
    }

    /// All that is owed is asked for anew.
    pub(crate) fn restart(&mut self, effects: &mut Vec<Effect>) {
        if let Some(open) = self.open.take() {
            effects.push(Effect::CloseSession { session: open.session });
        }
    }
}

/// The center was heard of: the executor must hear of it.
pub(crate) fn want_confirm(state: &mut State, now: Now, id: CommandId, statement: &Envelope) {
    want(&mut state.live.side.confirm, now, id, statement);
}

/// The center wants a started job cancelled.
pub(crate) fn want_cancel(state: &mut State, now: Now, id: CommandId, statement: &Envelope) {
    let side = &mut state.live.side;
    let lately = side.answered.is_some_and(|(answered, at_ms)| {
        answered == id && now.monotonic_ms < at_ms.saturating_add(ANSWERED_MS)
    });
    if !lately {
        want(&mut side.cancel, now, id, statement);
    }
}

fn want(wish: &mut Option<Wish>, now: Now, command_id: CommandId, statement: &Envelope) {
    // A wish that waits for its next attempt keeps waiting: statements must not make it more frequent.
    let at_ms = wish.as_ref().filter(|wish| wish.command_id == command_id).map(|wish| wish.at_ms);
    *wish = Some(Wish {
        command_id,
        statement: Box::new(statement.clone()),
        attempts: 0,
        at_ms: at_ms.unwrap_or(now.monotonic_ms),
    });
}

/// Opens a side session when one is wished for, and gives up one without an answer.
pub(crate) fn watch(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    if let Some(open) = state.live.side.open.filter(|open| now.monotonic_ms >= open.deadline_ms) {
        effects.push(Effect::CloseSession { session: open.session });
        closed(state, open.session);
    }
    if state.live.side.open.is_some() {
        return;
    }
    for kind in [Kind::Confirm, Kind::Cancel] {
        if let Some((command_id, statement)) = due(state, now, kind) {
            let session = session::next_number(state);
            let deadline_ms = now.monotonic_ms + ANSWER_MS;
            state.live.side.open = Some(Open { session, command_id, kind, deadline_ms });
            let request = match kind {
                Kind::Confirm => SessionRequest::Confirm { statement },
                Kind::Cancel => SessionRequest::Cancel { statement },
            };
            effects.push(Effect::OpenSession { session, command_id, request });
            return;
        }
    }
}

/// The wish that is due; the next attempt is put off.
fn due(state: &mut State, now: Now, kind: Kind) -> Option<(CommandId, Box<Envelope>)> {
    let wish = state.live.side.wish(kind);
    let due = wish.as_mut().filter(|wish| now.monotonic_ms >= wish.at_ms)?;
    due.attempts += 1;
    due.at_ms = now.monotonic_ms + (FIRST_BACKOFF_MS << due.attempts.min(MAX_ATTEMPTS));
    let asked = (due.command_id, due.statement.clone());
    if due.attempts >= MAX_ATTEMPTS {
        *wish = None;
    }
    Some(asked)
}

/// Takes an executor's line, when it is of the side session.
pub(crate) fn heard(
    state: &mut State,
    now: Now,
    session: u64,
    event: &executor::Event,
    effects: &mut Vec<Effect>,
) -> bool {
    let Some(open) = state.live.side.open.filter(|open| open.session == session) else { return false };
    match (open.kind, event) {
        (Kind::Cancel, executor::Event::CancelAnswered { command_id, answer })
            if *command_id == open.command_id =>
        {
            state.live.side.open = None;
            cancel_answered(state, now, open.command_id, *answer, effects);
        }
        (Kind::Confirm, executor::Event::ConfirmAnswered { command_id, accepted, message })
            if *command_id == open.command_id =>
        {
            state.live.side.open = None;
            state.live.side.confirm = None;
            if *accepted {
                state.live.proof.settled();
            }
            let why = message.as_deref().unwrap_or("the executor does not say why");
            let why = (!accepted).then(|| bounded(why));
            effects.push(Effect::Note(Note::ConfirmAnswered(open.command_id, why)));
        }
        // It is asked again when this session has ended.
        (_, executor::Event::RequestFailed { message, .. }) => {
            effects.push(Effect::Note(Note::ExecutorLost(open.command_id, bounded(message))));
        }
        _ => effects.push(Effect::Note(Note::Unexpected("an executor's line that is no answer"))),
    }
    true
}

fn cancel_answered(
    state: &mut State,
    now: Now,
    id: CommandId,
    answer: executor::CancelAnswer,
    effects: &mut Vec<Effect>,
) {
    effects.push(Effect::Note(Note::CancelAnswered(id, answer)));
    let cancel = Cancel::of(answer);
    if let Some(job) = state.kept.jobs.iter_mut().find(|job| job.command_id == id) {
        job.cancel = Some(cancel);
    }
    // The job may be on its way to the executor, which then does not know it yet: that is asked again.
    if cancel != Cancel::Asked {
        state.live.side.cancel = None;
        state.live.side.answered = Some((id, now.monotonic_ms));
    }
}

/// A session is over; tells whether it was the side session.
pub(crate) fn closed(state: &mut State, session: u64) -> bool {
    state.live.side.open.take_if(|open| open.session == session).is_some()
}

/// Forgets what concerns a job that has ended.
pub(crate) fn job_ended(state: &mut State, id: CommandId) {
    let side = &mut state.live.side;
    side.confirm.take_if(|wish| wish.command_id == id);
    side.cancel.take_if(|wish| wish.command_id == id);
}

/// When the next look is needed.
pub(crate) fn next_wake_ms(state: &State) -> Option<u64> {
    let side = &state.live.side;
    match side.open {
        Some(open) => Some(open.deadline_ms),
        None => [&side.confirm, &side.cancel].into_iter().flatten().map(|wish| wish.at_ms).min(),
    }
}

/// Whether a cancellation of this job is obeyed already: it stops, and what it changed may be confirmed then.
pub(crate) fn is_obeyed(phase: &Phase, cancel: Option<Cancel>) -> bool {
    matches!((phase, cancel), (Phase::Confirming { .. }, Some(Cancel::Stopping | Cancel::RollingBack)))
}
