//! The executor on the simulated gateway: real sessions, each a process of its own, and a toy that does what jobs do.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keros_executor::simulation::{Machine, Observer, Place, Toy, ToyEnd, finish, session};
use keros_protocol::executor::{Event, Request, TaskResult, TaskStatus};
use keros_protocol::{Command, CommandId, Job, Outcome, Summary, TaskRef};

use crate::center::{BEGIN_UNIX_S, EUI, Script, key_pems};
use crate::disk::{SharedDisk, SimDisk};
use crate::plan::Lie;
use crate::sim::Sim;

/// Tasks of every job.
pub(crate) const TASKS: u32 = 3;

/// Files that are no part of the simulation: the trusted key and the gateway's identity.
static PLATFORM: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write("run/boardinfo.env", &format!("export EUI64=\"{EUI}\"\n"));
    write("etc/version", "6.3.1\n");
    let [command_key, statement_key] = key_pems();
    write("trust/command-a.pem", &command_key);
    write("trust/statement-a.pem", &statement_key);
    folder
});

impl Sim {
    /// The true time.
    pub(crate) fn true_unix_s(&self) -> u64 {
        BEGIN_UNIX_S + self.inner().now_ms / 1000
    }

    /// What the gateway's clock says.
    pub(crate) fn clock_unix_s(&self) -> u64 {
        let ahead_s = self.inner().clock_ahead_s;
        self.true_unix_s().saturating_add_signed(ahead_s)
    }
}

#[derive(Debug)]
struct SimMachine(Arc<Sim>);

impl Machine for SimMachine {
    fn now_unix_s(&self) -> u64 {
        self.0.clock_unix_s()
    }

    fn boottime_ms(&self) -> u64 {
        let inner = self.0.inner();
        inner.now_ms - inner.booted_at_ms
    }

    fn wait(&self, done: &mut dyn FnMut() -> bool, at_most: Duration) {
        self.0.wait(done, at_most);
    }

    fn start_thread(&self, body: Box<dyn FnOnce() + Send>) -> bool {
        self.0.start_thread(body);
        true
    }

    fn process(&self) -> i32 {
        self.0.process()
    }

    fn boot_id(&self) -> String {
        format!("boot {}", self.0.inner().boot)
    }

    fn end_stragglers(&self, process: i32) {
        let mut inner = self.0.inner();
        if inner.plan.lie != Some(Lie::Ending) {
            inner.truth.stragglers_ended(process);
        }
    }

    fn reboot(&self) {
        let mut inner = self.0.inner();
        inner.tell(|| "a reboot is asked for".to_owned());
        inner.reboot_at_ms = Some(inner.now_ms + 2000);
    }

    fn new_nonce(&self) -> String {
        self.0.with_random(|random| format!("executor-{:016x}", random.below(u64::MAX >> 1)))
    }
}

/// What a session has said and the agent has not heard yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said(Arc<Mutex<SaidInside>>);

#[derive(Debug, Default)]
struct SaidInside {
    events: VecDeque<Event>,
    nobody_listens: bool,
    over: bool,
}

impl Said {
    /// The next event.
    pub(crate) fn take(&self) -> Option<Event> {
        self.inside().events.pop_front()
    }

    /// Nobody listens any more.
    pub(crate) fn close(&self) {
        self.inside().nobody_listens = true;
    }

    /// Nothing more will be said.
    pub(crate) fn is_over(&self) -> bool {
        self.inside().over
    }

    fn push(&self, event: Event) -> bool {
        let mut inside = self.inside();
        inside.events.push_back(event);
        !inside.nobody_listens
    }

