//! What a person reads. Pure: views and the time in, text out. Whatever came from elsewhere (errors, names, a program's
//! output) has its control characters escaped, so that it cannot play with the terminal.

mod job;
mod status;
#[cfg(test)]
pub(super) mod tests;

pub(super) use job::{job, jobs, named, short_id};
pub(super) use status::status;

use keros_protocol::UnixSeconds;
use keros_protocol::text::printable;

use super::time::utc_and_distance;
use crate::local::TelemetryAnswer;

/// Width of the labels on the left.
const LABEL_CHARS: usize = 12;

/// A terminal's usual width.
const LINE_CHARS: usize = 80;

/// The answer to `telemetry --now`.
pub(super) fn telemetry(answer: &TelemetryAnswer, now_unix_s: UnixSeconds) -> String {
    match answer {
        TelemetryAnswer::Due { at_unix_s } => {
            format!("Telemetry is sent at {}.\n", utc_and_distance(*at_unix_s, now_unix_s))
        }
        TelemetryAnswer::WhenConnected {} => {
            "There is no connection to the broker now. Telemetry is sent as soon as there is one.\n\
             See why: keros-agent status\n"
                .to_owned()
        }
        TelemetryAnswer::TooSoon { retry_after_s } => {
            format!("Telemetry was sent a short time ago. Ask again in {retry_after_s} s.\n")
        }
    }
}

/// Lines with a label in front of the first of each group.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    /// A line of at most the terminal's width; what is longer is cut.
    fn line(&mut self, label: &str, text: &str) {
        let line = format!("{label:LABEL_CHARS$}{}", clean(text));
        self.push(cut(&line, LINE_CHARS).trim_end());
    }

    /// Text without a label, in at most so many lines of the terminal's width; the rest is cut.
    fn paragraph(&mut self, text: &str, max_lines: usize) {
        let width = LINE_CHARS - LABEL_CHARS;
        let text = cut(&clean(text), width * max_lines);
        for line in text.chars().collect::<Vec<_>>().chunks(width) {
            self.line("", &line.iter().collect::<String>());
        }
    }

    /// A line behind so many blanks, cut to the terminal's width.
    fn line_from(&mut self, indent_chars: usize, text: &str) {
        let line = format!("{:indent_chars$}{}", "", clean(text));
        self.push(cut(&line, LINE_CHARS).trim_end());
    }

    /// Text of any length, on as many lines as it takes: nothing of it may be lost.
    fn long_line(&mut self, label: &str, text: &str) {
        let mut label = label;
        for part in wrap(&clean(text), LABEL_CHARS) {
            self.push(format!("{label:LABEL_CHARS$}{part}").trim_end());
            label = "";
        }
    }

    fn blank(&mut self) {
        self.push("");
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// One line: what would steer the terminal is shown as an escape.
pub(super) fn clean(text: &str) -> String {
    printable(&text.replace(['\n', '\t', '\r'], " "))
}

/// In lines of a terminal's width behind an indentation, cut between words where that can be.
pub(super) fn wrap(text: &str, indent_chars: usize) -> Vec<String> {
    let width = LINE_CHARS - indent_chars;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        let length = word.chars().count();
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + length <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The first so many characters; a cut shows.
pub(super) fn cut(line: &str, max_chars: usize) -> String {
    if line.chars().count() <= max_chars {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(max_chars.saturating_sub(1)).collect();
    short.push('…');
    short
}
