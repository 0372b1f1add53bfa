//! The REST API as others see it: schemathesis, which nobody here wrote, tries what the document promises, and the examples of
//! `docs/rest.md` are run as they are written.

mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{Broker, Center, project_root};
use serde_json::{Value, json};

use site::Site;

/// Seconds for each of the two runs; the long way has more.
fn budget_s() -> u64 {
    std::env::var("KEROS_SCHEMATHESIS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
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

/// How many answers were successes, percent, and what part of the routes has succeeded at least once, percent: below these nothing much is tried.
/// A slow machine comes to fewer of the requests that are right.
const LEAST_SUCCESSES: usize = 15;
const LEAST_ROUTES: usize = 80;

/// Lets schemathesis try everything that the document has, with one of the two ways of log-in.
fn try_all(
    program: &Path,
    site: &Site,
    folder: &Path,
    way: &str,
    auth: &str,
    left_out: &[&str],
) -> Result<()> {
    let (config, known, answers) = (
        folder.join(format!("{way}.toml")),
        folder.join(format!("{way}.json")),
        folder.join(format!("{way}.answers")),
    );
    let hooks = project_root().join("tests/e2e/rest/hooks.py");
    fs::write(&config, format!("hooks = {:?}\n{auth}", hooks.to_string_lossy()))?;
    fs::write(&known, site.known(way)?.to_string())?;
    let url = format!("http://{}/api/v1", site.center.rest());
    let left_out = left_out.iter().flat_map(|path| ["--exclude-path", *path]);
    let output = Command::new(program)
        .current_dir(folder)
        .env("HYPOTHESIS_STORAGE_DIRECTORY", folder.join("hypothesis"))
        .env("KEROS_KNOWN", &known)
        .env("KEROS_ANSWERS", &answers)
        .arg("--config-file")
        .arg(&config)
        .arg("run")
        .arg(project_root().join("docs/center-api.openapi.json"))
        .args(["--url", &url])
        // What a schema cannot say may still be refused: a digest that is not the body's, a group that is not there.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(left_out)
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", &budget_s().to_string()])
        .args(["--request-timeout", "20", "--continue-on-failure", "--no-color"])
        .args(std::env::var("KEROS_FUZZ_SEED").map(|seed| format!("--seed={seed}")))
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let log = site.center.log();
    ensure!(output.status.success(), "{told}\n{}\n{log}", String::from_utf8_lossy(&output.stderr));
    ensure!(!log.contains("ERROR"), "the center met errors: {log}");
    println!("{}", told.split("= SUMMARY =").last().unwrap_or_default());
    tell_successes(way, &fs::read_to_string(&answers)?, &documented()?)
}

/// `METHOD /path` of all that the document has.
fn documented() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(project_root().join("docs/center-api.openapi.json"))?;
    let document: Value = serde_json::from_str(&text)?;
    let paths = document["paths"].as_object().context("the document has paths")?;
    let routes = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
    });
    Ok(routes.collect())
}

/// How much of it was more than a refusal.
fn tell_successes(way: &str, answers: &str, documented: &BTreeSet<String>) -> Result<()> {
    let mut routes = BTreeMap::<&str, bool>::new();
    let (mut all, mut good) = (0, 0);
    for (route, status) in answers.lines().filter_map(|line| line.rsplit_once(' ')) {
        // The program tries methods that a path does not have, too.
        if !documented.contains(route) {
            continue;
        }
        let is_good = status.starts_with('2');
        all += 1;
        good += usize::from(is_good);
        *routes.entry(route).or_default() |= is_good;
    }
    let (reached, never): (Vec<_>, Vec<_>) = routes.iter().partition(|(_, is_good)| **is_good);
    let never: Vec<&str> = never.into_iter().map(|(route, _)| *route).collect();
    ensure!(all > 0, "nothing was asked");
    println!(
        "{way}: {all} answers, {} % of them successes; {} of {} routes have succeeded, not: {never:?}",
        good * 100 / all,
        reached.len(),
        routes.len()
    );
    ensure!(good * 100 / all >= LEAST_SUCCESSES, "most of it was refused");
    ensure!(reached.len() * 100 / routes.len() >= LEAST_ROUTES, "too many routes were only refused");
    Ok(())
}

#[test]
fn schemathesis_finds_no_server_error_and_no_undocumented_answer() -> Result<()> {
    let Some(program) = schemathesis()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    // A center for each way of log-in: what the one leaves behind fills it up to its bounds.
    let mut site = Site::start(&folder.path().join("bearer"))?;
    let token = site.center.token().context("the center has made its token")?;
    let bearer = format!("[auth.openapi.token]\nbearer = {token:?}\n");
    // A stream has no end while its update has none. A method that a path does not have is a 401 for who has not logged in, where the path
    // has others that need it; the program expects 405 of the path that logs in.
    try_all(&program, &site, folder.path(), "bearer", &bearer, &["/events", "/session"])?;
    ensure!(site.center.is_running(), "{}", site.center.log());
    site = Site::start(&folder.path().join("cookie"))?;
    let (session, csrf) = site.log_in()?;
    let cookie =
        format!("[auth.openapi.session]\napi_key = {session:?}\n[auth.openapi.csrf]\napi_key = {csrf:?}\n");
    // What ends the log-in that all the rest needs.
    let left_out = ["/events", "/session", "/session/set-up", "/account/password"];
    try_all(&program, &site, folder.path(), "cookie", &cookie, &left_out)?;
    ensure!(site.center.is_running(), "{}", site.center.log());
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
