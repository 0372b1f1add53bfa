//! `keros-agent watch`: what goes on, as it goes on. A screen that is drawn anew where it has changed, or a line for each
//! change. It only asks the agent; one that is away is asked again until it is back.

mod ask;
mod changes;
mod frame;
mod plain;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use keros_protocol::{CommandId, UnixSeconds};

use super::{Failure, Sockets};
use crate::arguments::Watch;
use crate::local::{ClientError, StatusView};
use crate::mqtt::chain;

/// Between two questions to the agent; an answer costs it some 0.1 ms.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The speed of a fetch is that of its last seconds.
const PACE_SPAN: Duration = Duration::from_secs(10);

/// Shows until it is told to end.
pub(super) fn run(sockets: &Sockets, arguments: &Watch) -> Result<u8, Failure> {
    let ask = || sockets.status().get::<StatusView>("/v1/status");
    let first = ask();
    // It will not be allowed in a moment either.
    if let Err(error @ ClientError::NotAllowed(_)) = first {
        return Err(error.into());
    }
    let is_live = !arguments.plain && !arguments.format.json && terminal::is_usable();
    let mut seen = Seen::default();
    seen.hear(first, super::time::now_unix_s());
    let answers = ask::Answers::begin(sockets.status(), is_live);
    if is_live {
        return screen::show(&mut seen, &answers);
    }
    Ok(plain::tell(&mut seen, &answers, arguments.format.json))
}

/// What is known of the agent.
#[derive(Debug, Default)]
struct Seen {
    /// Its last answer.
    view: Option<StatusView>,
    /// Since when it gives none, and why.
    away: Option<(UnixSeconds, String)>,
    pace: Pace,
}

impl Seen {
    fn hear(&mut self, answer: Result<StatusView, ClientError>, now_unix_s: UnixSeconds) {
        match answer {
            Ok(view) => {
                self.pace.see(&view);
                self.view = Some(view);
                self.away = None;
            }
            Err(error) => {
                let why = chain(&error);
                self.away = Some((self.away.take().map_or(now_unix_s, |(since, _)| since), why));
            }
        }
    }
}

/// How fast a bundle comes.
#[derive(Debug, Default)]
struct Pace {
    of: Option<CommandId>,
    samples: VecDeque<(Instant, u64)>,
}

impl Pace {
    fn see(&mut self, view: &StatusView) {
        let fetched = frame::awaited(&view.open_jobs);
        let of = fetched.map(|(job, _)| job.command_id);
        if of != self.of {
            self.of = of;
            self.samples.clear();
        }
        let Some((_, fetch)) = fetched else { return };
        let now = Instant::now();
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > PACE_SPAN) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, fetch.have_bytes));
    }

    /// Bytes a second; `None` before two samples, or when nothing comes.
    fn bytes_per_s(&self) -> Option<u64> {
        let ((begin, from), (end, to)) = (self.samples.front()?, self.samples.back()?);
        let elapsed_ms = u64::try_from(end.duration_since(*begin).as_millis()).ok().filter(|ms| *ms > 0)?;
        Some(to.saturating_sub(*from).saturating_mul(1000) / elapsed_ms).filter(|rate| *rate > 0)
    }
}
