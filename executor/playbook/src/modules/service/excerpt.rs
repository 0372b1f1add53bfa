//! What a unit that does not start has said: its last lines in the journal go into the report, so that nobody has to drive to the gateway
//! to read them.

use std::time::{Duration, Instant};

use keros_protocol::text::printable_lines;

use super::{Failure, Run, SUFFIX};
use crate::modules::tool::Call;

/// Lines at most.
const MAX_LINES: usize = 20;
/// Bytes at most; the newest lines stay.
const MAX_BYTES: usize = 4096;
/// The journal's own time: it may be on a slow flash, and a failed task must still end.
const LIMIT: Duration = Duration::from_secs(10);

/// Adds the last lines of a unit to the failure of starting it. Secrets of the script are hidden in them as in all output.
pub(super) fn add(mut failure: Failure, service: &str, run: &mut Run<'_>) -> Failure {
    // In a tree it would be the journal of another machine.
    if run.dry_run || failure.timed_out || run.output_bytes == 0 || !run.system.is_this_machine() {
        return failure;
    }
    let unit = if service.contains('.') { service.to_owned() } else { format!("{service}{SUFFIX}") };
    let Some(lines) = lines(&unit, run) else { return failure };
    let text = bounded(&lines, MAX_BYTES.min(run.output_bytes));
    if text.is_empty() {
        return failure;
    }
    let output = failure.output.get_or_insert_default();
    // What the tool itself said is a few lines; where it was cut, its end comes first.
    let end = if output.omitted_bytes == 0 { &mut output.head } else { &mut output.tail };
    if !end.is_empty() && !end.ends_with('\n') {
        end.push('\n');
    }
    end.push_str(&format!("the last lines of {unit} in the journal:\n{text}"));
    failure
}

/// The journal is asked to take what it has not yet, then for the lines. A tool that is not there, or takes too long, gives none.
fn lines(unit: &str, run: &mut Run<'_>) -> Option<String> {
    let (deadline, output_bytes) = (run.deadline, run.output_bytes);
    run.deadline = deadline.min(Instant::now() + LIMIT);
    let found = journal(unit, run);
    (run.deadline, run.output_bytes) = (deadline, output_bytes);
    found
}

#[cfg(not(feature = "libsystemd"))]
fn journal(unit: &str, run: &mut Run<'_>) -> Option<String> {
    sync(run);
    let count = MAX_LINES.to_string();
    let arguments = ["-b", "-u", unit, "-n", &count, "-o", "short-iso", "--no-pager", "-q", "--all"];
    let end = Call { name: "journalctl", arguments: &arguments, ..Call::default() }.ask(run).ok()?;
    (end.exit_code == 0).then(|| end.output.to_string())
}

#[cfg(feature = "libsystemd")]
fn journal(unit: &str, run: &mut Run<'_>) -> Option<String> {
    use keros_service::journal::{Query, Reader};
    sync(run);
    let mut reader = Reader::open(&Query::of_unit(unit, MAX_LINES)).ok()?;
    let mut text = String::new();
    while let Ok(Some(entry)) = reader.next_entry() {
        let program = entry.program.as_deref().unwrap_or("?");
        text.push_str(&format!("@{} {program}: {}\n", entry.unix_us / 1_000_000, entry.message));
    }
    Some(text)
}

/// What a program said just before its end may still be on its way.
fn sync(run: &mut Run<'_>) {
    let _ = Call { name: "journalctl", arguments: &["--sync"], ..Call::default() }.ask(run);
}

/// The newest lines that there is room for, without anything that steers a terminal.
fn bounded(text: &str, max_bytes: usize) -> String {
    let lines: Vec<String> = printable_lines(text).collect();
    let mut room = max_bytes;
    let fits = |line: &&String| {
        let fits = line.len() < room;
        room = room.saturating_sub(line.len() + 1);
        fits
    };
    let mut kept: Vec<&String> = lines.iter().rev().take(MAX_LINES).take_while(fits).collect();
    kept.reverse();
    kept.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay_and_move_no_terminal() {
        let text: String = (0..100).map(|number| format!("{number} \x1b[2J\n")).collect();
        let kept = bounded(&text, MAX_BYTES);
        assert_eq!(kept.lines().count(), MAX_LINES);
        assert!(kept.ends_with("99 \\u{1b}[2J\n") && !kept.contains('\x1b'), "{kept}");
        assert!(bounded(&"x".repeat(100_000), MAX_BYTES).is_empty(), "a line that has no room is not cut");
        assert!(bounded(&format!("{}\nshort\n", "x".repeat(5000)), MAX_BYTES) == "short\n");
    }
}
