//! A line for each change, for pipes and logs.

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use super::Seen;
use super::ask::Answers;
use super::changes::{Change, Told};
use crate::cli::{exit, text, time};

/// So long it is waited for an answer; then it is waited again.
const WAIT: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Stamped<'a> {
    time_unix_s: u64,
    #[serde(flatten)]
    change: &'a Change,
}

/// Tells until nobody reads any more, or a signal ends it.
pub(super) fn tell(seen: &mut Seen, answers: &Answers, json: bool) -> u8 {
    let mut told = Told::default();
    loop {
        for (change, sentence) in told.news(seen, json) {
            if write(&change, &sentence, json).is_err() {
                return exit::OK;
            }
        }
        if let Some(answer) = answers.wait(WAIT) {
            seen.hear(answer, time::now_unix_s());
        }
    }
}

fn write(change: &Change, sentence: &str, json: bool) -> io::Result<()> {
    let time_unix_s = time::now_unix_s();
    let line = if json {
        serde_json::to_string(&Stamped { time_unix_s, change })?
    } else {
        format!("{}  {}", time::utc(time_unix_s), text::clean(sentence))
    };
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
