//! Whole sessions inside this process, with an engine that only makes events.

mod lives;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use keros_protocol::eligibility::Refusal;
use keros_protocol::executor::{TaskResult, TaskStatus};
use keros_protocol::{
    Command, CommandId, Eui, Interruption, Job, JobLimits, JobOptions, Outcome, RefusalReason, SigningKey,
    Summary, TaskRef, UpdateId,
};

use super::*;
use crate::bundle::Bundle;
use crate::engine::{Controls, Plan, TasksEnd};
use crate::settings::{BoundSettings, StateFolder};

const TASKS: u32 = 3;

/// An engine whose process is lost at a step: 0 before the first task; 2n - 1 when task n has begun; 2n when it has ended.
#[derive(Default)]
struct FakeEngine {
    runs: Arc<AtomicU32>,
    lost_at_step: Option<u32>,
    refuses: bool,
    /// The job asks for a reboot behind this task.
    reboots_behind: Option<u32>,
    /// Tasks end in the middle when the job is cancelled, else it is asked after each.
    has_changed: bool,
    /// What cannot be undone.
    remains: Vec<String>,
    undone: Arc<AtomicU32>,
    /// The process is lost while it undoes.
    lost_while_undoing: bool,
}

impl Engine for FakeEngine {
    fn plan(&self, _command: &Command, _bundle: Option<&Bundle>) -> Result<Plan, Refusal> {
        if self.refuses {
            return Err(Refusal::new(RefusalReason::Unparsable, "script:1:1: no"));
        }
        let (runs, lost_at_step, reboots_behind) =
            (Arc::clone(&self.runs), self.lost_at_step, self.reboots_behind);
        let lost = move |step| assert_ne!(lost_at_step, Some(step), "the process is lost here");
        let work = Box::new(move |observer: &mut dyn keros_playbook::Observer, controls: Controls| {
            runs.fetch_add(1, Ordering::SeqCst);
            lost(0);
            let mut is_cancelled = controls.is_cancelled;
            let mut summary = Summary::default();
            let resume: Option<serde_json::Value> =
                controls.resume.map(|text| serde_json::from_str(&text).unwrap());
            let behind = resume.map_or(0, |resume| resume["behind"].as_u64().unwrap());
            for number in u32::try_from(behind).unwrap() + 1..=TASKS {
                let task = TaskRef { number, count: TASKS, name: format!("task {number}") };
                if is_cancelled() {
                    return TasksEnd::Ended(Outcome::Cancelled { task: None, summary, by_root: false });
                }
                let (module, line) = ("shell".to_owned(), number);
                let started = Event::TaskStarted {
                    task: task.clone(),
                    module,
                    role: None,
                    handler: false,
                    file: None,
                    line,
                    grouped: false,
                };
                observer.event(&started).unwrap();
                lost(2 * number - 1);
                let result = TaskResult::of(TaskStatus::Executed);
                summary.count(result.status);
                let ended =
                    Event::TaskEnded { task: task.clone(), result, notified: Vec::new(), duration_ms: 1 };
                observer.event(&ended).unwrap();
                lost(2 * number);
                if reboots_behind == Some(number) {
                    return TasksEnd::Reboot(task, format!("{{\"behind\":{number}}}"));
                }
            }
            TasksEnd::Ended(Outcome::Succeeded { summary, dry_run: false, differences: None })
        });
        Ok(Plan { tasks: TASKS, backup_bytes: None, work })
    }

    fn has_changed(&self, _: &Path) -> bool {
        self.has_changed
    }

    fn undo(&self, _: &Path, tell: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String> {
        self.undone.fetch_add(1, Ordering::SeqCst);
        tell("/etc/one", None);
        assert!(!self.lost_while_undoing, "the process is lost here");
        self.remains.clone()
    }
}

struct Bench {
    folder: tempfile::TempDir,
    settings: Settings,
    key: SigningKey,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["root/run", "root/etc", "trust"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("root/run/boardinfo.env"), "export EUI64=\"7076FF0056070123\"\n").unwrap();
        std::fs::write(path("root/etc/version"), "6.3.1\n").unwrap();
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap();
        std::fs::write(path("trust/command-a.pem"), key.public().to_pem()).unwrap();
        let settings = Settings {
            root: path("root"),
            host_shell: true,
            state: StateFolder { state_folder: path("state") },
            trust_folder: path("trust"),
            platform_root: None,
            reboot_command: None,
            bounds: BoundSettings {
                cancel_grace_s: 30,
                reboot_grace_s: 0,
                reboot_patience_s: 0,
                resume_after_s: 0,
                backup_mib: 64,
                backups_mib: 256,
                bundles_mib: 64,
            },
        };
        Self { folder, settings, key }
    }

