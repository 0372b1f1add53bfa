//! The playbook of 1000 templates as a job: signed, verified, journalled, with backups, all of it durable; beside jetp, which runs it
//! without any of that.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, project_root};
use serde_json::json;

use crate::cases::{TEMPLATES_CREATED, templates_alone};
use crate::executor::{Bench, figures, ms};
use crate::measure::{Run, gateway_program, jetp, once_with};

const EUI: &str = "7076FF0000000001";
const RUNS: usize = 3;

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    // Not in /tmp, which may be in memory: what is made must reach a disk.
    let folder = tempfile::tempdir_in(project_root().join("target"))?;
    let job = Job::order(folder.path())?;
    let bench = Bench::new(&TEMPLATES_CREATED)?;
    let peer = jetp();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first run of each only warms the caches.
    for round in 0..=RUNS {
        let (run, other) =
            (job.run(round)?, peer.as_deref().map(|jetp| bench.measure(jetp, &bench.peer_arguments())));
        if round > 0 {
            ours.push(run);
            theirs.extend(other.transpose()?);
        }
    }
    let (time, peak) = figures(&ours)?;
    println!("| as a job, median of {RUNS} | time | peak | jetp 0.1.1 time | peak | times faster |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    print!("| 1000 template tasks, signed, with journal and backups | {} | {peak} KiB ", ms(time));
    match figures(&theirs) {
        Ok((other, other_peak)) => {
            let ratio = other.as_secs_f64() / time.as_secs_f64();
            println!("| {} | {other_peak} KiB | {ratio:.1} |\n", ms(other));
        }
        Err(_) => println!("| skipped: JETP_BIN is not set | | |\n"),
    }
    Ok(())
}

/// A request as an agent hands it to its executor, and what it takes to serve it.
struct Job {
    request: PathBuf,
    root: PathBuf,
    trust: PathBuf,
    folder: PathBuf,
}

impl Job {
    /// Has a center sign it and an agent ask for it once.
    fn order(folder: &Path) -> Result<Self> {
        let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
        let (request, listener) = (folder.join("request"), folder.join("executor.sh"));
        let executor = gateway_program("keros-executor")?;
        let script = format!("#!/bin/sh\ntee {} | {} \"$@\"\n", request.display(), executor.display());
        std::fs::write(&listener, script)?;
        std::fs::set_permissions(&listener, std::fs::Permissions::from_mode(0o755))?;
        let trust = center.keys().join("trust");
        let options = GatewayOptions {
            port: broker.port,
            trust: trust.clone(),
            executor: Some(listener),
            ..GatewayOptions::default()
        };
        let mut gateway = Gateway::prepare(&folder.join("gateway"), EUI, KEROS_6, &options)?;
        std::fs::create_dir(gateway.root.join("work"))?;
        gateway.start_program(&gateway_program("keros-agent")?)?;
        center.wait_for_telemetry(&[EUI])?;
        let without_window = json!({ "confirm_window_s": 0 });
        let update = center.send_with("all", &[EUI], &templates_alone(), &without_window)?;
        let update = center.wait_for_end(&update)?;
        ensure!(update["gateways"][0]["outcome"]["status"] == "succeeded", "{update:#}");
        let root = gateway.root.clone();
        gateway.kill()?;
        // A session for another request would ask for its journal.
        let text = std::fs::read_to_string(&request)?;
        let run = text.lines().find(|line| line.contains("\"run\"")).context("the job was asked for")?;
        std::fs::write(&request, format!("{run}\n"))?;
        Ok(Self { request, root, trust, folder: folder.to_owned() })
    }

    /// Runs it as if it had never been started, where nothing was made.
    fn run(&self, round: usize) -> Result<Run> {
        let work = self.root.join("work");
        // Moved and not removed: for minutes, ext4 searches long for an inode that was in use a moment ago.
        std::fs::rename(&work, self.folder.join(format!("work-{round}")))?;
        std::fs::create_dir(&work)?;
        let state = self.folder.join(format!("state-{round}"));
        let at = |path: &Path| path.display().to_string();
        let (root, state, trust) = (at(&self.root), at(&state), at(&self.trust));
        let arguments =
            ["session", "--host-shell", "--root", &root, "--state-folder", &state, "--trust-folder", &trust];
        let input = File::open(&self.request)?.into();
        let run =
            once_with(input, &gateway_program("keros-executor")?, &arguments, &self.folder.join("peak"))?;
        let made = work.read_dir()?.count();
        ensure!(made == 1000, "{made} files were made");
        Ok(run)
    }
}
