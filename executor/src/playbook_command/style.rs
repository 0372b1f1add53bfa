//! Colours and small words. Colours are only for terminals, and not where NO_COLOR is set.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};

/// How text is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Something that can rewrite its last line.
    pub(super) is_terminal: bool,
    /// With colours.
    pub(super) has_colours: bool,
}

impl Style {
    /// What the standard output is good for.
    pub(super) fn of_standard_output() -> Self {
        let says = |name| std::env::var_os(name).unwrap_or_default();
        let is_terminal = io::stdout().is_terminal() && says("TERM") != OsStr::new("dumb");
        Self { is_terminal, has_colours: is_terminal && says("NO_COLOR").is_empty() }
    }

    /// A text in a colour; the number is one of the terminal's (SGR).
    pub(super) fn paint(self, text: &str, colour: &str) -> String {
        if self.has_colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// `1 task`, `2 tasks`.
pub(super) fn plural(count: u32, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
