//! Draws what has changed since it was last drawn, and ends when it is told to.

use std::fmt::Write as _;
use std::time::Duration;

use super::ask::Answers;
use super::frame::{Line, Size, Tone, frame};
use super::terminal::{self, Happened, Terminal};
use super::{Failure, Seen};
use crate::cli::{exit, time};

/// A new answer, or a new second, is shown after so long at most.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows until a key or a signal ends it.
pub(super) fn show(seen: &mut Seen, answers: &Answers) -> Result<u8, Failure> {
    let mut terminal = Terminal::enter().map_err(Failure::Terminal)?;
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut drawn = Drawn::default();
    loop {
        while let Some(answer) = answers.take() {
            seen.hear(answer, time::now_unix_s());
        }
        let size = Terminal::size();
        let bytes = drawn.draw(frame(seen, time::now_unix_s(), size), size, has_colours);
        if !bytes.is_empty() && terminal::write(bytes.as_bytes()).is_err() {
            return Ok(exit::OK);
        }
        match terminal.wait(LOOK_EVERY) {
            Happened::Nothing => {}
            Happened::Redraw => drawn = Drawn::default(),
            Happened::End => return Ok(exit::OK),
        }
    }
}

/// What the terminal shows.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    size: Option<Size>,
    lines: Vec<Line>,
}

impl Drawn {
    /// What must be sent so that it shows these lines: those that have changed.
    pub(super) fn draw(&mut self, lines: Vec<Line>, size: Size, has_colours: bool) -> String {
        let mut text = String::new();
        if self.size != Some(size) {
            self.lines.clear();
            self.size = Some(size);
            text.push_str("\x1b[0m\x1b[2J");
        }
        for (row, line) in lines.iter().enumerate() {
            if self.lines.get(row) == Some(line) {
                continue;
            }
            let colour = colour(line.tone).filter(|_| has_colours);
            let (begin, end) = colour.map_or(("", ""), |colour| (colour, "\x1b[0m"));
            // Writing to a text does not fail.
            let _ = write!(text, "\x1b[{};1H{begin}{}{end}", row + 1, line.text);
            // Behind a line that is as wide as the screen, its last character would go.
            if line.text.chars().count() < size.columns {
                text.push_str("\x1b[K");
            }
        }
        self.lines = lines;
        text
    }
}

const fn colour(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Title => Some("\x1b[1m"),
        Tone::Good => Some("\x1b[32m"),
        Tone::Busy => Some("\x1b[33m"),
        Tone::Bad => Some("\x1b[31m"),
        Tone::Dim => Some("\x1b[2m"),
    }
}
