//! Looks for a cancellation while tasks run: first they are asked to stop after the one under way, then that one is ended.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keros_playbook::{Barrier, Cancel, Observer};
use keros_protocol::executor::Event;

/// Whether the job is to end. Asked by the thread, and behind each task.
#[derive(Clone)]
pub(crate) struct Question(Arc<Mutex<Box<dyn FnMut() -> bool + Send>>>);

impl Question {
    pub(crate) fn new(is_cancelled: Box<dyn FnMut() -> bool + Send>) -> Self {
        Self(Arc::new(Mutex::new(is_cancelled)))
    }

    fn is_yes(&self) -> bool {
        let mut is_cancelled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        is_cancelled()
    }
}

/// An observer that looks behind each task too: between two looks of the thread many quick tasks would go on.
pub(crate) struct BehindTasks<'a> {
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) question: Question,
    pub(crate) stop: Cancel,
}

impl Observer for BehindTasks<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.observer.event(event)?;
        if matches!(event, Event::TaskEnded { .. }) && self.question.is_yes() {
            self.stop.ask();
        }
        Ok(())
    }

    fn barrier(&self) -> Option<Barrier> {
        self.observer.barrier()
    }
}

/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(250);

/// A thread that looks. It ends when this is dropped.
pub(crate) struct Watch {
    /// Nothing is ever sent: it is noticed when this end is gone.
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Asks `stop` when the question is answered with yes, and `cancel` when `grace` is over. Without a thread a job cannot be cancelled,
    /// and runs all the same.
    pub(crate) fn begin(question: Question, grace: Duration, stop: Cancel, cancel: Cancel) -> Self {
        let (end, ended) = sync_channel(0);
        let body = move || {
            let mut asked_at: Option<Instant> = None;
            loop {
                match asked_at {
                    None if question.is_yes() => {
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
    fn behind_a_task_it_is_looked_at_once() {
        use keros_protocol::TaskRef;
        use keros_protocol::executor::{TaskResult, TaskStatus};
        struct Deaf;
        impl Observer for Deaf {
            fn event(&mut self, _: &Event) -> io::Result<()> {
                Ok(())
            }
        }
        let (stop, _) = pair();
        let question = Question::new(Box::new(|| true));
        let mut observer = BehindTasks { observer: &mut Deaf, question, stop: stop.clone() };
        observer.event(&Event::Confirmed {}).unwrap();
        assert!(!stop.is_asked(), "only behind tasks: the thread does the rest");
        let task = TaskRef { number: 1, count: 2, name: "x".to_owned() };
        let result = TaskResult::of(TaskStatus::Matched);
        observer.event(&Event::TaskEnded { task, result, notified: Vec::new(), duration_ms: 0 }).unwrap();
        assert!(stop.is_asked());
    }

    #[test]
    fn a_cancellation_stops_first_and_ends_after_the_grace() {
        let (stop, cancel) = pair();
        let _watch = Watch::begin(
            Question::new(Box::new(|| true)),
            Duration::from_millis(1),
            stop.clone(),
            cancel.clone(),
        );
        assert!(stop.wait(Duration::from_secs(60)));
        assert!(cancel.wait(Duration::from_secs(60)));
    }

    #[test]
    fn without_a_cancellation_nothing_is_asked() {
        let (stop, cancel) = pair();
        drop(Watch::begin(Question::new(Box::new(|| false)), Duration::ZERO, stop.clone(), cancel.clone()));
        assert!(!stop.is_asked() && !cancel.is_asked());
    }
}
