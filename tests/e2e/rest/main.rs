//! The REST API as others see it: schemathesis, which nobody here wrote, tries what the document promises, and the examples of
//! `docs/rest.md` are run as they are written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{Broker, Center, Pki, free_port, project_root};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";

/// Seconds for each of the two runs; the long way has more.
fn budget_s() -> u64 {
    std::env::var("KEROS_SCHEMATHESIS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// schemathesis in a Python environment of its own, from PyPI, once; `None` where it cannot be had.
fn schemathesis() -> Result<Option<PathBuf>> {
    let requirements = project_root().join("tests/e2e/rest/requirements.txt");
    let folder = project_root().join("target/schemathesis");
    let (program, done) = (folder.join("bin/st"), folder.join("requirements.txt"));
    if fs::read(&done).ok() == Some(fs::read(&requirements)?) {
        return Ok(Some(program));
    }
    let made = Command::new("python3").arg("-m").arg("venv").arg(&folder).output();
    if !made.is_ok_and(|made| made.status.success()) {
        skipped("python3 with its module venv is not installed");
        return Ok(None);
    }
    let pip = Command::new(folder.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements)
        .output()?;
    if !pip.status.success() {
        skipped(&format!("schemathesis cannot be had: {}", String::from_utf8_lossy(&pip.stderr)));
        return Ok(None);
    }
    fs::copy(&requirements, &done)?;
    Ok(Some(program))
}

/// A center with gateways, a group, an update that waits and one that has ended. Gateways may enrol.
fn center(folder: &Path) -> Result<(Center, String)> {
    let pki = Pki::new(&folder.join("pki"))?;
    let (certificate, key) = pki.issue("center", "localhost")?;
    let registry = format!("127.0.0.1:{}", free_port()?);
    let more = ["--registry-tls", &registry].map(str::to_owned).to_vec();
    let center = Center::start_with(&folder.join("center"), Broker::EmbeddedTls(certificate, key), more)?;
    for number in 1..=5 {
        center.post("/gateways", &json!({"eui": format!("7076FF000000000{number}"), "name": "<b>mast"}))?;
    }
    let ended = center.send("ended", &[EUI], SCRIPT)?;
    center.post(&format!("/updates/{ended}/cancel"), &Value::Null)?;
    center.send("waiting", &["7076FF0000000002", "7076FF0000000003"], SCRIPT)?;
    Ok((center, ended))
}

const SCRIPT: &str = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n";

/// Lets schemathesis try everything that the document has.
fn try_all(program: &Path, center: &Center, folder: &Path, config: &str) -> Result<()> {
    let file = folder.join("schemathesis.toml");
    fs::write(&file, config)?;
    let token = center.token().context("the center has made its token")?;
    let url = format!("http://{}/api/v1", center.rest());
    let output = Command::new(program)
        .current_dir(folder)
        .env("HYPOTHESIS_STORAGE_DIRECTORY", folder.join("hypothesis"))
        .arg("--config-file")
        .arg(&file)
        .arg("run")
        .arg(project_root().join("docs/center-api.openapi.json"))
        .args(["--url", &url, "--header", &format!("Authorization: Bearer {token}")])
        // What a schema cannot say may still be refused: a digest that is not the body's, a group that is not there.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        // A stream has no end while its update has none.
        .args(["--exclude-path", "/events"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", &budget_s().to_string()])
        .args(["--request-timeout", "20", "--continue-on-failure", "--no-color"])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{told}\n{}\n{}", String::from_utf8_lossy(&output.stderr), center.log());
    ensure!(!center.log().contains("ERROR"), "the center met errors: {}", center.log());
    println!("{}", told.split("= SUMMARY =").last().unwrap_or_default());
    Ok(())
}

#[test]
fn schemathesis_finds_no_server_error_and_no_undocumented_answer() -> Result<()> {
    let Some(program) = schemathesis()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (mut center, ended) = center(folder.path())?;
    // Once with names that nobody has, once with those of what is there.
    try_all(&program, &center, folder.path(), "")?;
    let known = format!(
        "[parameters]\n\"path.eui\" = \"{EUI}\"\n\"path.name\" = \"waiting\"\n\"path.id\" = \"{ended}\"\n"
    );
    try_all(&program, &center, folder.path(), &known)?;
    ensure!(center.is_running(), "{}", center.log());
    Ok(())
}

#[test]
fn the_examples_of_the_page_work_as_they_are_written() -> Result<()> {
    let page = fs::read_to_string(project_root().join("docs/rest.md"))?;
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0)).collect();
    ensure!(blocks.len() >= 5, "where are the examples?");
    let folder = tempfile::tempdir()?;
    let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
    let script = folder.path().join("examples.sh");
    fs::write(&script, format!("set -eu\n{}", blocks.concat()))?;
    let token = center.token().context("the center has made its token")?;
    let output = Command::new("sh")
        .arg(&script)
        .current_dir(folder.path())
        .env("CENTER", format!("http://{}", center.rest()))
        .env("TOKEN", token)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["mast", "7076FF0056070124", "\"waiting\": 2", "\"never_delivered\": 2", "event: ended"] {
        ensure!(told.contains(expected), "no {expected:?} in {told}");
    }
    ensure!(center.get("/groups")? == json!([]), "the group is removed");
    ensure!(center.get("/updates")?.as_array().map(Vec::len) == Some(1), "the update was sent once");
    Ok(())
}
