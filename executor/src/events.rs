//! Writes events, one JSON object a line, to whoever listens; and goes quiet when nobody does.

use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};

use keros_protocol::executor::Event;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where events go. A reader that went away is no error: the journal is the truth, this is only the fast path.
pub(crate) struct EventSink {
    out: Box<dyn Write + Send>,
    closed: bool,
    /// The same pipe or socket, to ask whether its other end is still there.
    pipe: Option<OwnedFd>,
}

impl EventSink {
    /// To a writer of which nothing is known.
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, closed: false, pipe: None }
    }

    /// To the standard output.
    pub(crate) fn standard_output() -> Self {
        let pipe = io::stdout().as_fd().try_clone_to_owned().ok();
        Self { pipe, ..Self::new(Box::new(io::stdout())) }
    }

    /// Whether the reader is gone. Without asking, whoever follows a job that is silent for hours would not notice.
    pub(crate) fn is_closed(&mut self) -> bool {
        if let (false, Some(pipe)) = (self.closed, &self.pipe) {
            let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
            let answered = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0);
            let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
            self.closed = answered && fds[0].revents().is_some_and(|events| events.intersects(gone));
        }
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
