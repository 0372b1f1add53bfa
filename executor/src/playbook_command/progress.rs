//! On a terminal, a last line that says which task is under way and for how long. It is only ever a visitor: whatever is
//! printed takes its place first.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keros_protocol::TaskRef;
use keros_protocol::text::printable;

/// Nothing is shown of a task that takes less.
const INTERVAL: Duration = Duration::from_secs(1);
/// Clears the line.
const CLEAR: &str = "\r\u{1b}[2K";

/// The line, and the thread that keeps it up to date.
pub(super) struct Progress {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    under_way: Option<(TaskRef, Instant)>,
    is_drawn: bool,
    is_over: bool,
}

impl Progress {
    /// Begins; without a thread there is just no such line.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || theirs.tick());
        Self { shared, thread: thread.ok() }
    }

    /// This task is under way.
    pub(super) fn begin(&self, task: &TaskRef) {
        self.shared.lock().under_way = Some((task.clone(), Instant::now()));
        self.shared.changed.notify_one();
    }

    /// No task is.
    pub(super) fn end(&self) {
        self.shared.lock().under_way = None;
    }

    /// Prints a text of whole lines in the place of the line.
    pub(super) fn print(&self, text: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        let mut out = io::stdout().lock();
        if std::mem::take(&mut state.is_drawn) {
            out.write_all(CLEAR.as_bytes())?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut state = self.lock();
        while !state.is_over {
            let waited = self.changed.wait_timeout(state, INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let State { under_way, is_drawn, is_over } = &mut *state;
            let line = under_way.as_ref().and_then(|(task, since)| line(task, since.elapsed()));
            if let Some(line) = line.filter(|_| !*is_over) {
                let mut out = io::stdout().lock();
                // A terminal that went away is noticed by whoever prints an event.
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
                *is_drawn = true;
            }
        }
    }
}

/// The line is cut where the terminal ends: it must not wrap.
fn line(task: &TaskRef, elapsed: Duration) -> Option<String> {
    let TaskRef { number, count, name } = task;
    let name = printable(name);
    let text = format!("{CLEAR}\u{1b}[?7l[{number}/{count}] {name} … {} s\u{1b}[?7h", elapsed.as_secs());
    (elapsed >= INTERVAL).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_after_a_second_and_steers_nothing() {
        let task = TaskRef { number: 12, count: 30, name: "wait\n\x1b[2J".to_owned() };
        assert_eq!(line(&task, Duration::from_millis(900)), None);
        let shown = line(&task, Duration::from_millis(3200)).unwrap();
        assert!(shown.contains("[12/30] wait\\n\\u{1b}[2J … 3 s"), "{shown:?}");
    }
}
