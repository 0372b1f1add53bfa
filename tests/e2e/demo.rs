//! The README's first command.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use keros_tests::{keros_program, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Our programs whose command line names this folder.
fn processes_of(folder: &std::path::Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|text| text.contains(&needle))
        .collect()
}

#[test]
fn the_demo_ends_with_its_table_and_leaves_nothing_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(keros_program("keros-center")?)
        .arg("demo")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    let (of_script, of_link) = text.split_once("7. A Magic Link").unwrap_or_default();
    for (story, reason) in [(of_script, "refused: not_keros_6"), (of_link, "refused: not_declared")] {
        let table: Vec<_> = story.lines().skip_while(|line| !line.contains("GATEWAY")).collect();
        assert_eq!(table.iter().filter(|line| line.contains("succeeded")).count(), 2, "{text}");
        assert_eq!(table.iter().filter(|line| line.contains(reason)).count(), 1, "{text}");
    }
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "files are left behind");
    assert_eq!(processes_of(folder.path()), Vec::<String>::new(), "processes are left behind");
    Ok(())
}

/// As a browser does it: the page, its form, and with the cookie the page of groups, which has the demo's.
fn log_in_as_the_demo_says(text: &str) -> Result<()> {
    let after = |words: &str| {
        let rest = text.split_once(words).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split([',', '\n']).next())
            .with_context(|| format!("no {words:?} in {text}"))
    };
    let pages = after("by hand: ")?;
    let (login, password) = (after("log-in name ")?, after(", password ")?);
    let agent: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).build().into();
    assert_eq!(agent.get(format!("{pages}/login")).call()?.status(), 200);
    let fields = [("login", login), ("password", password), ("next", "/groups")];
    let logged_in = agent.post(format!("{pages}/login")).send_form(fields)?;
    assert_eq!(logged_in.status(), 303);
    let cookie = logged_in.headers().get("set-cookie").context("no cookie")?.to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default();
    let groups =
        agent.get(format!("{pages}/groups")).header("cookie", cookie).call()?.into_body().read_to_string()?;
    assert!(groups.contains("Made by the demo"), "{groups}");
    Ok(())
}

#[test]
fn ctrl_c_ends_a_kept_demo_and_leaves_nothing_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch)?;
    let mut demo = Command::new(keros_program("keros-center")?)
        .args(["demo", "--keep"])
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&log)?)
        .spawn()?;
    let text = wait_for("the demo has told its story", || {
        let text = std::fs::read_to_string(&log)?;
        Ok((text.contains("refused: not_declared") && text.contains("It stays up")).then_some(text))
    })?;
    log_in_as_the_demo_says(&text)?;
    kill(Pid::from_raw(i32::try_from(demo.id())?), Signal::SIGINT)?;
    demo.wait()?;
    assert_eq!(std::fs::read_dir(&scratch)?.count(), 0, "files are left behind");
    assert_eq!(processes_of(&scratch), Vec::<String>::new(), "processes are left behind");
    Ok(())
}
