//! Looks for a cancellation while tasks run: first they are asked to stop after the one under way, then that one is ended.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keros_playbook::Cancel;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(250);

/// A thread that looks. It ends when this is dropped.
pub(crate) struct Watch {
    /// Nothing is ever sent: it is noticed when this end is gone.
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Asks `stop` when `is_cancelled` says so, and `cancel` when `grace` is over. Without a thread a job cannot be cancelled,
    /// and runs all the same.
    pub(crate) fn begin(
        mut is_cancelled: Box<dyn FnMut() -> bool + Send>,
        grace: Duration,
        stop: Cancel,
        cancel: Cancel,
    ) -> Self {
        let (end, ended) = sync_channel(0);
        let body = move || {
            let mut asked_at: Option<Instant> = None;
            loop {
                match asked_at {
                    None if is_cancelled() => {
                        stop.ask();
                        asked_at = Some(Instant::now());
                    }
                    Some(moment) if moment.elapsed() >= grace => return cancel.ask(),
                    _ => {}
                }
                if ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(body).ok();
        Self { end: Some(end), thread }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Cancel, Cancel) {
        (Cancel::new().unwrap(), Cancel::new().unwrap())
    }

    #[test]
    fn a_cancellation_stops_first_and_ends_after_the_grace() {
        let (stop, cancel) = pair();
        let _watch = Watch::begin(Box::new(|| true), Duration::from_millis(1), stop.clone(), cancel.clone());
        assert!(stop.wait(Duration::from_secs(60)));
        assert!(cancel.wait(Duration::from_secs(60)));
    }

    #[test]
    fn without_a_cancellation_nothing_is_asked() {
        let (stop, cancel) = pair();
        drop(Watch::begin(Box::new(|| false), Duration::ZERO, stop.clone(), cancel.clone()));
        assert!(!stop.is_asked() && !cancel.is_asked());
    }
}
