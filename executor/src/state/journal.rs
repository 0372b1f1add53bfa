//! Writes the journal of one job: append only, and synced where the promise needs it. `TaskStarted` is on the disk before
//! the task acts; what a task did is on the disk with the next start, or the end. Tasks that only touch files are synced
//! together, when the barrier is passed: the first of them to change anything passes it.

use std::io;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keros_platform::{Disk, DiskFile, Open};
use keros_playbook::{Barrier, Observer};
use keros_protocol::executor::{Event, TaskResult};
use keros_protocol::limits::MAX_EXECUTOR_LINE_BYTES;
use keros_protocol::{Outcome, Output};

use super::lines;
use super::story::Story;

/// From this length on a journal takes no more output, changes and items: a job that prints without end goes on, and its
/// outcome stays known.
const FULL_DETAIL_BYTES: u64 = 32 * 1024 * 1024;
/// No journal is longer. With events of a few hundred bytes after the bound above, no job within its limits comes here.
const MAX_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// Room kept free for what must still be written when the disk is full: the end of a task and of the job, each with output
/// of at most 64 KiB, each byte at most six in JSON.
const RESERVE_BYTES: u64 = 1024 * 1024;

/// The journal of a job that runs.
#[derive(Debug)]
pub(crate) struct Journal {
    tail: Arc<Mutex<Tail>>,
    length: u64,
    reserved: u64,
    /// What comes before the next line.
    opening: &'static [u8],
    /// Wakes the follower in this process. It must never block: a full channel means that it was woken already.
    wake: Option<SyncSender<()>>,
}

/// The file, and whether the disk has all that was written to it.
#[derive(Debug)]
struct Tail {
    file: Box<dyn DiskFile>,
    is_synced: bool,
}

impl Tail {
    fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    fn of(file: Box<dyn DiskFile>, length: u64) -> Self {
        let tail = Arc::new(Mutex::new(Tail { file, is_synced: false }));
        Self { tail, length, reserved: length, opening: b"", wake: None }
    }

    /// Begins a new one.
    pub(crate) fn create(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path, Open::New)?;
        Ok(Self::of(file, 0))
    }

    /// Continues one that was read: the next line begins with what sets it off from one that was cut off. A torn line is marked
    /// with what else a power cut leaves, so that it is never taken for damage.
    pub(crate) fn append_to(disk: &dyn Disk, path: &Path, story: &Story) -> io::Result<Self> {
        let file = disk.open(path, Open::Append)?;
        let opening: &[u8] = match (story.terminated, story.torn) {
            (true, _) => b"",
            (false, true) => b"\0\n",
            (false, false) => b"\n",
        };
        let length = file.length()?;
        Ok(Self { opening, ..Self::of(file, length) })
    }

    /// Wakes somebody after each event.
    pub(crate) fn wake(&mut self, wake: SyncSender<()>) {
        self.wake = Some(wake);
    }

    /// Writes an event and waits until it is on the disk.
    pub(crate) fn append_synced(&mut self, event: &Event) -> io::Result<()> {
        self.append(event)?;
        self.sync()?;
        self.woken();
        Ok(())
    }

    /// Waits until all that was written is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        lock(&self.tail).sync()
    }

    /// Writes an event for whoever follows. Nothing depends on its being on the disk.
    pub(crate) fn tell(&mut self, event: &Event) -> io::Result<()> {
        self.append(event)?;
        self.woken();
        Ok(())
    }

    /// Gives back the room that was kept free. The journal is whole without it.
    pub(crate) fn release_reserve(&mut self) {
        if self.reserved > self.length {
            let _ = lock(&self.tail).file.set_len(self.length);
        }
    }

    fn append(&mut self, event: &Event) -> io::Result<()> {
        let line = [self.opening, &lines::encode(&self.json(event)?)].concat();
        if self.length + line.len() as u64 > MAX_JOURNAL_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the journal of this job is full"));
        }
        let tail = &mut *lock(&self.tail);
        tail.is_synced = false;
        if let Err(error) = tail.file.write_all(&line) {
            // A line that was written in part would spoil the next one.
            let _ = tail.file.set_len(self.length);
            return Err(error);
        }
        self.length += line.len() as u64;
        self.opening = b"";
        Ok(())
    }

    /// The event as JSON, without details where there is no room for them.
    fn json(&self, event: &Event) -> io::Result<String> {
        if self.length < FULL_DETAIL_BYTES {
            let json = serde_json::to_string(event)?;
            if json.len() <= MAX_EXECUTOR_LINE_BYTES {
                return Ok(json);
            }
        }
        Ok(serde_json::to_string(&without_details(event))?)
    }

    /// Makes sure that what must follow a start can be written.
    pub(crate) fn reserve(&mut self) -> io::Result<()> {
        if self.reserved >= self.length + RESERVE_BYTES {
            return Ok(());
        }
        let end = self.length + 2 * RESERVE_BYTES;
        // Where the file system cannot keep room free, a full disk ends the job as interrupted.
        lock(&self.tail).file.reserve(end)?;
        self.reserved = end;
        Ok(())
    }

    fn woken(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }
}

