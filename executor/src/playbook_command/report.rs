//! A run as a person reads it: a line or more for each task, and a summary.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Instant;

use keros_playbook::Observer;
use keros_protocol::executor::{Change, Event, TaskResult, TaskStatus};
use keros_protocol::text::{printable, printable_lines};
use keros_protocol::{Outcome, Summary, TaskRef};

use crate::differences::{describe, shown};

use super::progress::Progress;
use super::style::{Style, plural};

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const FAINT: &str = "2";

/// A task that takes less is not told how long it took.
const WORTH_TELLING_MS: u64 = 1000;

/// Prints what happens.
pub(super) struct Report {
    style: Style,
    dry_run: bool,
    /// The script, as the user named it.
    file: String,
    began: Instant,
    /// Where the last task stands that began.
    place: Option<String>,
    progress: Option<Progress>,
}

impl Report {
    pub(super) fn new(style: Style, dry_run: bool, file: String) -> Self {
        let progress = style.is_terminal.then(Progress::start);
        Self { style, dry_run, file, began: Instant::now(), place: None, progress }
    }

    /// Prints a text of whole lines.
    pub(super) fn print(&self, text: &str) -> io::Result<()> {
        if let Some(progress) = &self.progress {
            return progress.print(text);
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The last lines: how many tasks ended how, how long it all took, how it ended, and where.
    pub(super) fn end(&self, outcome: &Outcome) -> io::Result<()> {
        let (summary, colour) = match outcome {
            Outcome::Succeeded { summary, .. } => (*summary, GREEN),
            Outcome::Failed { summary, .. }
            | Outcome::TimedOut { summary, .. }
            | Outcome::Cancelled { summary, .. } => (*summary, RED),
            _ => (Summary::default(), RED),
        };
        let took = self.began.elapsed().as_secs_f64();
        let mut text = format!("\n{} in {took:.1} s | {summary}\n", plural(summary.total(), "task"));
        let dry = if self.dry_run { " (dry run: nothing was changed)" } else { "" };
        let _ = writeln!(text, "{}{dry}", self.style.paint(&printable(&outcome.to_string()), colour));
        if let (Some(place), Some(_)) = (&self.place, failed_task(outcome)) {
            let _ = writeln!(text, "    at {place}");
        }
        if let Outcome::Failed { task: None, message, .. } = outcome {
            text.push_str(&indented(message));
        }
        self.print(&text)
    }

    fn began(&mut self, task: &TaskRef, file: Option<&str>, line: u32) {
        self.place = Some(format!("{}:{line}", printable(file.unwrap_or(&self.file))));
        if let Some(progress) = &self.progress {
            progress.begin(task);
        }
    }

    fn ended(
        &self,
        task: &TaskRef,
        result: &TaskResult,
        notified: &[String],
        duration_ms: u64,
    ) -> io::Result<()> {
        if let Some(progress) = &self.progress {
            progress.end();
        }
        let TaskRef { number, count, name } = task;
        let mut text = self.lines(&format!("{number}/{count} {}", printable(name)), result, duration_ms);
        for event in notified {
            let _ = writeln!(text, "    notified: {}", printable(event));
        }
        self.print(&text)
    }

    /// A task or an item: its name must be printable already.
    fn lines(&self, name: &str, result: &TaskResult, duration_ms: u64) -> String {
        let (mark, colour) = match result.status {
            TaskStatus::Failed => ("!", RED),
            TaskStatus::Ignored => ("!", YELLOW),
            TaskStatus::Matched | TaskStatus::Passive => ("·", FAINT),
            TaskStatus::Skipped => ("-", FAINT),
            _ => ("✓", GREEN),
        };
        let would = if self.dry_run && result.status.is_change() { "would be " } else { "" };
        let mut text =
            format!("{} {name}: {would}{}", self.style.paint(mark, colour), result.status.as_str());
        text.push_str(&effort(result.attempts, duration_ms));
        text.push('\n');
        for change in &result.changes {
            let _ = writeln!(text, "    {}", describe(change));
            text.push_str(&self.diff(change));
        }
        if let Some(message) = &result.message {
            text.push_str(&indented(message));
        }
        let is_failure = matches!(result.status, TaskStatus::Failed | TaskStatus::Ignored);
        if let Some(output) = result.output.as_ref().filter(|_| is_failure) {
            text.push_str(&indented(&output.to_string()));
        }
        text
    }

    fn diff(&self, change: &Change) -> String {
        let mut text = String::new();
        for line in printable_lines(change.diff.as_deref().unwrap_or_default()) {
            let shown = match line.as_bytes().first() {
                Some(b'+') => self.style.paint(&line, GREEN),
                Some(b'-') => self.style.paint(&line, RED),
                Some(b'@') => self.style.paint(&line, CYAN),
                _ => line,
            };
            let _ = writeln!(text, "      {shown}");
        }
        text
    }
}

impl Observer for Report {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TaskStarted { task, file, line, .. } => {
                self.began(task, file.as_deref(), *line);
                Ok(())
            }
            Event::ItemEnded { task, item, result, duration_ms, .. } => {
                let name = format!("{} [{}]", printable(&task.name), shown(item));
                // Of a failure the task tells the rest.
                let bare = TaskResult::of(TaskStatus::Failed);
                let result = if result.status == TaskStatus::Failed { &bare } else { result };
                self.print(&self.lines(&name, result, duration_ms.unwrap_or(0)))
            }
            Event::Retrying { left, delay_s, message, .. } => {
                let again = format!("    again in {delay_s} s, {left} left after that\n");
                self.print(&(indented(message) + &again))
            }
            Event::TaskEnded { task, result, notified, duration_ms } => {
                self.ended(task, result, notified, *duration_ms)
            }
            _ => Ok(()),
        }
    }
}

