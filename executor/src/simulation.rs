//! Sessions of the executor on a machine that a test makes up: its disk, its clocks, its processes, and a toy in place of the
//! JetPorch language. Everything between these is the real code. Nothing but tests may use it, and it may change at any time.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use keros_platform::Disk;
pub use keros_playbook::Observer;
use keros_protocol::eligibility::Refusal;
use keros_protocol::executor::{Event, Request};
use keros_protocol::{Command, CommandId, Outcome, TaskRef, UnixSeconds};

use crate::bundle::Bundle;
use crate::engine::{Controls, Engine, Plan, TasksEnd};
use crate::events::EventSink;
use crate::exit::Failure;
use crate::host::Host;
use crate::settings::{BoundSettings, Settings, StateFolder};
use crate::state::State;
use crate::stragglers::Runner;
use crate::{session, settle};

/// The machine besides its disk.
pub trait Machine: fmt::Debug + Send + Sync {
    /// The wall clock.
    fn now_unix_s(&self) -> UnixSeconds;
    /// The clock that counts from the boot.
    fn boottime_ms(&self) -> u64;
    /// Lets others go on until `done` says so, at most this long.
    fn wait(&self, done: &mut dyn FnMut() -> bool, at_most: Duration);
    /// Starts a thread of the process that asks. `false` when it cannot.
    fn start_thread(&self, body: Box<dyn FnOnce() + Send>) -> bool;
    /// Names the process that asks.
    fn process(&self) -> i32;
    /// Names this boot.
    fn boot_id(&self) -> String;
    /// Ends what a process that is gone left running.
    fn end_stragglers(&self, process: i32);
    /// Reboots, a while later.
    fn reboot(&self);
    /// A text that was never used.
    fn new_nonce(&self) -> String;
}

/// What runs jobs.
pub trait Toy: Send + Sync {
    /// Runs a job, or the rest of one, and tells each step.
    fn run(
        &self,
        command: &Command,
        resume: Option<&str>,
        is_cancelled: &mut dyn FnMut() -> bool,
        observer: &mut dyn Observer,
    ) -> ToyEnd;
    /// Whether the job has changed anything.
    fn has_changed(&self, id: CommandId) -> bool;
    /// Undoes it, and gives what remains.
    fn undo(&self, id: CommandId, tell: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String>;
}

/// How the tasks of a job, or of a part of it, came to their end.
pub enum ToyEnd {
    /// The job is over.
    Ended(Outcome),
    /// This task asks for a reboot; the job goes on after it, with this JSON.
    Reboot(TaskRef, String),
}

/// Where a session works.
#[derive(Clone)]
pub struct Place {
    /// Under the state folder.
    pub disk: Arc<dyn Disk>,
    /// The rest of the machine.
    pub machine: Arc<dyn Machine>,
    /// On that disk.
    pub state_folder: PathBuf,
    /// On the real disk: trusted keys.
    pub trust_folder: PathBuf,
    /// On the real disk: which gateway this is.
    pub platform_root: PathBuf,
    /// Tasks of every job.
    pub tasks: u32,
    /// Runs them.
    pub toy: Arc<dyn Toy>,
}

/// Serves one request. What is said goes to `tell`, which gives `false` when nobody listens any more, and is dropped when the
/// session is over; a job may go on after that.
///
/// # Errors
/// Why it could not be served, as the program would say it on standard error.
pub fn session(
    place: &Place,
    request: Request,
    tell: impl FnMut(Event) -> bool + Send + 'static,
) -> Result<(), String> {
    let (settings, engine) = (place.settings(), ToyEngine(place));
    let sink = EventSink::new(Box::new(Lines { tell, pending: Vec::new() }));
    let asked = place.state().map(|state| (state, request));
    let rest = session::answer(&settings, &engine, asked, &io::stdin(), sink, &mut |_| {})
        .map_err(|failure| failure.chain())?;
    let Some((_run_lock, mut drive)) = rest else { return Ok(()) };
    drive.go(true).map(drop).map_err(|failure| failure.chain())
}

/// Finishes what is owed, as at each boot.
///
/// # Errors
/// As [`session`].
pub fn finish(place: &Place) -> Result<(), String> {
    let finish = || settle::finish(&place.state()?, &place.settings(), &ToyEngine(place), &mut |_, _| Ok(()));
    finish().map(drop).map_err(|failure: Failure| failure.chain())
}

impl Place {
    fn settings(&self) -> Settings {
        Settings {
            root: self.platform_root.clone(),
            host_shell: false,
            state: StateFolder { state_folder: self.state_folder.clone() },
            trust_folder: self.trust_folder.clone(),
            platform_root: None,
            reboot_command: None,
            bounds: BoundSettings {
                cancel_grace_s: 30,
                reboot_grace_s: 60,
                reboot_patience_s: 300,
                resume_after_s: 5,
                backup_mib: 64,
                backups_mib: 256,
                bundles_mib: 64,
            },
        }
    }

