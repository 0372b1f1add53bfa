//! How far reading and copying has come: one line that is drawn anew, on a terminal only.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);
const MIB: f64 = 1024.0 * 1024.0;

/// One line on standard error.
pub(super) struct Progress {
    what: &'static str,
    total_bytes: u64,
    is_shown: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(what: &'static str, total_bytes: u64, json: bool) -> Self {
        Self { what, total_bytes, is_shown: !json && std::io::stderr().is_terminal(), drawn: None }
    }

    /// So many bytes are done.
    pub(super) fn at(&mut self, bytes: u64) {
        if !self.is_shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let percent = bytes.saturating_mul(100).checked_div(self.total_bytes).unwrap_or(100);
        let (done, total) = (mebibytes(bytes), mebibytes(self.total_bytes));
        let line = format!("\r{}: {percent} %, {done} of {total} MiB\u{1b}[K", self.what);
        let mut output = std::io::stderr().lock();
        let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = std::io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MIB)
}