    fn inside(&self) -> MutexGuard<'_, SaidInside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's end of the connection: closed when it is dropped.
struct Mouth(Said);

impl Drop for Mouth {
    fn drop(&mut self) {
        self.0.inside().over = true;
    }
}

/// The gateway's executor, with this in place of the JetPorch language.
pub(crate) fn place(sim: &Arc<Sim>, disk: &Arc<SimDisk>, toy: Arc<dyn Toy>) -> Place {
    Place {
        disk: Arc::new(SharedDisk(Arc::clone(disk))),
        machine: Arc::new(SimMachine(Arc::clone(sim))),
        state_folder: PathBuf::from("/executor"),
        trust_folder: PLATFORM.path().join("trust"),
        platform_root: PLATFORM.path().to_owned(),
        tasks: TASKS,
        toy,
    }
}

/// Starts the process of one session.
pub(crate) fn start_session(sim: &Arc<Sim>, disk: &Arc<SimDisk>, request: Request) -> (i32, Said) {
    let said = Said::default();
    let place = place(sim, disk, Arc::new(SimToy(Arc::clone(sim))));
    let (mouth, of_session) = (Mouth(said.clone()), Arc::clone(sim));
    let process = sim.start_process(move || {
        let sim = Arc::clone(&of_session);
        let tell = move |event| {
            sim.inner().truth.said(&event);
            mouth.0.push(event)
        };
        if let Err(failure) = session(&place, request, tell) {
            of_session.tell(|| format!("session: {failure}"));
        }
    });
    (process, said)
}

/// Starts what a unit starts at each boot.
pub(crate) fn start_finishing(sim: &Arc<Sim>, disk: &Arc<SimDisk>) {
    let place = place(sim, disk, Arc::new(SimToy(Arc::clone(sim))));
    let of_process = Arc::clone(sim);
    sim.start_process(move || {
        if let Err(failure) = finish(&place) {
            of_process.tell(|| format!("finish: {failure}"));
        }
    });
}

/// Does what a job's tasks do, counted.
struct SimToy(Arc<Sim>);

impl Toy for SimToy {
    fn run(
        &self,
        command: &Command,
        resume: Option<&str>,
        is_cancelled: &mut dyn FnMut() -> bool,
        observer: &mut dyn Observer,
    ) -> ToyEnd {
        let sim = &self.0;
        let (id, process) = (command.command_id, sim.process());
        let alive = sim.alive();
        let checked = sim.inner().truth.started(process, id, resume.is_some(), &alive);
        checked.unwrap_or_else(|text| sim.fail(text));
        let end = self.tasks(command, resume, is_cancelled, observer).unwrap_or_else(|error| {
            let message = format!("an event could not be recorded: {error}");
            let summary = Summary::default();
            ToyEnd::Ended(Outcome::Failed { task: None, exit_code: None, message, output: None, summary })
        });
        let outcome = if let ToyEnd::Ended(outcome) = &end { Some(outcome.clone()) } else { None };
        sim.inner().truth.ended(id, outcome);
        end
    }

    fn has_changed(&self, id: CommandId) -> bool {
        self.0.inner().truth.has_changed(id)
    }

    fn undo(&self, id: CommandId, tell: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String> {
        for task in (1..=TASKS).rev() {
            self.0.between("undo");
            let undone = self.0.inner().truth.undo(id, task);
            if undone {
                tell(&format!("task {task}"), None);
            }
        }
        self.0.inner().truth.remains(id)
    }
}

impl SimToy {
    fn tasks(
        &self,
        command: &Command,
        resume: Option<&str>,
        is_cancelled: &mut dyn FnMut() -> bool,
        observer: &mut dyn Observer,
    ) -> std::io::Result<ToyEnd> {
        let sim = &self.0;
        let (Job::JetPorch { script, .. } | Job::MagicLink { token: Some(script), .. }) = &command.job else {
            return Err(std::io::Error::other("no script"));
        };
        let script = Script::from_text(script)?;
        let (first, mut summary): (u32, Summary) =
            resume.map_or(Ok((1, Summary::default())), serde_json::from_str)?;
        for number in first..=TASKS {
            if is_cancelled() {
                let task = number.checked_sub(1).filter(|number| *number > 0).map(task_of);
                return Ok(ToyEnd::Ended(Outcome::Cancelled { task, summary, by_root: false }));
            }
            let task = task_of(number);
            let failed = number == script.fails_at;
            self.task(command.command_id, &task, failed, observer, &mut summary)?;
            if failed {
                let (exit_code, message) = (Some(1), "it failed".to_owned());
                let task = Some(task);
                return Ok(ToyEnd::Ended(Outcome::Failed {
                    task,
                    exit_code,
                    message,
                    output: None,
                    summary,
                }));
            }
            if number == script.reboots_at {
                sim.between("reboot task");
                return Ok(ToyEnd::Reboot(task, serde_json::to_string(&(number + 1, summary))?));
            }
        }
        Ok(ToyEnd::Ended(Outcome::Succeeded { summary, dry_run: false, differences: None }))
    }

    fn task(
        &self,
        id: CommandId,
        task: &TaskRef,
        failed: bool,
        observer: &mut dyn Observer,
        summary: &mut Summary,
    ) -> std::io::Result<()> {
        let (sim, process) = (&self.0, self.0.process());
        let (module, line) = ("shell".to_owned(), task.number);
        let (task, role, file) = (task.clone(), None, None);
        observer.event(&Event::TaskStarted {
            task: task.clone(),
            module,
            role,
            handler: false,
            file,
            line,
            grouped: false,
        })?;
        sim.between("task begun");
        let checked = sim.inner().truth.acted(process, id, task.number);
        checked.unwrap_or_else(|text| sim.fail(text));
        let lasts_ms = sim.with_random(|random| random.below(3000));
        sim.wait(&mut || false, Duration::from_millis(lasts_ms));
        sim.between("task done");
        sim.inner().truth.task_ended(process);
        let status = if failed { TaskStatus::Failed } else { TaskStatus::Executed };
        summary.count(status);
        let (result, notified) = (TaskResult::of(status), Vec::new());
        observer.event(&Event::TaskEnded { task, result, notified, duration_ms: lasts_ms })
    }
}

fn task_of(number: u32) -> TaskRef {
    TaskRef { number, count: TASKS, name: format!("task {number}") }
}
