//! Follows a job's journal to its end, across whoever runs the job.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use keros_platform::{DiskFile, Open};
use keros_protocol::executor::Event;
use keros_protocol::{Outcome, Summary};

use crate::events::EventSink;
use crate::exit::Failure;
use crate::state::job::{Job, LockedJob};
use crate::state::lines::{self, Splitter};
use crate::state::{RunLock, State};

/// How often a journal is looked at that another process writes.
const INTERVAL: Duration = Duration::from_millis(50);
/// What the JSON of the last event begins with: serde writes the tag first.
const ENDED: &str = "{\"event\":\"ended\"";

/// Why following is over.
pub(crate) enum Followed {
    /// The end was told, or nobody listens.
    Over,
    /// The job has no end and nobody who runs it. Now this process may.
    Left(RunLock, LockedJob),
}

/// Tells a peer what a job's journal says, from its beginning.
pub(crate) struct Teller {
    job: Job,
    sink: EventSink,
    tail: Option<Tail>,
}

impl Teller {
    /// For this peer.
    pub(crate) const fn new(job: Job, sink: EventSink) -> Self {
        Self { job, sink, tail: None }
    }

    /// Tells all events until the end, until nobody listens, or until the job's runner is gone.
    pub(crate) fn follow(&mut self, state: &State) -> Result<Followed, Failure> {
        loop {
            if self.tell_new()? {
                return Ok(Followed::Over);
            }
            if let Some((run_lock, locked)) = take_locks(state, &self.job)? {
                return Ok(Followed::Left(run_lock, locked));
            }
            self.job.host().sleep(INTERVAL);
        }
    }

    /// The same beside the runner of this process, which wakes it, and which it ends with.
    pub(crate) fn accompany(&mut self, woken: &Receiver<()>) -> Result<(), Failure> {
        loop {
            // First, so that all that was written before the runner ended is told.
            let is_alone = woken.try_recv() == Err(TryRecvError::Disconnected);
            if self.tell_new()? || is_alone {
                return Ok(());
            }
            self.job.host().wait(woken, INTERVAL);
        }
    }

    /// Tells what is new; true when nothing more is to be told.
    fn tell_new(&mut self) -> Result<bool, Failure> {
        let doing = || Failure::io(format!("read the journal of job {}", self.job.id()));
        if self.tail.is_none() {
            self.tail = Tail::open(&self.job).map_err(doing())?;
        }
        match &mut self.tail {
            Some(tail) => {
                if tail.send_new(&mut self.sink).map_err(doing())? {
                    return Ok(true);
                }
            }
            None => {
                if let Some(ended) = self.job.outcome() {
                    self.sink.send(&ended);
                    return Ok(true);
                }
            }
        }
        Ok(self.sink.is_closed())
    }
}

/// The right to carry a job on, when nobody has it. Always in this order: who holds the first is alone with all jobs.
pub(crate) fn take_locks(state: &State, job: &Job) -> Result<Option<(RunLock, LockedJob)>, Failure> {
    let Some(mut run_lock) = state.try_lock()? else { return Ok(None) };
    let Some(locked) = job.try_lock()? else { return Ok(None) };
    // Only told to whoever asks.
    let _ = run_lock.claim(job.id());
    Ok(Some((run_lock, locked)))
}

/// What can be said of a job of which nothing is kept but that it was started. It is terminal, so that nobody waits for more.
pub(crate) fn forgotten() -> Event {
    let message = "this command was started on the gateway before, and is not started again; its journal is no longer kept";
    Event::Ended {
        outcome: Outcome::Failed {
            task: None,
            exit_code: None,
            message: message.to_owned(),
            output: None,
            summary: Summary::default(),
        },
    }
}

/// A journal, and how far it was sent.
struct Tail {
    file: Box<dyn DiskFile>,
    splitter: Splitter,
}

impl Tail {
    fn open(job: &Job) -> io::Result<Option<Self>> {
        match job.disk().open(&job.journal_path(), Open::Read) {
            Ok(file) => Ok(Some(Self { file, splitter: Splitter::default() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends what is new; true after the last event. Damaged lines are left out: the end says so.
    fn send_new(&mut self, sink: &mut EventSink) -> io::Result<bool> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = self.file.read(&mut chunk)?;
            if count == 0 {
                return Ok(false);
            }
            let mut events = Vec::new();
            self.splitter.push(&chunk[..count], |line| events.extend(lines::decode(line)));
            for json in events {
                let ended = json.starts_with(ENDED);
                if ended {
                    // Nobody may hear of an end that a power cut could still take back.
                    self.file.sync_data()?;
                }
                sink.send_json(&json);
                if ended {
                    return Ok(true);
                }
            }
        }
    }
}
