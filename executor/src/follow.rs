//! Follows a job's journal to its end, and settles the job when nobody runs it any more.

use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use keros_platform::{DiskFile, Open};
use keros_protocol::executor::Event;
use keros_protocol::{Outcome, Summary};

use crate::events::EventSink;
use crate::exit::Failure;
use crate::settle::settle;
use crate::state::job::Job;
use crate::state::lines::{self, Splitter};

/// How often a journal is looked at that another process writes.
const INTERVAL: Duration = Duration::from_millis(50);
/// What the JSON of the last event begins with: serde writes the tag first.
const ENDED: &str = "{\"event\":\"ended\"";

/// Sends all events of a job until its end, or until nobody listens. A message on `wake` shortens the waiting.
pub(crate) fn follow(job: &Job, sink: &mut EventSink, wake: &Receiver<()>) -> Result<(), Failure> {
    let doing = || Failure::io(format!("read the journal of job {}", job.id()));
    let mut settled = false;
    let mut tail = None;
    loop {
        if tail.is_none() {
            tail = Tail::open(job).map_err(doing())?;
        }
        if let Some(tail) = &mut tail
            && tail.send_new(sink).map_err(doing())?
        {
            return Ok(());
        }
        if sink.is_closed() {
            return Ok(());
        }
        if tail.is_none()
            && let Some(ended) = job.outcome()
        {
            sink.send(&ended);
            return Ok(());
        }
        if settled {
            return Err(Failure::Internal(format!("job {} has no end although it was settled", job.id())));
        }
        match job.try_lock()? {
            Some(locked) => {
                settle(&locked)?;
                settled = true;
            }
            None => job.host().wait(wake, INTERVAL),
        }
    }
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
