//! What a dry run would change, in words and as unified diffs: it goes to the center with the report of its end.

use std::fmt::Write as _;
use std::io;

use keros_playbook::{Barrier, Observer};
use keros_protocol::executor::{Change, Event, TaskResult};
use keros_protocol::limits::MAX_DIFFERENCES_BYTES;
use keros_protocol::text::{printable, printable_lines};
use keros_protocol::{Outcome, Output, TaskRef};
use serde_json::Value;

/// An observer that writes down what each task would change. Nothing in it may differ between two machines on which the same would
/// happen: the center puts gateways together by this text.
pub(crate) struct Differences<'a> {
    observer: &'a mut dyn Observer,
    text: Output,
    /// The task whose items were heard of: its own end says nothing new.
    with_items: Option<u32>,
}

impl<'a> Differences<'a> {
    /// Hands every event on to `observer`.
    pub(crate) fn new(observer: &'a mut dyn Observer) -> Self {
        Self { observer, text: Output::default(), with_items: None }
    }

    /// The outcome, with what was written down if it is that of a dry run.
    pub(crate) fn tell(self, mut outcome: Outcome) -> Outcome {
        if let Outcome::Succeeded { dry_run: true, differences, .. } = &mut outcome
            && !self.text.head.is_empty()
        {
            *differences = Some(self.text);
        }
        outcome
    }

    fn note(&mut self, task: &TaskRef, item: Option<&Value>, result: &TaskResult) {
        if !result.status.is_change() {
            return;
        }
        let item = item.map(|item| format!(" [{}]", shown(item))).unwrap_or_default();
        let mut text =
            format!("{}{item}: would be {}\n", printable(&task.to_string()), result.status.as_str());
        for change in &result.changes {
            let _ = writeln!(text, "  {}", describe(change));
            for line in printable_lines(change.diff.as_deref().unwrap_or_default()) {
                let _ = writeln!(text, "    {line}");
            }
        }
        self.add(&text);
    }

    /// The beginning is kept: where two gateways differ only behind it, the number of bytes that are left out mostly says so.
    fn add(&mut self, text: &str) {
        let room = MAX_DIFFERENCES_BYTES - self.text.head.len();
        let full = self.text.omitted_bytes > 0;
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let kept = if full { "" } else { &text[..end] };
        self.text.head.push_str(kept);
        self.text.omitted_bytes += (text.len() - kept.len()) as u64;
    }
}

impl Observer for Differences<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::ItemEnded { task, item, result, .. } => {
                self.with_items = Some(task.number);
                self.note(task, Some(item), result);
            }
            Event::TaskEnded { task, result, .. } if self.with_items != Some(task.number) => {
                self.note(task, None, result);
            }
            _ => {}
        }
        self.observer.event(event)
    }

    fn barrier(&self) -> Option<Barrier> {
        self.observer.barrier()
    }
}

/// A changed property in one line; its diff comes below it.
pub(crate) fn describe(change: &Change) -> String {
    let property = printable(&change.property);
    // Quotes show blanks at the ends, and escape what must not reach a terminal.
    let quoted = |text: &Option<String>| text.as_ref().map(|text| format!("\"{}\"", printable(text)));
    match (quoted(&change.before), quoted(&change.after)) {
        _ if change.diff.is_some() => format!("{property}:"),
        (Some(before), Some(after)) => format!("{property}: {before} -> {after}"),
        (None, Some(after)) => format!("{property}: {after}"),
        (Some(before), None) => format!("{property}: was {before}"),
        (None, None) => property,
    }
}

/// An item of a loop in one line.
pub(crate) fn shown(item: &Value) -> String {
    printable(&item.as_str().map_or_else(|| item.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use keros_protocol::Summary;
    use keros_protocol::executor::TaskStatus;

    use super::*;

    struct Nobody;
    impl Observer for Nobody {
        fn event(&mut self, _: &Event) -> io::Result<()> {
            Ok(())
        }
    }

    fn task(number: u32) -> TaskRef {
        TaskRef { number, count: 3, name: "Write it".to_owned() }
    }

    fn result(status: TaskStatus, diff: Option<&str>) -> TaskResult {
        let mode = Change {
            property: "mode".to_owned(),
            before: Some("0600".to_owned()),
            after: Some("0644".to_owned()),
            diff: None,
        };
        let content = Change {
            property: "content".to_owned(),
            before: None,
            after: None,
            diff: diff.map(str::to_owned),
        };
        TaskResult { changes: vec![mode, content], ..TaskResult::of(status) }
    }

    fn ended(number: u32, status: TaskStatus, diff: Option<&str>) -> Event {
        Event::TaskEnded {
            task: task(number),
            result: result(status, diff),
            notified: Vec::new(),
            duration_ms: u64::from(number) * 1000,
        }
    }

    fn told(events: &[Event], dry_run: bool) -> Option<Output> {
        let mut nobody = Nobody;
        let mut differences = Differences::new(&mut nobody);
        for event in events {
            differences.event(event).unwrap();
        }
        let outcome = Outcome::Succeeded { summary: Summary::default(), dry_run, differences: None };
        let Outcome::Succeeded { differences, .. } = differences.tell(outcome) else { unreachable!() };
        differences
    }

    #[test]
    fn only_what_would_change_is_told_and_each_item_once() {
        let item = Event::ItemEnded {
            task: task(3),
            item_number: 1,
            item: Value::String("a\u{1b}".to_owned()),
            result: TaskResult::of(TaskStatus::Created),
            notified: None,
            duration_ms: None,
        };
        let events = [
            ended(1, TaskStatus::Matched, None),
            ended(2, TaskStatus::Modified, Some("@@ -1 +1 @@\n-a\n+b\n")),
            item,
            ended(3, TaskStatus::Created, None),
        ];
        let text = "task 2 of 3 (Write it): would be modified\n  mode: \"0600\" -> \"0644\"\n  content:\n    \
                    @@ -1 +1 @@\n    -a\n    +b\ntask 3 of 3 (Write it) [a\\u{1b}]: would be created\n";
        assert_eq!(told(&events, true).unwrap().to_string(), text);
        assert_eq!(told(&events, false), None, "what was done is told by its reports");
        assert_eq!(told(&events[..1], true), None);
    }

    #[test]
    fn a_long_text_ends_in_time_and_says_how_much_is_left_out() {
        let diff = "é".repeat(MAX_DIFFERENCES_BYTES);
        let output =
            told(&[ended(1, TaskStatus::Modified, Some(&diff)), ended(2, TaskStatus::Modified, None)], true);
        let output = output.unwrap();
        assert!(output.head.len() <= MAX_DIFFERENCES_BYTES && output.head.len() > MAX_DIFFERENCES_BYTES - 2);
        assert!(output.omitted_bytes > MAX_DIFFERENCES_BYTES as u64);
        assert!(!output.head.contains("task 2"), "nothing follows a gap");
    }
}
