//! What time it is: a gateway has no clock battery, and may believe that it is 1970, or 2076. The clock is believed between
//! what signed statements allow; beyond that, time is counted from the newest thing that is known.

use keros_protocol::{Statement, UnixSeconds};

use crate::effect::{Effect, Note};
use crate::event::Now;
use crate::state::State;

/// One statement raises the floor by at most this much, so that a center whose clock is wrong by decades does no lasting
/// harm at once.
const MAX_RAISE_S: u64 = 400 * 86_400;
/// Smaller raises are not worth a write to the flash.
const MIN_RAISE_S: u64 = 60;
/// A clock that is ahead of all that is known by more than this is not believed.
const FAR_AHEAD_S: u64 = 400 * 86_400;
/// A statement may be this much older than the floor and still only be late.
const LATE_S: u64 = 300;
/// The counted time is wrong by at most one part in this many.
const DRIFT: u64 = 1000;

/// A time that was known at a moment of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    unix_s: UnixSeconds,
    at_ms: u64,
}

impl Mark {
    fn elapsed_s(self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.at_ms) / 1000
    }

    fn counted(self, now_ms: u64) -> UnixSeconds {
        self.unix_s.saturating_add(self.elapsed_s(now_ms))
    }

    /// With room for an oscillator that runs fast.
    fn at_least(self, now_ms: u64) -> UnixSeconds {
        self.counted(now_ms).saturating_sub(self.elapsed_s(now_ms) / DRIFT)
    }
}

/// Judges the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeJudge {
    /// It was not earlier than this at that moment.
    floor: Mark,
    /// The newest statement of this run of the agent.
    newest: Option<Mark>,
    /// The newest statement that answers a question of this run, so that it cannot be an old one.
    proven: Option<Mark>,
}

/// How the wall clock compares to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockFit {
    /// It may be right.
    Fits,
    /// It is too early.
    BelowFloor,
    /// It is very far ahead.
    FarAhead,
}

impl TimeJudge {
    /// When the agent starts.
    #[must_use]
    pub const fn new(floor_unix_s: UnixSeconds) -> Self {
        Self { floor: Mark { unix_s: floor_unix_s, at_ms: 0 }, newest: None, proven: None }
    }

    /// It was not earlier than this when the agent heard of it.
    #[must_use]
    pub const fn floor_unix_s(&self) -> UnixSeconds {
        self.floor.unix_s
    }

    /// How the wall clock compares to what is known.
    #[must_use]
    pub fn fit(&self, now: Now) -> ClockFit {
        if now.unix_s < self.at_least(now.monotonic_ms) {
            return ClockFit::BelowFloor;
        }
        let newest = self.newest.map_or(0, |mark| mark.counted(now.monotonic_ms));
        let reference = newest.max(self.counted(now.monotonic_ms));
        if now.unix_s > reference.saturating_add(FAR_AHEAD_S) { ClockFit::FarAhead } else { ClockFit::Fits }
    }

    /// The best guess of the time: the clock where it may be right, else what is counted.
    #[must_use]
    pub fn judged(&self, now: Now) -> UnixSeconds {
        match self.fit(now) {
            ClockFit::Fits => now.unix_s,
            ClockFit::BelowFloor | ClockFit::FarAhead => self.counted(now.monotonic_ms),
        }
    }

    /// Whether that guess is good enough to start a job: what is only counted from the floor may be weeks behind.
    #[must_use]
    pub fn is_believed(&self, now: Now) -> bool {
        self.proven.is_some() || self.fit(now) == ClockFit::Fits
    }

    /// By the monotonic clock alone.
    fn counted(&self, now_ms: u64) -> UnixSeconds {
        self.base().map(|mark| mark.counted(now_ms)).max().unwrap_or_default()
    }

    fn at_least(&self, now_ms: u64) -> UnixSeconds {
        self.base().map(|mark| mark.at_least(now_ms)).max().unwrap_or_default()
    }

    fn base(&self) -> impl Iterator<Item = Mark> {
        [Some(self.floor), self.proven].into_iter().flatten()
    }
}

/// It cannot be earlier than this.
pub(crate) fn floor(state: &State) -> UnixSeconds {
    state.kept.floor_unix_s.max(state.setup.built_at_unix_s)
}

/// The center has signed that it is `statement.time_unix_s`. `answers`: it carries the nonce of our question, so it is no
/// old one, and may lower the floor.
pub(crate) fn hear(
    state: &mut State,
    now: Now,
    statement: &Statement,
    answers: bool,
    effects: &mut Vec<Effect>,
) {
    let said = Mark { unix_s: statement.time_unix_s, at_ms: now.monotonic_ms };
    if answers {
        state.live.time.proven = Some(said);
        state.live.time.newest = Some(said);
        if said.unix_s < floor(state) {
            state.kept.floor_unix_s = said.unix_s;
            state.live.time.floor = Mark { unix_s: floor(state), at_ms: now.monotonic_ms };
            effects.push(Effect::Note(Note::FloorLowered));
        }
    } else if said.unix_s.saturating_add(LATE_S) < state.live.time.at_least(now.monotonic_ms) {
        state.live.proof.want_time();
        return;
    }
    if state.live.time.newest.is_none_or(|newest| newest.counted(now.monotonic_ms) < said.unix_s) {
        state.live.time.newest = Some(said);
    }
    raise(state, now, said.unix_s, effects);
}

fn raise(state: &mut State, now: Now, time_unix_s: UnixSeconds, effects: &mut Vec<Effect>) {
    let floor = floor(state);
    if time_unix_s < floor.saturating_add(MIN_RAISE_S) {
        return;
    }
    let most = floor.saturating_add(MAX_RAISE_S);
    if time_unix_s > most {
        effects.push(Effect::Note(Note::FloorCapped));
    }
    let raised = Mark { unix_s: time_unix_s.min(most), at_ms: now.monotonic_ms };
    state.kept.floor_unix_s = raised.unix_s;
    if raised.unix_s > state.live.time.floor.counted(now.monotonic_ms) {
        state.live.time.floor = raised;
    }
}
