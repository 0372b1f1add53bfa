//! One line of the log, made harmless: whatever a center, a script or a file name has put into it moves no terminal and fills no disk.

use std::fmt;

use keros_protocol::limits::shorten;
use keros_protocol::text::printable;
use tracing::field::{Field, Value, Visit};
use tracing::{Event, Metadata};

/// Kept of a message, bytes: a refusal with its first findings.
const MAX_MESSAGE_BYTES: usize = 4096;
/// Kept of any other field, bytes.
const MAX_FIELD_BYTES: usize = 1024;
/// More than any line has; the language allows no more at one place.
const MAX_FIELDS: usize = 32;

/// The name of the message among the fields.
const MESSAGE: &str = "message";

/// The fields of a line.
#[derive(Debug, Default)]
pub(super) struct Line {
    fields: Vec<(Field, String)>,
}

impl Line {
    /// What an event says, made harmless.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut line = Self::default();
        event.record(&mut line);
        line
    }

    /// The same as an event again, for the journal's layer.
    pub(super) fn with_event(&self, metadata: &'static Metadata<'static>, take: impl FnOnce(&Event<'_>)) {
        let Some((first, _)) = self.fields.first() else { return };
        let pairs: [(&Field, Option<&dyn Value>); MAX_FIELDS] =
            std::array::from_fn(|at| match self.fields.get(at) {
                Some((field, text)) => (field, Some(text as &dyn Value)),
                None => (first, None),
            });
        take(&Event::new(metadata, &metadata.fields().value_set(&pairs)));
    }

    /// The message, and the fields behind it.
    pub(super) fn text(&self) -> String {
        let is_message = |field: &Field| field.name() == MESSAGE;
        let message = self.fields.iter().find(|(field, _)| is_message(field));
        let mut text = message.map(|(_, text)| text.clone()).unwrap_or_default();
        for (field, value) in self.fields.iter().filter(|(field, _)| !is_message(field)) {
            let name = match field.name() {
                // The second name of the job's id, and what only the journal's catalog knows.
                "KEROS_COMMAND_ID" | "MESSAGE_ID" => continue,
                "KEROS_JOB_ID" => "job",
                "KEROS_UPDATE_ID" => "update",
                other => other,
            };
            text.push_str(&format!(" {name}={value}"));
        }
        text
    }

    fn put(&mut self, field: &Field, value: &str) {
        let max_bytes = if field.name() == MESSAGE { MAX_MESSAGE_BYTES } else { MAX_FIELD_BYTES };
        // Escapes make it longer: what is short enough before may not be so after.
        let value = shorten(&printable(&shorten(value, max_bytes)), max_bytes);
        self.fields.push((field.clone(), value));
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, SubscriberExt as _};
    use tracing_subscriber::{Layer, Registry};

    use super::*;

    /// Keeps each line as text: as it came, and as it comes out of the event that is made for the journal.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<(String, String)>>>);

    impl Layer<Registry> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
            let line = Line::of(event);
            line.with_event(event.metadata(), |again| {
                self.0.lock().unwrap().push((line.text(), Line::of(again).text()));
            });
        }
    }

    fn told(what: impl FnOnce()) -> String {
        let kept = Kept::default();
        tracing::subscriber::with_default(Registry::default().with(kept.clone()), what);
        let lines = kept.0.lock().unwrap();
        let [(text, again)] = &lines[..] else { panic!("one line: {lines:?}") };
        assert_eq!(text, again, "the journal gets the same");
        text.clone()
    }

    #[test]
    fn what_others_say_moves_no_terminal_and_stays_one_line() {
        let text = told(|| tracing::warn!(path = "a\x1b[2Jb", "two\nlines \u{202e}"));
        assert_eq!(text, "two\\nlines \\u{202e} path=a\\u{1b}[2Jb");
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = told(|| tracing::warn!(detail = "\x1b".repeat(100_000), "{}", "\n".repeat(100_000)));
        assert!(text.len() <= MAX_MESSAGE_BYTES + MAX_FIELD_BYTES + " detail=".len(), "{}", text.len());
    }

    #[test]
    fn a_job_is_named_in_the_text_too() {
        let id: keros_protocol::CommandId =
            serde_json::from_str("\"00000000-0000-0000-0000-000000000007\"").unwrap();
        let text = told(|| crate::log::tell_of(crate::Named::JobStarted, id, &"job started"));
        assert_eq!(text, "job started job=00000000-0000-0000-0000-000000000007");
        let text = told(|| crate::log::tell(crate::Named::LinkUp, &"connected"));
        assert_eq!(text, "connected");
    }
}
