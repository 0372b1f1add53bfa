//! Says in the log who was refused what, in one line for each refusal. Whoever asks without end is told of without end only so often: each
//! session is a process, and a unit, of its own, so neither this process nor the log could count them.

use std::io::Read as _;

use keros_platform::DiskFile;
use keros_protocol::Outcome;
use keros_protocol::executor::{Event, Request};
use keros_protocol::limits::shorten;
use keros_service::Named;
use keros_service::log::{self, Subject};

use crate::state::State;
use crate::telling;

/// Lines within one period; a fleet's whole day of honest mistakes is fewer.
const MOST: u32 = 20;
const PERIOD_MS: u64 = 10 * 60 * 1000;
/// A request's own words can be in it.
const MAX_LINE_BYTES: usize = 512;
/// Far more than two numbers.
const MAX_KEPT_BYTES: u64 = 64;

/// Tells of what one session's peer is refused.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Who asks, in words.
    peer: String,
    /// What was asked for, in words.
    asked: String,
    /// The job that it is about.
    subject: Option<Subject>,
}

impl Refusals {
    /// For this peer.
    pub(crate) fn of(peer: String, asked: Option<&Request>) -> Self {
        let subject = asked.and_then(telling::asked_for);
        Self { peer, asked: asked.map_or_else(|| "a request".to_owned(), name), subject }
    }

    /// Says why, unless enough was said.
    pub(crate) fn tell(&self, state: Option<&State>, why: &str) {
        let line = |more: &str| {
            let line = format!("refused to {}: {}: {why}", self.peer, self.asked);
            let text = format!("{}{more}", shorten(&line, MAX_LINE_BYTES));
            log::tell_about(Named::RequestRefused, self.subject, &text);
        };
        // Without a state folder nothing is served at all, and that is told.
        match state.map_or(Said::This, count) {
            Said::This => line(""),
            Said::ThisAndNoMore => line("; more refusals within these ten minutes are only counted"),
            Said::ThisAfter(untold) => line(&format!("; before it {untold} more were not told of")),
            Said::Nothing => {}
        }
    }
}

/// What it was refused, when this event says so.
pub(crate) fn reason(event: &Event) -> Option<String> {
    match event {
        Event::Ended { outcome: Outcome::Refused { reason, detail } } => {
            Some(format!("{}: {detail}", reason.as_str()))
        }
        Event::ConfirmAnswered { accepted: false, message, .. } => {
            Some(message.clone().unwrap_or_else(|| "it does not confirm the job".to_owned()))
        }
        _ => None,
    }
}

fn name(request: &Request) -> String {
    match request {
        Request::Run { envelope, .. } => {
            let id = keros_protocol::eligibility::claimed_ids(envelope);
            id.map_or_else(|| "run".to_owned(), |(id, _)| format!("run of {id}"))
        }
        Request::Attach { command_id } => format!("attach to {command_id}"),
        Request::Cancel { command_id, .. } => format!("cancel of {command_id}"),
        Request::Confirm { command_id, .. } => format!("confirm of {command_id}"),
        Request::Status {} => "status".to_owned(),
    }
}

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    This,
    ThisAndNoMore,
    /// The first of a period; in the one before it so many were not told of.
    ThisAfter(u32),
    Nothing,
}

/// A period, as it is kept: when it began, on the clock that counts from the boot, and how often something was refused in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Kept {
    since_ms: u64,
    count: u32,
}

impl Kept {
    fn parse(text: &str) -> Option<Self> {
        let (since, count) = text.trim().split_once(' ')?;
        Some(Self { since_ms: since.parse().ok()?, count: count.parse().ok()? })
    }

    const fn one_more(self, now_ms: u64) -> (Self, Said) {
        // A boot sets the clock back: then that period is over.
        let is_over = now_ms < self.since_ms || now_ms - self.since_ms >= PERIOD_MS;
        if self.count == 0 || is_over {
            let said = match self.count.saturating_sub(MOST) {
                0 => Said::This,
                untold => Said::ThisAfter(untold),
            };
            return (Self { since_ms: now_ms, count: 1 }, said);
        }
        let count = self.count.saturating_add(1);
        let said = match count {
            ..MOST => Said::This,
            MOST => Said::ThisAndNoMore,
            _ => Said::Nothing,
        };
        (Self { since_ms: self.since_ms, count }, said)
    }
}

/// Counts one more. The file is never synced: it is about what is told, not about what is true, and is not to wear out the flash.
fn count(state: &State) -> Said {
    // Who else counts at this moment is done in a moment; whoever holds it longer must not keep this from being told.
    for _ in 0..20 {
        match state.disk().try_lock(&state.refusals_path()) {
            Ok(Some(mut file)) => return count_in(&mut *file, state.host().boottime_ms()),
            Ok(None) => state.host().sleep(std::time::Duration::from_millis(5)),
            Err(_) => break,
        }
    }
    Said::This
}

fn count_in(file: &mut dyn DiskFile, now_ms: u64) -> Said {
    let mut text = String::new();
    let _ = file.take(MAX_KEPT_BYTES).read_to_string(&mut text);
    let (kept, said) = Kept::parse(&text).unwrap_or_default().one_more(now_ms);
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all(format!("{} {}\n", kept.since_ms, kept.count).as_bytes()));
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_are_told_of_in_ten_minutes_and_the_rest_is_counted() {
        let mut kept = Kept::default();
        let mut said = Vec::new();
        for now_ms in 0..30 {
            let (next, what) = kept.one_more(now_ms);
            kept = next;
            said.push(what);
        }
        assert_eq!(said[..19], [Said::This; 19]);
        assert_eq!(said[19], Said::ThisAndNoMore);
        assert_eq!(said[20..], [Said::Nothing; 10]);
        let (next, what) = kept.one_more(PERIOD_MS);
        assert_eq!(what, Said::ThisAfter(10));
        assert_eq!(next.one_more(PERIOD_MS + 1).1, Said::This);
    }

    #[test]
    fn a_boot_begins_a_period() {
        let full = Kept { since_ms: 1_000_000, count: 500 };
        assert_eq!(full.one_more(1_000_001).1, Said::Nothing);
        assert_eq!(full.one_more(5), (Kept { since_ms: 5, count: 1 }, Said::ThisAfter(480)));
    }

    #[test]
    fn the_count_is_shared_by_processes_and_a_damaged_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let told = (0..25).filter(|_| count(&state) != Said::Nothing).count();
        assert_eq!(told, 20);
        std::fs::write(state.refusals_path(), "x").unwrap();
        assert_eq!(count(&state), Said::This);
        let length = std::fs::metadata(state.refusals_path()).unwrap().len();
        assert!(length <= MAX_KEPT_BYTES, "{length}");
    }
}
