//! What the time is at least: a gateway has no clock battery, and may believe that it is 1970.

use keros_protocol::UnixSeconds;

use crate::effect::{Effect, Note};
use crate::state::State;

/// One statement raises the floor by at most this much, so that a center whose clock is wrong by decades does no lasting
/// harm at once.
const MAX_RAISE_S: u64 = 400 * 86_400;
/// Smaller raises are not worth a write to the flash.
const MIN_RAISE_S: u64 = 60;

/// It cannot be earlier than this.
pub(crate) fn floor(state: &State) -> UnixSeconds {
    state.kept.floor_unix_s.max(state.setup.built_at_unix_s)
}

/// The center has signed that it is `time_unix_s`.
pub(crate) fn raise(state: &mut State, time_unix_s: UnixSeconds, effects: &mut Vec<Effect>) {
    let floor = floor(state);
    if time_unix_s < floor.saturating_add(MIN_RAISE_S) {
        return;
    }
    let most = floor.saturating_add(MAX_RAISE_S);
    if time_unix_s > most {
        effects.push(Effect::Note(Note::FloorCapped));
    }
    state.kept.floor_unix_s = time_unix_s.min(most);
}