/// What a task cost, when that is worth a word.
fn effort(attempts: Option<u32>, duration_ms: u64) -> String {
    let attempts = attempts.map(|attempts| format!("{attempts} attempts"));
    let tenths = duration_ms / 100;
    let took = (duration_ms >= WORTH_TELLING_MS).then(|| format!("{}.{} s", tenths / 10, tenths % 10));
    let words: Vec<String> = attempts.into_iter().chain(took).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// The task that an outcome blames.
const fn failed_task(outcome: &Outcome) -> Option<&TaskRef> {
    match outcome {
        Outcome::Failed { task, .. } | Outcome::TimedOut { task, .. } | Outcome::Cancelled { task, .. } => {
            task.as_ref()
        }
        _ => None,
    }
}

fn indented(text: &str) -> String {
    printable_lines(text).map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(has_colours: bool) -> Report {
        Report::new(Style { is_terminal: false, has_colours }, true, "x.yml".to_owned())
    }

    fn changed(diff: Option<&str>) -> TaskResult {
        let change = Change {
            property: "content".to_owned(),
            before: Some("a\x1b[2J".to_owned()),
            after: Some("b\n".to_owned()),
            diff: diff.map(str::to_owned),
        };
        TaskResult { changes: vec![change], attempts: Some(2), ..TaskResult::of(TaskStatus::Modified) }
    }

    #[test]
    fn what_a_script_names_cannot_draw_on_the_screen() {
        let text = report(false).lines("n", &changed(None), 12_345);
        assert_eq!(
            text,
            "✓ n: would be modified (2 attempts, 12.3 s)\n    content: \"a\\u{1b}[2J\" -> \"b\\n\"\n"
        );
        assert_eq!(shown(&serde_json::json!("a\u{202e}b")), "a\\u{202e}b");
        assert_eq!(indented("a\tb\x08\nc"), "    a\tb\\u{8}\n    c\n");
    }

    #[test]
    fn a_diff_is_shown_line_by_line_in_colours() {
        let diff = Some("@@ -1 +1 @@\n-a\n+b\n c\n");
        let text = report(false).lines("n", &changed(diff), 12);
        assert!(text.ends_with("    content:\n      @@ -1 +1 @@\n      -a\n      +b\n       c\n"), "{text}");
        let text = report(true).lines("n", &changed(diff), 12);
        assert!(text.contains("\n      \x1b[31m-a\x1b[0m\n      \x1b[32m+b\x1b[0m\n       c\n"), "{text:?}");
    }
}