impl Observer for Journal {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TaskStarted { grouped, .. } => {
                self.reserve()?;
                if *grouped { self.tell(event) } else { self.append_synced(event) }
            }
            Event::ItemEnded { .. } if self.length >= FULL_DETAIL_BYTES => Ok(()),
            _ => self.tell(event),
        }
    }

    fn barrier(&self) -> Option<Barrier> {
        let tail = Arc::clone(&self.tail);
        Some(Barrier::new(move || lock(&tail).sync()))
    }
}

/// The event with everything left out that can be long.
pub(crate) fn without_details(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event {
        Event::ItemEnded { result, .. } | Event::TaskEnded { result, .. } => shorten_result(result),
        Event::Ended {
            outcome:
                Outcome::Failed { output, .. }
                | Outcome::TimedOut { output, .. }
                | Outcome::Succeeded { differences: output, .. },
        } => shorten_output(output),
        _ => {}
    }
    event
}

fn shorten_result(result: &mut TaskResult) {
    result.changes.clear();
    shorten_output(&mut result.output);
}

fn shorten_output(output: &mut Option<Output>) {
    if let Some(output) = output {
        let kept = (output.head.len() + output.tail.len()) as u64;
        *output = Output { omitted_bytes: output.omitted_bytes + kept, ..Output::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_platform::RealDisk;
    use keros_protocol::TaskRef;
    use keros_protocol::executor::TaskStatus;

    fn task() -> TaskRef {
        TaskRef { number: 1, count: 1, name: "one".to_owned() }
    }

    fn ended(output_bytes: usize) -> Event {
        let output = Output { head: "\u{1}".repeat(output_bytes), ..Output::default() };
        Event::TaskEnded {
            task: task(),
            result: TaskResult { output: Some(output), ..TaskResult::of(TaskStatus::Executed) },
            notified: Vec::new(),
            duration_ms: 1,
        }
    }

    #[test]
    fn an_event_beyond_the_line_limit_loses_its_details_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&RealDisk, &path).unwrap();
        journal.event(&ended(MAX_EXECUTOR_LINE_BYTES)).unwrap();
        let line = std::fs::read(&path).unwrap();
        let json = lines::decode(&line[..line.len() - 1]).unwrap();
        let Event::TaskEnded { result, .. } = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
        assert_eq!(result.output.unwrap().omitted_bytes, MAX_EXECUTOR_LINE_BYTES as u64);
    }

    #[test]
    fn a_job_that_prints_without_end_fills_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&RealDisk, &path).unwrap();
        journal.length = FULL_DETAIL_BYTES;
        journal.event(&ended(60_000)).unwrap();
        assert!(path.metadata().unwrap().len() < 1000);
        journal.length = MAX_JOURNAL_BYTES;
        assert!(journal.event(&ended(1)).is_err());
    }

    #[test]
    fn the_room_kept_free_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&RealDisk, &path).unwrap();
        let line = 1;
        let started = Event::TaskStarted {
            task: task(),
            module: "echo".to_owned(),
            role: None,
            handler: false,
            file: None,
            line,
            grouped: false,
        };
        journal.event(&started).unwrap();
        let length = path.metadata().unwrap().len();
        journal.release_reserve();
        assert_eq!(path.metadata().unwrap().len(), length);
        assert!(std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap()) <= 8);
    }
}