    fn state(&self) -> Result<State, Failure> {
        let host = Arc::new(OnMachine(Arc::clone(&self.machine)));
        State::open_on(Arc::clone(&self.disk), host, &self.state_folder)
    }
}

struct ToyEngine<'a>(&'a Place);

impl Engine for ToyEngine<'_> {
    fn plan(&self, command: &Command, _bundle: Option<&Bundle>) -> Result<Plan, Refusal> {
        let (toy, command) = (Arc::clone(&self.0.toy), command.clone());
        let work = Box::new(move |observer: &mut dyn Observer, mut controls: Controls| {
            match toy.run(&command, controls.resume.as_deref(), &mut controls.is_cancelled, observer) {
                ToyEnd::Ended(outcome) => TasksEnd::Ended(outcome),
                ToyEnd::Reboot(task, resume) => TasksEnd::Reboot(task, resume),
            }
        });
        Ok(Plan { tasks: self.0.tasks, backup_bytes: Some(0), work })
    }

    fn has_changed(&self, backup: &Path) -> bool {
        id_of(backup).is_none_or(|id| self.0.toy.has_changed(id))
    }

    fn undo(&self, backup: &Path, tell: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String> {
        id_of(backup).map_or_else(Vec::new, |id| self.0.toy.undo(id, tell))
    }
}

/// The job whose backup this is.
fn id_of(backup: &Path) -> Option<CommandId> {
    backup.parent()?.file_name()?.to_str()?.parse().ok()
}

#[derive(Debug)]
struct OnMachine(Arc<dyn Machine>);

impl Host for OnMachine {
    fn now_unix_s(&self) -> UnixSeconds {
        self.0.now_unix_s()
    }

    fn boottime_ms(&self) -> u64 {
        self.0.boottime_ms()
    }

    fn wait(&self, wake: &Receiver<()>, at_most: Duration) {
        self.0.wait(&mut || wake.try_recv() != Err(TryRecvError::Empty), at_most);
    }

    fn sleep(&self, time: Duration) {
        self.0.wait(&mut || false, time);
    }

    fn start_thread(&self, body: Box<dyn FnOnce() + Send>) -> bool {
        self.0.start_thread(body)
    }

    fn this_process(&self) -> Runner {
        Runner { pid: self.0.process(), started_ticks: 0, boot_id: self.0.boot_id(), leads_session: true }
    }

    fn end_stragglers(&self, runner: &Runner) {
        if runner.boot_id == self.0.boot_id() {
            self.0.end_stragglers(runner.pid);
        }
    }

    fn boot_id(&self) -> String {
        self.0.boot_id()
    }

    fn can_reboot(&self) -> bool {
        true
    }

    fn reboot(&self) -> Result<(), String> {
        self.0.reboot();
        Ok(())
    }

    fn new_nonce(&self) -> io::Result<String> {
        Ok(self.0.new_nonce())
    }

    fn free_bytes(&self, _folder: &Path) -> Option<u64> {
        None
    }
}

/// Takes the lines apart again.
struct Lines<T> {
    tell: T,
    pending: Vec<u8>,
}

impl<T: FnMut(Event) -> bool> Write for Lines<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if !(self.tell)(serde_json::from_slice(&line)?) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
