//! Writes events, one JSON object a line, to whoever listens; and goes quiet when nobody does.

use std::io::Write;

use keros_protocol::executor::Event;

/// Where events go. A reader that went away is no error: the journal is the truth, this is only the fast path.
pub(crate) struct EventSink {
    out: Box<dyn Write + Send>,
    closed: bool,
}

impl EventSink {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, closed: false }
    }

    /// Whether the reader is known to be gone.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends one event.
    pub(crate) fn send(&mut self, event: &Event) {
        if let Ok(json) = serde_json::to_string(event) {
            self.send_json(&json);
        }
    }

    /// Sends one event that is JSON already. It may block as long as the reader does not read.
    pub(crate) fn send_json(&mut self, json: &str) {
        if !self.closed {
            let written = writeln!(self.out, "{json}").and_then(|()| self.out.flush());
            self.closed = written.is_err();
        }
    }
}