    fn state_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("state").join(name)
    }

    fn envelope(&self, command: &Command) -> Envelope {
        Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(command).unwrap(), &self.key)
    }

    fn run(&self, engine: &FakeEngine, command: &Command) -> Vec<Event> {
        self.ask(engine, &Request::Run { envelope: self.envelope(command), statement: None, bundle: None })
    }

    fn attach(&self, command_id: CommandId) -> Vec<Event> {
        self.ask(&FakeEngine::default(), &Request::Attach { command_id })
    }

    /// The same, without a word about events that this version does not know.
    fn attach_raw(&self, command_id: CommandId) -> Vec<Event> {
        let seen = self.asked(&FakeEngine::default(), &Request::Attach { command_id });
        let text = String::from_utf8(seen).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn ask(&self, engine: &FakeEngine, request: &Request) -> Vec<Event> {
        let text = String::from_utf8(self.asked(engine, request)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn asked(&self, engine: &FakeEngine, request: &Request) -> Vec<u8> {
        let line = serde_json::to_string(request).unwrap();
        let (near, far) = std::io::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            let mut far = far;
            let _ = writeln!(far, "{line}");
        });
        let seen = Seen::default();
        let sink = EventSink::new(Box::new(seen.clone()));
        let mut input = std::fs::File::from(OwnedFd::from(near));
        let state = State::open_for(&self.settings);
        let asked = state.and_then(|state| Ok((state, read_request(&mut input)?)));
        let answered = answer(&self.settings, engine, asked, &input, sink, &mut |_| {});
        if let Ok(Some((_lock, mut drive))) = answered {
            let _ = drive.go(true);
        }
        writer.join().unwrap();
        seen.0.lock().unwrap().clone()
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A command of version 7's form, issued `after_now_s` after this moment.
fn command(number: u16, after_now_s: u64) -> Command {
    // One moment for all, so that the same number is the same command.
    static NOW: LazyLock<u64> = LazyLock::new(crate::clock::now_unix_s);
    let now = *NOW;
    Command {
        command_id: CommandId(uuid::Uuid::from_u128((u128::from(now) << 80) | u128::from(number))),
        update_id: UpdateId(uuid::Uuid::from_u128(2)),
        eui: Eui::from_u64(0x7076_FF00_5607_0123),
        issued_at_unix_s: now + after_now_s,
        expires_at_unix_s: now + 3600,
        job: Job::JetPorch { script: "x".to_owned(), vars: serde_json::Map::new() },
        limits: JobLimits::default(),
        options: JobOptions::default(),
    }
}

fn outcome(events: &[Event]) -> &Outcome {
    let ends = events.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
    assert_eq!(ends, 1, "{events:?}");
    match events.last() {
        Some(Event::Ended { outcome }) => outcome,
        other => panic!("the last event is {other:?}"),
    }
}

fn refusal(events: &[Event]) -> RefusalReason {
    match outcome(events) {
        Outcome::Refused { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_is_told_from_its_start_to_its_end_and_again_when_asked_again() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    let first = bench.run(&engine, &command(1, 0));
    assert!(matches!(first[0], Event::Started { tasks: TASKS, .. }), "{first:?}");
    assert_eq!(first.len(), 2 + 2 * TASKS as usize);
    assert!(matches!(outcome(&first), Outcome::Succeeded { .. }));
    assert_eq!(bench.run(&engine, &command(1, 0)), first);
    assert_eq!(bench.attach(command(1, 0).command_id), first);
    assert_eq!(engine.runs.load(Ordering::SeqCst), 1);
}

#[test]
fn sessions_with_the_same_command_at_the_same_moment_run_it_once() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    let command = command(1, 0);
    let told: Vec<Vec<Event>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let engine = FakeEngine { runs: Arc::clone(&engine.runs), ..FakeEngine::default() };
                let (bench, command) = (&bench, &command);
                scope.spawn(move || bench.run(&engine, command))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(engine.runs.load(Ordering::SeqCst), 1);
    assert!(told.iter().all(|events| *events == told[0]), "{told:#?}");
    assert!(matches!(outcome(&told[0]), Outcome::Succeeded { .. }));
}

#[test]
fn a_process_lost_at_any_step_is_an_interruption_at_that_task() {
    for step in 0..=2 * TASKS {
        let bench = Bench::new();
        let engine = FakeEngine { lost_at_step: Some(step), ..FakeEngine::default() };
        let lost = catch_unwind(AssertUnwindSafe(|| bench.run(&engine, &command(1, 0))));
        assert!(lost.is_err());
        let told = bench.run(&FakeEngine::default(), &command(1, 0));
        let Outcome::Interrupted { interruption } = outcome(&told) else { panic!("step {step}: {told:?}") };
        let Interruption { task, summary, .. } = interruption;
        assert_eq!(task.as_ref().map_or(0, |task| task.number), step.div_ceil(2), "step {step}");
        assert_eq!(summary.total(), step / 2, "step {step}");
        assert_eq!(bench.attach(command(1, 0).command_id), told, "step {step}: it stays so");
        assert_eq!(engine.runs.load(Ordering::SeqCst), 1, "step {step}");
        assert!(matches!(
            outcome(&bench.run(&FakeEngine::default(), &command(2, 0))),
            Outcome::Succeeded { .. }
        ));
    }
}

#[test]
fn a_journal_damaged_anywhere_gives_one_end_that_claims_nothing_and_starts_nothing() {
    let bench = Bench::new();
    let engine = FakeEngine { lost_at_step: Some(5), ..FakeEngine::default() };
    let _ = catch_unwind(AssertUnwindSafe(|| bench.run(&engine, &command(1, 0))));
    let id = command(1, 0).command_id;
    let journal = bench.state_file(&format!("jobs/{id}/journal.jsonl"));
    bench.attach(id);
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes.pop();
    let before_the_end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap();
    bytes.truncate(before_the_end + 1);
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&journal, damaged).unwrap();
        let _ = std::fs::remove_file(bench.state_file(&format!("jobs/{id}/outcome.json")));
        let told = bench.run(&engine, &command(1, 0));
        match outcome(&told) {
            // A damaged last line feed alone takes nothing away.
            Outcome::Interrupted { interruption } if at + 1 == bytes.len() => {
                assert_eq!(interruption.task.as_ref().map(|task| task.number), Some(3));
            }
            Outcome::Failed { message, .. } => assert!(message.contains("damaged"), "{message}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
    assert_eq!(engine.runs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_damaged_record_of_started_commands_refuses_what_was_issued_before() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    bench.run(&engine, &command(1, 0));
    let record = bench.state_file("started");
    let mut bytes = std::fs::read(&record).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&record, bytes).unwrap();

    assert_eq!(refusal(&bench.run(&engine, &command(2, 0))), RefusalReason::JournalDamaged);
    assert_eq!(
        refusal(&bench.run(&engine, &command(2, 0))),
        RefusalReason::JournalDamaged,
        "and it stays so"
    );
    assert!(matches!(outcome(&bench.run(&engine, &command(1, 0))), Outcome::Succeeded { .. }), "it is told");
    assert!(matches!(outcome(&bench.run(&engine, &command(3, 1000))), Outcome::Succeeded { .. }));
    assert_eq!(engine.runs.load(Ordering::SeqCst), 2);
    let names = std::fs::read_dir(bench.state_file("")).unwrap().flatten();
    let aside = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("started.damaged-"));
    assert_eq!(aside.count(), 1);
}

#[test]
fn a_started_command_whose_folder_is_lost_is_not_started_again() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    bench.run(&engine, &command(1, 0));
    std::fs::remove_dir_all(bench.state_file(&format!("jobs/{}", command(1, 0).command_id))).unwrap();
    let Outcome::Failed { message, .. } = outcome(&bench.run(&engine, &command(1, 0))).clone() else {
        panic!()
    };
    assert!(message.contains("started on the gateway before"), "{message}");
    assert_eq!(engine.runs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_started_command_whose_record_is_lost_is_not_started_again() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    let first = bench.run(&engine, &command(1, 0));
    std::fs::write(bench.state_file("started"), "").unwrap();
    assert_eq!(bench.run(&engine, &command(1, 0)), first);
    bench.run(&engine, &command(2, 0));
    std::fs::remove_dir_all(bench.state_file(&format!("jobs/{}", command(1, 0).command_id))).unwrap();
    assert!(matches!(outcome(&bench.run(&engine, &command(1, 0))), Outcome::Failed { .. }), "recorded again");
    assert_eq!(engine.runs.load(Ordering::SeqCst), 2);
}

#[test]
fn what_may_not_run_is_refused_by_name_and_leaves_no_trace() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    let good = command(1, 0);
    let with = |change: fn(&mut Command)| {
        let mut command = good.clone();
        change(&mut command);
        refusal(&bench.run(&engine, &command))
    };
    assert_eq!(with(|command| command.eui = Eui::from_u64(1)), RefusalReason::WrongTarget);
    assert_eq!(with(|command| command.expires_at_unix_s = 1000), RefusalReason::Expired);
    let unknown = |command: &mut Command| command.job = Job::Unknown { kind: "firmware".to_owned() };
    assert_eq!(with(unknown), RefusalReason::Unsupported);

    let mut altered = bench.envelope(&good);
    altered.payload.replace_range(20..21, if &altered.payload[20..21] == "A" { "B" } else { "A" });
    assert_eq!(
        refusal(&bench.ask(&engine, &Request::Run { envelope: altered, statement: None, bundle: None })),
        RefusalReason::BadSignature
    );
    let foreign = SigningKey::from_pem(&SigningKey::pem_from_seed(&[2; 32])).unwrap();
    let envelope = Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&good).unwrap(), &foreign);
    assert_eq!(
        refusal(&bench.ask(&engine, &Request::Run { envelope, statement: None, bundle: None })),
        RefusalReason::BadSignature
    );
    let engine_refuses = FakeEngine { refuses: true, ..FakeEngine::default() };
    assert_eq!(refusal(&bench.run(&engine_refuses, &good)), RefusalReason::Unparsable);

    std::fs::write(bench.folder.path().join("root/etc/version"), "5.10.1-0-gc7e2b007").unwrap();
    assert_eq!(refusal(&bench.run(&engine, &good)), RefusalReason::NotKeros6);
    assert_eq!(engine.runs.load(Ordering::SeqCst), 0);
    assert_eq!(std::fs::read_dir(bench.state_file("jobs")).unwrap().count(), 0);
    assert_eq!(std::fs::metadata(bench.state_file("started")).unwrap().len(), 0);
}

#[test]
fn an_unknown_command_cannot_be_followed() {
    let told = Bench::new().attach(command(1, 0).command_id);
    assert!(
        matches!(&told[..], [Event::RequestFailed { message, unknown: true }] if message.contains("unknown")),
        "{told:?}"
    );
}

#[test]
fn what_is_kept_is_bounded_and_old_ends_are_still_told() {
    let bench = Bench::new();
    let engine = FakeEngine::default();
    let commands: Vec<Command> = (0..60).map(|number| command(number, 0)).collect();
    for command in &commands {
        bench.run(&engine, command);
    }
    let journal = |command: &Command| bench.state_file(&format!("jobs/{}/journal.jsonl", command.command_id));
    assert_eq!(commands.iter().filter(|command| journal(command).exists()).count(), 50);
    let told = bench.run(&engine, &commands[0]);
    assert!(matches!(&told[..], [Event::Ended { outcome: Outcome::Succeeded { .. } }]), "{told:?}");
    assert_eq!(engine.runs.load(Ordering::SeqCst), 60);
}
