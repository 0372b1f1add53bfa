//! What the time is at least. A gateway has no clock battery, and whoever has taken over the agent may set the clock back: so
//! the executor keeps the newest time that was signed, and judges expiry by it where the clock cannot be right.

use std::io::{self, ErrorKind};

use keros_protocol::UnixSeconds;

use crate::clock::BUILT_AT_UNIX_S;
use crate::exit::{Failure, complain};
use crate::state::State;
use crate::state::lines::checksum;
use crate::state::started::Started;

/// One signed time raises the floor by at most this much, so that a center whose clock is wrong by decades does no lasting
/// harm at once; and a clock that is further ahead of the floor is taken for a wrong one.
const MAX_AHEAD_S: u64 = 400 * 86_400;
/// Smaller raises are not worth a write to the flash.
const MIN_RAISE_S: u64 = 60;
/// Of the file: `FORM SECONDS SUM`.
const MAX_BYTES: u64 = 128;
const FORM: &str = "keros-floor-1";

/// The time by which expiry is judged.
pub(crate) fn judged_time(state: &State) -> Result<UnixSeconds, Failure> {
    Ok(judge(state.host().now_unix_s(), read(state)?))
}

/// The center has signed that it is, or was, this time. Where that cannot be kept, the request goes on all the same.
pub(crate) fn raise(state: &State, signed_unix_s: UnixSeconds) {
    if let Err(failure) = try_raise(state, signed_unix_s) {
        complain(&failure.chain());
    }
}

fn try_raise(state: &State, signed_unix_s: UnixSeconds) -> Result<(), Failure> {
    // Another session that raises it at this moment has a signed time, too.
    let lock = state.folder().join("floor.lock");
    let Some(_lock) = state.disk().try_lock(&lock).map_err(Failure::io("lock the time floor"))? else {
        return Ok(());
    };
    let floor = read(state)?;
    if signed_unix_s < floor.saturating_add(MIN_RAISE_S) {
        return Ok(());
    }
    let raised = signed_unix_s.min(floor.saturating_add(MAX_AHEAD_S));
    let path = state.floor_path();
    state
        .disk()
        .write_atomically(&path, format(raised).as_bytes())
        .map_err(Failure::io("write the time floor"))
}

/// The center has signed a nonce that was made for this question: it is this time, also when the floor says more.
pub(crate) fn correct(state: &State, signed_unix_s: UnixSeconds) {
    let lower = || {
        if signed_unix_s.saturating_add(MIN_RAISE_S) >= read(state)? {
            return Ok(());
        }
        let path = state.floor_path();
        let text = format(signed_unix_s);
        state.disk().write_atomically(&path, text.as_bytes()).map_err(Failure::io("write the time floor"))
    };
    if let Err(failure) = lower() {
        complain(&failure.chain());
    }
}

/// What to say of a command that is too late by the floor, but not by the clock.
pub(crate) fn explain(state: &State) -> Option<String> {
    let (clock, floor) = (state.host().now_unix_s(), read(state).ok()?);
    (judge(clock, floor) != clock).then(|| {
        let path = state.floor_path();
        format!(
            "; the gateway's clock says {clock}, which cannot be right: the center has signed {floor} (root may remove {} if that \
             is wrong)",
            path.display()
        )
    })
}

const fn judge(clock: UnixSeconds, floor: UnixSeconds) -> UnixSeconds {
    if clock < floor || clock > floor.saturating_add(MAX_AHEAD_S) { floor } else { clock }
}

/// The floor; never below the time of the build. A damaged file is set aside: the times at which started commands were issued
/// were signed, too.
fn read(state: &State) -> Result<UnixSeconds, Failure> {
    let path = state.floor_path();
    let found = match state.disk().read(&path, MAX_BYTES) {
        Ok(bytes) => parse(&bytes).ok_or_else(|| io::Error::from(ErrorKind::InvalidData)),
        Err(error) => Err(error),
    };
    let kept = match found {
        Ok(floor) => floor,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::FileTooLarge) => {
            let issued = Started::read(state.disk(), &state.started_path())?.newest_issued();
            let aside = state.folder().join(format!("floor.damaged-{}", state.host().now_unix_s()));
            state.disk().rename(&path, &aside).map_err(Failure::io("set the damaged time floor aside"))?;
            let text = format(issued.max(BUILT_AT_UNIX_S));
            state
                .disk()
                .write_atomically(&path, text.as_bytes())
                .map_err(Failure::io("write the time floor"))?;
            issued
        }
        Err(error) => return Err(Failure::io("read the time floor")(error)),
    };
    Ok(kept.max(BUILT_AT_UNIX_S))
}

fn format(floor: UnixSeconds) -> String {
    let body = format!("{FORM} {floor}");
    format!("{body} {}\n", checksum(body.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<UnixSeconds> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (body, sum) = line.rsplit_once(' ')?;
    let seconds = body.strip_prefix(FORM)?.strip_prefix(' ')?;
    if checksum(body.as_bytes()) == sum { seconds.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_S: u64 = 365 * 86_400;

    fn state() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        (folder, state)
    }

    #[test]
    fn a_clock_below_the_floor_or_far_beyond_it_is_not_believed() {
        assert_eq!(judge(0, 1000), 1000);
        assert_eq!(judge(1000 + YEAR_S, 1000), 1000 + YEAR_S);
        assert_eq!(judge(1000 + 50 * YEAR_S, 1000), 1000);
        assert_eq!(judge(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_raise_is_kept_bounded_and_never_taken_back() {
        let (_folder, state) = state();
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S);
        raise(&state, BUILT_AT_UNIX_S + YEAR_S);
        raise(&state, BUILT_AT_UNIX_S + 5);
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S + YEAR_S);
        raise(&state, u64::MAX);
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S + YEAR_S + MAX_AHEAD_S);
    }

    #[test]
    fn an_answer_to_a_nonce_may_lower_it_and_nothing_else() {
        let (_folder, state) = state();
        raise(&state, BUILT_AT_UNIX_S + YEAR_S);
        correct(&state, BUILT_AT_UNIX_S + 2 * YEAR_S);
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S + YEAR_S);
        correct(&state, BUILT_AT_UNIX_S + 1000);
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S + 1000);
        correct(&state, 5);
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S);
    }

    #[test]
    fn every_flipped_bit_is_noticed_set_aside_and_mended() {
        let (folder, state) = state();
        let text = format(BUILT_AT_UNIX_S + YEAR_S).into_bytes();
        for bit in 0..text.len() * 8 {
            let mut altered = text.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&altered), None, "bit {bit}");
        }
        std::fs::write(state.floor_path(), "keros-floor-1 99999999999 0000000000000000\n").unwrap();
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S);
        assert_eq!(read(&state).unwrap(), BUILT_AT_UNIX_S);
        let names = std::fs::read_dir(folder.path()).unwrap().flatten();
        let aside = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("floor.damaged-"));
        assert_eq!(aside.count(), 1);
    }
}
