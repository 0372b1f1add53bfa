//! How far a transfer is, in one line of a terminal that is written over.

use std::io::{self, IsTerminal as _, Read, Write as _};

/// Counts the bytes of a transfer. Nothing is shown where no terminal is, nor for what takes no time.
pub(super) struct Progress {
    what: &'static str,
    total_bytes: u64,
    done_bytes: u64,
    shown_percent: Option<u64>,
    is_shown: bool,
}

/// Less is there before anybody can read a number.
const MIN_SHOWN_BYTES: u64 = 1024 * 1024;

impl Progress {
    pub(super) fn new(what: &'static str, total_bytes: u64) -> Self {
        let is_shown = total_bytes >= MIN_SHOWN_BYTES && io::stderr().is_terminal();
        Self { what, total_bytes, done_bytes: 0, shown_percent: None, is_shown }
    }

    /// Counts what is read.
    pub(super) fn watch<R: Read>(&mut self, inner: R) -> Watched<'_, R> {
        Watched { inner, progress: self }
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if self.shown_percent.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn add(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        let percent = self.done_bytes.saturating_mul(100) / self.total_bytes.max(1);
        if self.is_shown && self.shown_percent != Some(percent) {
            self.shown_percent = Some(percent);
            let _ = write!(io::stderr(), "\r{}", self.line());
        }
    }

    fn line(&self) -> String {
        let mib = |bytes: u64| bytes / (1024 * 1024);
        let percent = self.done_bytes.saturating_mul(100) / self.total_bytes.max(1);
        format!("{}: {} of {} MiB, {percent} %", self.what, mib(self.done_bytes), mib(self.total_bytes))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// A reader whose bytes are counted.
pub(super) struct Watched<'a, R> {
    inner: R,
    progress: &'a mut Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let mut progress = Progress::new("uploading", 10 * 1024 * 1024);
        io::copy(&mut progress.watch(io::repeat(0).take(5 * 1024 * 1024)), &mut io::sink()).unwrap();
        assert_eq!(progress.line(), "uploading: 5 of 10 MiB, 50 %");
    }
}
