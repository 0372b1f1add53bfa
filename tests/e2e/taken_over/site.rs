//! A booted Debian with our programs, and the agent's user in other hands.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Booted, Installed, keros_program, run_ok, system_program, wait_for};

use crate::signed::{COMMAND, EUI, STATEMENT, key};

pub(crate) const SOCKET: &str = "/run/keros-executor.sock";
const REQUESTS: &str = "/opt/requests";

pub(crate) struct Site {
    pub(crate) debian: Booted,
}

impl Site {
    pub(crate) fn start() -> Result<Self> {
        let debian = Booted::start(|root| {
            let trust = tempfile::tempdir()?;
            for (name, seed) in [("command-a", COMMAND), ("statement-a", STATEMENT)] {
                fs::write(trust.path().join(format!("{name}.pem")), key(seed).public().to_pem())?;
            }
            // Nobody is at the other end: the agent of this gateway is in other hands.
            let installed = Installed::keros_6(EUI, "127.0.0.1", 1, trust.path());
            installed.into(root)?;
            add(root)
        })?;
        let site = Self { debian };
        wait_for("the agent serves its sockets", || {
            Ok(site.debian.path("/run/keros-agent/control.sock").exists().then_some(()))
        })
        .or_else(|_| site.root(&["test", "-S", "/run/keros-agent/control.sock"]).map(drop))?;
        Ok(site)
    }

    /// As root, which looks at what came of it.
    pub(crate) fn root(&self, command: &[&str]) -> Result<String> {
        self.debian.run_ok(command)
    }

    /// As the user `name`, with its groups and nothing else; gives what it printed, errors too.
    pub(crate) fn as_user(&self, name: &str, command: &[&str]) -> Result<(bool, String)> {
        let output = self.debian.run(&[&["runuser", "-u", name, "--"], command].concat())?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The hostile program as the agent's user.
    pub(crate) fn hostile(&self, arguments: &[&str]) -> Result<String> {
        let (_, told) = self.as_user("keros-agent", &[&["/opt/keros-hostile"], arguments].concat())?;
        Ok(told)
    }

    /// The same, going on beside the test under this unit's name.
    pub(crate) fn hostile_beside(&self, unit: &str, arguments: &[&str]) -> Result<()> {
        let unit = format!("--unit={unit}");
        let output = format!("--property=StandardOutput=file:/opt/{unit}.out", unit = &unit[7..]);
        let start = [
            "systemd-run",
            "--quiet",
            "--collect",
            "--uid=keros-agent",
            &unit,
            &output,
            "/opt/keros-hostile",
        ];
        self.root(&[&start, arguments].concat()).map(drop)
    }

    /// Each request in a connection of its own, by the agent's user; the last line of each answer.
    pub(crate) fn ask(&self, requests: &[(String, Vec<u8>)]) -> Result<BTreeMap<String, String>> {
        let mut files = Vec::new();
        for (name, bytes) in requests {
            files.push(self.request_file(name, bytes)?);
        }
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let told = self.hostile(&[&["send", SOCKET], &files[..]].concat())?;
        let answers: BTreeMap<_, _> = told
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, answer)| (name.to_owned(), answer.to_owned()))
            .collect();
        ensure!(answers.len() == requests.len(), "an answer to each: {told}");
        Ok(answers)
    }

    /// Puts a request where the agent's user can read it.
    pub(crate) fn request_file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = format!("{REQUESTS}/{name}");
        let place = self.debian.path(&path);
        fs::write(&place, bytes)?;
        fs::set_permissions(place, fs::Permissions::from_mode(0o644))?;
        Ok(path)
    }

    /// The lines of the journal that say that the agent's user was refused something.
    pub(crate) fn refusals(&self) -> Result<Vec<String>> {
        let agent = self.root(&["id", "-u", "keros-agent"])?;
        let told = self.root(&["journalctl", "-b", "--no-pager", "-o", "cat"])?;
        let refused = format!("refused to user {} (process ", agent.trim());
        Ok(told.lines().filter(|line| line.contains(&refused)).map(str::to_owned).collect())
    }

    /// More refusals than it tells of are only counted; the next part of the test begins a new count.
    pub(crate) fn forget_refusals(&self) -> Result<()> {
        self.root(&["rm", "-f", "/var/lib/keros-executor/refusals"]).map(drop)
    }

    /// That nothing ran that was not signed.
    pub(crate) fn nothing_owned(&self) -> Result<()> {
        let found = self.root(&["find", "/var", "/etc", "/root", "-name", "owned*"])?;
        ensure!(found.is_empty(), "ran as root: {found}");
        Ok(())
    }

    /// The executor's own list of jobs, as root sees it.
    pub(crate) fn jobs(&self) -> Result<String> {
        self.root(&["keros-executor", "jobs"])
    }
}

fn add(root: &Path) -> Result<()> {
    let strip = system_program("strip")?;
    let (from, to) = (keros_program("keros-hostile")?, root.join("opt/keros-hostile"));
    run_ok(&strip, ["-o".as_ref(), to.as_os_str(), from.as_os_str()])?;
    let requests = root.join(REQUESTS.trim_start_matches('/'));
    fs::create_dir(&requests)?;
    fs::set_permissions(&requests, fs::Permissions::from_mode(0o755))?;
    let passwd = root.join("etc/passwd");
    let group = root.join("etc/group");
    let append = |path: &Path, line: &str| -> Result<()> {
        let text = fs::read_to_string(path).context("reading users")?;
        Ok(fs::write(path, text + line)?)
    };
    append(&passwd, "plain:x:2001:2001::/tmp:/bin/sh\ntechnician:x:2002:2002::/tmp:/bin/sh\n")?;
    append(&group, "plain:x:2001:\ntechnician:x:2002:\n")?;
    let text = fs::read_to_string(&group)?;
    let with_member: Vec<String> = text
        .lines()
        .map(|line| match line.split(':').next() {
            Some("keros") if line.ends_with(':') => format!("{line}technician"),
            Some("keros") => format!("{line},technician"),
            _ => line.to_owned(),
        })
        .collect();
    Ok(fs::write(&group, with_member.join("\n") + "\n")?)
}
