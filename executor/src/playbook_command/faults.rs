//! What is wrong with a script, as a person reads it and as events tell it.

use std::fmt::Write as _;

use keros_playbook::Diagnostic;
use keros_protocol::executor::Event;
use keros_protocol::text::printable;

use super::source::line;
use super::style::plural;

/// Characters of a line that are shown.
const SHOWN_CHARS: usize = 120;
/// Characters shown before the place, when that is further to the right.
const BEFORE_CHARS: usize = 60;

/// All findings, each with its line of the text, a mark below it, and what was probably meant.
pub(super) fn describe(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        let place = place(&finding.file, finding.line, finding.column);
        let _ = writeln!(text, "{place}: {}", printable(&finding.message));
        if let Some(line) = line(&finding.file, finding.line) {
            text.push_str(&marked(&line, finding.line, finding.column));
        }
        if let Some(suggestion) = &finding.suggestion {
            let _ = writeln!(text, "      = {}", printable(suggestion));
        }
    }
    text
}

/// How many faults there are.
pub(super) fn count(findings: &[Diagnostic]) -> String {
    plural(u32::try_from(findings.len()).unwrap_or(u32::MAX), "fault")
}

/// The same as an event.
pub(super) fn event(finding: Diagnostic) -> Event {
    let Diagnostic { kind, file, line, column, message, suggestion } = finding;
    Event::Finding { kind, file, line, column, message, suggestion }
}

fn place(file: &str, line: u32, column: u32) -> String {
    let mut place = printable(file);
    for number in [line, column].into_iter().take_while(|number| *number > 0) {
        let _ = write!(place, ":{number}");
    }
    place
}

/// A line of the text, and a mark below the column. What cannot be printed is shown as an escape, which moves the mark.
fn marked(line: &str, number: u32, column: u32) -> String {
    let column = column as usize;
    let left_out = if column > SHOWN_CHARS { column - BEFORE_CHARS } else { 0 };
    let from: String = line.chars().skip(left_out).take(SHOWN_CHARS).collect();
    let more = if left_out > 0 { "…" } else { "" };
    let mut text = format!("{number:>5} | {more}{}\n", printable(&from));
    if column > 0 {
        let before: String = from.chars().take(column - 1 - left_out).collect();
        let width = printable(&before).chars().count() + more.chars().count();
        let _ = writeln!(text, "      | {}^", " ".repeat(width));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_below_the_place_also_after_escapes_and_far_to_the_right() {
        assert_eq!(marked("a: b", 3, 4), "    3 | a: b\n      |    ^\n");
        assert_eq!(marked("a:\tb", 3, 4), "    3 | a:\\tb\n      |     ^\n");
        let long = format!("{}x", " ".repeat(199));
        let shown = marked(&long, 12, 200);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].ends_with('x') && lines[0].chars().count() < 80, "{shown}");
        assert_eq!(lines[0].chars().count(), lines[1].chars().count(), "{shown}");
    }

    #[test]
    fn a_place_has_what_is_known() {
        assert_eq!(place("a\x1b.yml", 3, 4), "a\\u{1b}.yml:3:4");
        assert_eq!(place("a.yml", 0, 0), "a.yml");
        assert_eq!(place("a.yml", 2, 0), "a.yml:2");
    }
}
