//! Ends a run from outside: by a signal, or by another thread.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Asks a run to end: the program under way is ended with its process group, and no other change is begun. A pipe, so that
/// whoever waits for a program can wait for this as well, and a signal handler may ask.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<(PipeReader, PipeWriter)>);

impl Cancel {
    /// Nobody has asked yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        io::pipe().map(|ends| Self(Arc::new(ends)))
    }

    /// Asks. There is no way back.
    pub fn ask(&self) {
        // A pipe that cannot take one more byte holds one already.
        let _ = (&self.0.1).write_all(b"c");
    }

    /// One byte written here asks as well.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn writer(&self) -> io::Result<OwnedFd> {
        self.0.1.as_fd().try_clone_to_owned()
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits, at most so long, until somebody asks.
    #[must_use]
    pub fn wait(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            // One millisecond more: a rest of less would be no wait at all, again and again.
            let left = until.saturating_duration_since(Instant::now());
            let left_ms = if left.is_zero() { 0 } else { left.as_millis().min(3_600_000) + 1 };
            let timeout = PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX);
            let mut watched = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            if poll(&mut watched, timeout).is_ok_and(|ready| ready > 0) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }
}

/// Readable from the moment on when somebody has asked.
impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_asked_it_stays_asked_and_waits_no_more() {
        let cancel = Cancel::new().unwrap();
        assert!(!cancel.is_asked());
        assert!(!cancel.wait(Duration::from_millis(5)));
        let other = cancel.clone();
        let thread = std::thread::spawn(move || other.ask());
        assert!(cancel.wait(Duration::from_secs(60)));
        assert!(cancel.is_asked() && cancel.is_asked());
        thread.join().unwrap();
    }
}
