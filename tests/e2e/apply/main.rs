//! A technician runs an exported Magic Link from a stick: without any network, with a clock that says 1970, on an installed
//! system; and the center learns of it when the link returns.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod center;
mod installed;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use keros_protocol::{
    Command as Order, CommandId, Envelope, Job, JobLimits, JobOptions, SigningKey, UpdateId,
};
use keros_skip::skipped;
use keros_tests::{
    Bundle, Gateway, GatewayOptions, KEROS_6, keros_program, run_ok, system_program, wait_for,
};
use serde_json::Value;

const EUI: &str = "7076FF0000000001";
const PLAYBOOK: &[u8] = b"- name: link\n  groups: [all]\n  tasks:\n    \
    - !copy { src: motd, dest: /etc/motd }\n    \
    - !shell { name: count, cmd: 'echo run >> \"$KEROS_ROOT/runs\"' }\n";
const FILES: [(&str, &[u8]); 2] = [("site.yml", PLAYBOOK), ("files/motd", b"from a stick\n")];

/// A command, signed as the center would, for a gateway that no center knows.
fn signed(bundle: &Bundle, number: u128, eui: &str, key: &SigningKey) -> Result<Envelope> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let order = Order {
        command_id: CommandId(uuid::Uuid::from_u128(((u128::from(now) * 1000) << 80) | number)),
        update_id: UpdateId(uuid::Uuid::from_u128(2)),
        eui: eui.parse()?,
        issued_at_unix_s: now,
        expires_at_unix_s: now + 3600,
        job: Job::MagicLink { digest: bundle.digest, source: String::new(), token: None },
        limits: JobLimits::default(),
        options: JobOptions { confirm_window_s: 0, ..JobOptions::default() },
    };
    Ok(Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&order)?, key))
}

/// A key, and a folder in which a gateway trusts it.
fn trusted(folder: &Path) -> Result<SigningKey> {
    let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32]))?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("command-a.pem"), key.public().to_pem())?;
    Ok(key)
}

/// A gateway whose broker refuses every connection.
fn alone(folder: &Path, keros: &str, trust: PathBuf) -> Result<Gateway> {
    Gateway::prepare(folder, EUI, keros, &GatewayOptions { port: 1, trust, ..GatewayOptions::default() })
}

fn wait_for_socket(gateway: &Gateway) -> Result<()> {
    wait_for("the agent answers", || Ok((gateway.technician(&["status"])?.0 == 0).then_some(())))
}

fn apply(gateway: &Gateway, link: &Path, hash: &str, command: &Path) -> Result<(i32, String)> {
    let (link, command) = (link.display().to_string(), command.display().to_string());
    gateway.technician(&["apply", &link, hash, "--command", &command])
}

fn runs(gateway: &Gateway) -> usize {
    fs::read_to_string(gateway.root.join("runs")).unwrap_or_default().lines().count()
}

/// The library that gives a program another clock. The program of that name would stay between us and the agent.
fn fake_time() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    libraries.into_iter().find(|library| library.exists())
}

