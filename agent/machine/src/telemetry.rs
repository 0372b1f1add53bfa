//! When telemetry is due.

use keros_protocol::Eui;

use crate::effect::Effect;
use crate::event::Now;
use crate::proof;
use crate::state::State;

/// Telemetry that is not answered is sent again after these waits; then only when it is regularly due, since the center
/// may be away for long and each one costs bytes.
const RETRY_MS: [u64; 3] = [60_000, 300_000, 900_000];

/// What is known of telemetry since the agent started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TelemetryLive {
    /// Somebody wants it as soon as may be.
    pub(crate) wanted: bool,
    sent_at_ms: Option<u64>,
    /// How often it was sent on this connection since the last answer.
    unanswered: usize,
}

impl TelemetryLive {
    /// The connection is there: the center hears of it, and has all retries to answer.
    pub(crate) const fn connected(&mut self) {
        self.wanted = true;
        self.unanswered = 0;
    }

    /// The center has answered.
    pub(crate) const fn answered(&mut self) {
        self.unanswered = 0;
    }
}

/// Sends telemetry when it is due.
pub(crate) fn pump(state: &mut State, now: Now, effects: &mut Vec<Effect>) {
    if !state.live.sending.connected || wait_ms(state, now) > 0 {
        return;
    }
    let unanswered = state.live.telemetry.unanswered.saturating_add(1);
    state.live.telemetry = TelemetryLive { wanted: false, sent_at_ms: Some(now.monotonic_ms), unanswered };
    state.kept.telemetry_sent_at_unix_s = Some(now.unix_s);
    effects.push(Effect::SendTelemetry { nonces: proof::nonces(state, now) });
    proof::sent(state, now);
}

/// Milliseconds until telemetry is due, if the broker is reachable then.
pub(crate) fn wait_ms(state: &State, now: Now) -> u64 {
    let since_ms = since_last_ms(state, now);
    let at_least = since_ms.map_or(0, |since| state.setup.telemetry_min_interval_ms.saturating_sub(since));
    let question = proof::wait_ms(state, now, at_least).unwrap_or(u64::MAX);
    if state.live.telemetry.wanted {
        return at_least.min(question);
    }
    let regular = regular_wait_ms(state, now, since_ms);
    let regular = retry_wait_ms(state, since_ms).map_or(regular, |retry| retry.min(regular));
    regular.max(at_least).min(question)
}

/// Until unanswered telemetry is sent again; `None` when it was answered, or sent again often enough.
fn retry_wait_ms(state: &State, since_ms: Option<u64>) -> Option<u64> {
    let retry_ms = RETRY_MS.get(state.live.telemetry.unanswered.checked_sub(1)?)?;
    Some(retry_ms.saturating_sub(since_ms?))
}

/// By the monotonic clock, else by the wall clock; `None` when neither can say.
fn since_last_ms(state: &State, now: Now) -> Option<u64> {
    let by_wall = || {
        let sent_at = state.kept.telemetry_sent_at_unix_s?;
        Some(now.unix_s.checked_sub(sent_at)?.saturating_mul(1000))
    };
    state.live.telemetry.sent_at_ms.map(|sent| now.monotonic_ms.saturating_sub(sent)).or_else(by_wall)
}

/// Once in each interval of the wall clock, at this gateway's own phase in it; and never later than one interval after the
/// last one, whatever the wall clock does.
fn regular_wait_ms(state: &State, now: Now, since_ms: Option<u64>) -> u64 {
    let interval_s = (state.setup.telemetry_interval_ms / 1000).max(1);
    // Slots begin at whole seconds, since the wall clock is only known to the second.
    let phase_s = phase_of(state.setup.eui) % interval_s;
    let slot = |unix_s: u64| unix_s.saturating_add(interval_s - phase_s) / interval_s;
    let at_most = since_ms.map_or(0, |since| (interval_s * 1000).saturating_sub(since));
    match state.kept.telemetry_sent_at_unix_s {
        Some(sent_at) if sent_at <= now.unix_s => {
            if slot(now.unix_s) > slot(sent_at) {
                return 0;
            }
            let next_s = (slot(now.unix_s) + 1) * interval_s - (interval_s - phase_s);
            (next_s.saturating_sub(now.unix_s) * 1000).min(at_most)
        }
        _ => at_most,
    }
}

/// A number that is spread evenly over neighbouring EUIs (the finaliser of SplitMix64).
fn phase_of(eui: Eui) -> u64 {
    let mut mixed = eui.as_u64();
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
