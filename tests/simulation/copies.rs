//! The executor's copy of a Magic Link's bundle, on the disk that loses what was not synced: whatever operation is the last one of
//! its process or of the power, the job that begins afterwards has a whole copy, also behind the reboot that it asks for.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use keros_executor::simulation::{Observer, Toy, ToyEnd, session};
use keros_protocol::executor::{Event, Request};
use keros_protocol::magic_link::Digest;
use keros_protocol::{Command, CommandId, Job, JobLimits, JobOptions, Outcome, Summary, TaskRef, UpdateId};
use keros_test_bundle::Bundle;

use crate::center::{BEGIN_UNIX_S, EUI, signed};
use crate::disk::SimDisk;
use crate::executor::{TASKS, place};
use crate::sim::Sim;

/// A bundle of a few files, as an agent has it: on the real disk, which is never cut.
struct Given {
    folder: tempfile::TempDir,
    digest: Digest,
}

impl Given {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = ["site.yml", "files/a", "files/deep/er/b"].map(|title| (title, title.as_bytes()));
        let digest = Bundle::write(folder.path(), &["70*"], &files).unwrap().digest;
        Self { digest, folder }
    }

    fn request(&self) -> Request {
        let command = Command {
            command_id: CommandId(uuid::Uuid::from_u128(u128::from(BEGIN_UNIX_S * 1000) << 80)),
            update_id: UpdateId(uuid::Uuid::from_u128(1)),
            eui: EUI,
            issued_at_unix_s: BEGIN_UNIX_S,
            expires_at_unix_s: BEGIN_UNIX_S + 1_000_000,
            job: Job::MagicLink { digest: self.digest, source: String::new(), token: None },
            limits: JobLimits::default(),
            options: JobOptions::default(),
        };
        let bundle: PathBuf = self.folder.path().to_owned();
        Request::Run { envelope: signed(&command), statement: None, bundle: Some(bundle) }
    }
}

/// A job that asks for a reboot, and has nothing to do behind it.
#[derive(Default)]
struct OneReboot {
    starts: AtomicU64,
}

impl Toy for OneReboot {
    fn run(
        &self,
        _: &Command,
        resume: Option<&str>,
        _: &mut dyn FnMut() -> bool,
        _: &mut dyn Observer,
    ) -> ToyEnd {
        if resume.is_some() {
            return ToyEnd::Ended(Outcome::Succeeded {
                summary: Summary::default(),
                dry_run: false,
                differences: None,
            });
        }
        self.starts.fetch_add(1, Ordering::Relaxed);
        ToyEnd::Reboot(TaskRef { number: 1, count: TASKS, name: "reboot".to_owned() }, "{}".to_owned())
    }

    fn has_changed(&self, _: CommandId) -> bool {
        false
    }

    fn undo(&self, _: CommandId, _: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String> {
        Vec::new()
    }
}

/// One life: the command is sent until it has its end. How many operations it took.
fn live(given: &Given, lost: Option<(u64, bool)>) -> Result<u64, String> {
    let sim = Sim::new(1, true);
    sim.inner().plan.lost = lost;
    let disk = SimDisk::new(Arc::clone(&sim));
    let toy = Arc::new(OneReboot::default());
    for _ in 0..20 {
        let (place, request) = (place(&sim, &disk, toy.clone()), given.request());
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        sim.start_process(move || {
            let tell = move |event| {
                hears.lock().unwrap().push(event);
                true
            };
            let _ = session(&place, request, tell);
        });
        until_lost_or_over(&sim, &disk);
        let ended = told.lock().unwrap().iter().find_map(|event| match event {
            Event::Ended { outcome } => Some(outcome.clone()),
            _ => None,
        });
        if let Some(failure) = sim.failure() {
            return Err(failure);
        }
        let starts = toy.starts.load(Ordering::Relaxed);
        let Some(outcome) = ended else { continue };
        // Lost between its start and its reboot it is interrupted, and that is true.
        let is_true =
            matches!(outcome, Outcome::Succeeded { .. } | Outcome::Interrupted { .. }) && starts <= 1;
        let trace = sim.trace().join("\n");
        return if is_true { Ok(sim.inner().counts.operations) } else { Err(format!("{outcome}\n{trace}")) };
    }
    Err("it never ended".to_owned())
}

/// Lets the session go on until it is over, or the power is gone and has returned. A reboot is a power cut: nobody syncs anything.
fn until_lost_or_over(sim: &Arc<Sim>, disk: &SimDisk) {
    loop {
        let (now_ms, is_off) = {
            let inner = sim.inner();
            let reboots = inner.reboot_at_ms.is_some_and(|at_ms| at_ms <= inner.now_ms);
            (inner.now_ms, inner.power_lost || reboots)
        };
        if is_off {
            sim.kill_all();
            let mut inner = sim.inner();
            inner.power_lost = false;
            inner.reboot_at_ms = None;
            disk.cut_power(&mut inner.random);
            inner.boot += 1;
            inner.booted_at_ms = now_ms;
            return;
        }
        if sim.run_one() {
            continue;
        }
        let Some(wake_ms) = sim.next_wake_ms() else { return };
        sim.inner().now_ms = wake_ms.max(now_ms);
    }
}

#[test]
fn wherever_process_or_power_is_lost_the_job_has_a_whole_copy() {
    let given = Given::make();
    let all = live(&given, None).unwrap();
    for at in 1..=all {
        for power in [false, true] {
            if let Err(text) = live(&given, Some((at, power))) {
                panic!("operation {at} of {all}, power {power}: {text}");
            }
        }
    }
    println!("each of {all} operations was the last one, of the process and of the power");
}
