//! `protocol/README.md`, section 7, to the letter: a shell with openssl and mosquitto plays the center.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use keros_tests::{
    Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, run_ok, system_program, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0056070123";

/// The shell lines of the document: its last block of code, with the port of this test.
fn lines_of_the_document(port: u16) -> Result<String> {
    let text = std::fs::read_to_string(keros_tests::project_root().join("protocol/README.md"))?;
    let (_, rest) = text.split_once("## 7.").context("the document has a section 7")?;
    let (_, rest) = rest.split_once("```sh\n").context("section 7 has shell lines")?;
    let (lines, _) = rest.split_once("```").context("the shell lines end")?;
    let with_port = |name: &str| format!("{name} -h 127.0.0.1 -p {port}");
    Ok(lines
        .replace("mosquitto_sub", &with_port("mosquitto_sub"))
        .replace("mosquitto_pub", &with_port("mosquitto_pub")))
}

fn command(script: &str) -> Value {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    json!({
        "command_id": uuid::Uuid::now_v7(), "update_id": uuid::Uuid::now_v7(), "eui": EUI,
        "issued_at_unix_s": now, "expires_at_unix_s": now + 3600,
        "job": { "kind": "jetporch", "script": script },
    })
}

#[test]
fn a_shell_with_openssl_and_mosquitto_can_be_the_center() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
    let trust = folder.join("trust");
    std::fs::create_dir(&trust)?;

    // The keys have to be there before the gateway starts: run the document's first lines alone.
    let document = lines_of_the_document(broker.port)?;
    let (make_keys, send) = document.split_once("\n\n").context("the document makes keys first")?;
    shell(folder, make_keys)?;
    std::fs::copy(folder.join("command-mine.pem"), trust.join("command-mine.pem"))?;
    let options = GatewayOptions { port: broker.port, trust, ..GatewayOptions::default() };
    let gateway = Gateway::start(&folder.join("gateway"), EUI, KEROS_6, &options)?;
    wait_for("the gateway is online", || {
        let mut client = keros_tests::mosquitto_client("mosquitto_sub", broker.port)?;
        let text = client.args(["-t", &format!("keros/v1/{EUI}/presence"), "-C", "1", "-W", "2"]).output()?;
        Ok((text.stdout == b"online\n").then_some(()))
    })?;

    let script = "- name: p\n  groups: [all]\n  tasks:\n    - !file { path: /by-a-stranger }\n";
    std::fs::write(folder.join("command.json"), command(script).to_string())?;
    let keyid = "keyid=$(openssl pkey -in command.key -pubout -outform DER | sha256sum | cut -c1-16)\n";
    let log = folder.join("reports");
    let file = std::fs::File::create(&log)?;
    let mut reports = Command::new(system_program("sh")?)
        .args(["-ec", &format!("{keyid}{send}\nwait")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(file)
        .process_group(0)
        .spawn()?;
    let statuses = wait_for("the terminal report", || {
        let text = std::fs::read_to_string(&log)?;
        let reports: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let statuses: Vec<_> =
            reports.iter().filter_map(|report| Some(report["status"].as_str()?.to_owned())).collect();
        Ok(statuses.iter().any(|status| status == "succeeded").then_some(statuses))
    });
    nix::sys::signal::killpg(
        nix::unistd::Pid::from_raw(i32::try_from(reports.id())?),
        nix::sys::signal::SIGKILL,
    )?;
    reports.wait()?;
    let statuses = statuses?;
    assert_eq!(statuses.first().map(String::as_str), Some("received"), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| *status == "succeeded").count(), 1, "{statuses:?}");
    assert!(gateway.root.join("by-a-stranger").exists());
    Ok(())
}

fn shell(folder: &Path, lines: &str) -> Result<()> {
    let script = format!("cd '{}'\n{lines}", folder.display());
    run_ok(&system_program("sh")?, ["-ec", &script]).map(drop)
}