#[test]
fn a_clock_that_says_1970_does_not_keep_a_technicians_job_from_running() -> Result<()> {
    let Some(faketime) = fake_time() else {
        skipped("libfaketime gives the gateway another clock");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let key = trusted(&folder.path().join("trust"))?;
    let bundle = Bundle::write(&folder.path().join("stick"), &[EUI], &FILES)?;
    let command = folder.path().join("command.json");
    fs::write(&command, serde_json::to_vec(&signed(&bundle, 1, EUI, &key)?)?)?;
    // Agent and executor both live in 1970; only their timers run as they should.
    let wrap = |name: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        let (program, faketime) = (keros_program(name)?, faketime.display());
        let script = format!(
            "#!/bin/sh\nexport LD_PRELOAD={faketime} FAKETIME='@1970-01-02 00:00:00' FAKETIME_DONT_FAKE_MONOTONIC=1\n\
             exec {} \"$@\"\n",
            program.display()
        );
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let executor = Some(wrap("keros-executor")?);
    let options =
        GatewayOptions { port: 1, trust: folder.path().join("trust"), executor, ..GatewayOptions::default() };
    let mut gateway = Gateway::prepare(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    gateway.start_program(&wrap("keros-agent")?)?;
    wait_for_socket(&gateway)?;
    let (_, text) = gateway.technician(&["status", "--json"])?;
    let status: Value = serde_json::from_str(&text)?;
    ensure!(status["started_at_unix_s"].as_u64().is_some_and(|at| at < 1_000_000), "{text}");

    let (code, text) = apply(&gateway, &bundle.layout, &bundle.digest.hex(), &command)?;
    ensure!(code == 0 && text.contains("succeeded"), "{text}\n{}", gateway.log());
    ensure!(fs::read_to_string(gateway.root.join("etc/motd"))? == "from a stick\n");

    // What had expired before this agent was built has expired for certain.
    let mut order: Order = serde_json::from_slice(&signed(&bundle, 2, EUI, &key)?.unverified_payload()?)?;
    order.expires_at_unix_s = 1_700_000_000;
    let expired = Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&order)?, &key);
    fs::write(&command, serde_json::to_vec(&expired)?)?;
    let (code, text) = apply(&gateway, &bundle.layout, &bundle.digest.hex(), &command)?;
    ensure!(code == 65 && text.contains("expired"), "{text}");
    Ok(())
}

/// What the command line refuses before it sends anything, somebody else may send all the same.
#[test]
fn whoever_passes_by_the_command_line_is_refused_by_the_agent() -> Result<()> {
    let curl = system_program("curl")?;
    let folder = tempfile::tempdir()?;
    let trust = folder.path().join("trust");
    let key = trusted(&trust)?;
    let mut gateway = alone(&folder.path().join("gateway"), KEROS_6, trust)?;
    gateway.restart()?;
    wait_for_socket(&gateway)?;
    let control = folder.path().join("gateway/run/control.sock");
    let ask = |method: &str, path: &str, file: &Path| -> Result<Value> {
        let url = format!("http://agent{path}");
        let socket = control.display().to_string();
        let data = format!("@{}", file.display());
        let all = ["-sS", "--unix-socket", &socket, "-X", method, "--data-binary", &data, &url];
        Ok(serde_json::from_str(&run_ok(&curl, all)?)?)
    };
    let outcome = |id: &Value| -> Result<Value> {
        let id = id.as_str().context("an id")?;
        wait_for("the job's end", || {
            let (_, text) = gateway.technician(&["job", id, "--json"])?;
            let job: Value = serde_json::from_str(&text)?;
            let status = job["outcome"]["status"].as_str().unwrap_or_default();
            Ok((!matches!(status, "accepted" | "running")).then(|| job["outcome"].clone()))
        })
    };
    let command = folder.path().join("command.json");
    let order = |bundle: &Bundle, number, eui: &str| -> Result<Value> {
        fs::write(&command, serde_json::to_vec(&signed(bundle, number, eui, &key)?)?)?;
        ask("POST", "/v1/commands", &command)
    };

    // Declared for another one.
    let bundle = Bundle::write(&folder.path().join("other"), &["7276FF*"], &FILES)?;
    for file in fs::read_dir(bundle.layout.join("blobs/sha256"))? {
        let file = file?;
        let digest = file.file_name().into_string().unwrap();
        let told = ask("PUT", &format!("/v1/blobs/sha256:{digest}"), &file.path())?;
        ensure!(told["digest"] == format!("sha256:{digest}"), "{told}");
    }
    let told = order(&bundle, 1, EUI)?;
    ensure!(told["status"] == "accepted", "{told}");
    let end = outcome(&told["command_id"])?;
    ensure!(end["status"] == "refused" && end["reason"] == "not_declared", "{end}");

    // Not brought at all.
    let bundle = Bundle::write(&folder.path().join("absent"), &["7076FF*"], &[("site.yml", b"[]")])?;
    let told = order(&bundle, 2, EUI)?;
    let end = outcome(&told["command_id"])?;
    ensure!(end["status"] == "refused" && end["reason"] == "not_found", "{end}");

    let told = order(&bundle, 3, "7076FF0000000002")?;
    ensure!(told["status"] == "refused" && told["reason"] == "wrong_target", "{told}");
    ensure!(runs(&gateway) == 0, "nothing of it ran");
    Ok(())
}
