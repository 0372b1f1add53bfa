//! A scratch tree for tests of modules that run tools: stub tools, real ones, and one task at a time.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test ends by panicking, and not every test needs all of this"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use keros_playbook::{
    BackupLog, BackupSpec, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace,
};
use keros_protocol::Outcome;
use keros_protocol::executor::{Event, TaskResult};
use serde_json::{Map, Value};

/// Where stub tools lie in the tree.
const STUBS: &str = "/stubs";

pub(crate) struct Scratch {
    root: tempfile::TempDir,
    pub(crate) search_path: String,
    pub(crate) shell: ShellPlace,
    pub(crate) dry_run: bool,
    /// Where what is changed is kept, so that it can be undone.
    pub(crate) backup: Option<BackupSpec>,
    /// Paths mean those of this machine, and its own tools are found.
    pub(crate) whole_machine: bool,
    /// The script's folder.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) extra_vars: Map<String, Value>,
    pub(crate) results: Vec<TaskResult>,
}

impl Observer for Scratch {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { result, .. } = event {
            self.results.push(result.clone());
        }
        Ok(())
    }
}

impl Scratch {
    /// An empty tree where only stub tools are found.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(&STUBS[1..])).unwrap();
        Self {
            root,
            search_path: STUBS.to_owned(),
            shell: ShellPlace::Host,
            dry_run: false,
            backup: None,
            whole_machine: false,
            folder: None,
            extra_vars: Map::new(),
            results: Vec::new(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Puts a stub tool into the tree. It writes its arguments, one in brackets each, to `/log`, then does what the body says.
    pub(crate) fn stub(&self, name: &str, body: &str) {
        let text = format!(
            "#!/bin/sh\n{{ printf '{name}'; printf ' [%s]' \"$@\"; printf '\\n'; }} >> \"$KEROS_ROOT/log\"\n\
             state=\"$KEROS_ROOT/state\"\n{body}\n"
        );
        self.program(&format!("{STUBS}/{name}"), &text);
    }

    /// Puts a program into the tree.
    pub(crate) fn program(&self, path: &str, text: &str) {
        self.write("text-of-program", text);
        install(&self.path("text-of-program"), &self.path(path));
        fs::remove_file(self.path("text-of-program")).unwrap();
    }

    /// What the stub tools were called with since the last time.
    pub(crate) fn log(&self) -> Vec<String> {
        let lines = self.read("log").lines().map(str::to_owned).collect();
        let _ = fs::remove_file(self.path("log"));
        lines
    }

    /// Runs tasks, one a line; the findings when the script is refused.
    pub(crate) fn run(&mut self, tasks: &[&str]) -> Result<Outcome, String> {
        let tasks: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
        let text = format!("- name: p\n  groups: [all]\n  tasks:\n{tasks}");
        let source = ScriptSource {
            text,
            file: "s.yml".to_owned(),
            folder: self.folder.clone(),
            extra_vars: self.extra_vars.clone(),
            ..ScriptSource::default()
        };
        let script = Script::parse(&source)
            .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let mut system = self.system();
        let options =
            RunOptions { dry_run: self.dry_run, backup: self.backup.clone(), ..RunOptions::default() };
        self.results.clear();
        Ok(keros_playbook::run(&script, &mut system, &options, self).without_reboot())
    }

    pub(crate) fn system(&self) -> HostSystem {
        let mut system = HostSystem::new(self.root.path().to_owned(), self.shell);
        if self.whole_machine {
            system.root = PathBuf::from("/");
        } else {
            system.search_path.clone_from(&self.search_path);
        }
        system
    }

    /// Undoes what was run with a backup: what remains.
    pub(crate) fn undo(&self) -> Vec<String> {
        let log = BackupLog::read(&self.backup.as_ref().unwrap().folder).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(300);
        log.undo(&mut self.system(), until, &mut |_, _| {})
    }

    /// Runs tasks and gives the statuses of those that ran.
    pub(crate) fn statuses(&mut self, tasks: &[&str]) -> Vec<&'static str> {
        self.run(tasks).unwrap();
        self.results.iter().map(|result| result.status.as_str()).collect()
    }

    /// Runs one task: its status, its changes as `property: before -> after`, or its message.
    pub(crate) fn one(&mut self, task: &str) -> String {
        self.run(&[task]).unwrap();
        told(&self.results[0])
    }

    /// Runs one task with a value as `{{v}}`; the message when it failed.
    pub(crate) fn with_value(&mut self, task: &str, value: &str) -> String {
        self.extra_vars.insert("v".to_owned(), Value::from(value));
        self.one(task)
    }

    /// Copies a program of this machine, and the libraries that it needs; false when there is none.
    pub(crate) fn borrow(&self, program: &str) -> bool {
        let Ok(output) = Command::new("ldd").arg(program).output() else { return false };
        if !Path::new(program).exists() {
            return false;
        }
        let printed = String::from_utf8(output.stdout).unwrap();
        let libraries = printed.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([program]) {
            install(Path::new(file), &self.path(file));
        }
        true
    }
}

/// Copies a program by another process: were it written by this one, a child that another test is just starting could hold it open
/// for a moment, and nobody can run a file that is open for writing.
fn install(from: &Path, to: &Path) {
    let status = Command::new("install").args(["-D", "-m", "755"]).args([from, to]).status();
    assert!(status.unwrap().success());
}

pub(crate) fn told(result: &TaskResult) -> String {
    if let Some(message) = &result.message {
        return format!("{}: {message}", result.status.as_str());
    }
    let shown = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let changes = result.changes.iter();
    let changes: Vec<String> = changes
        .map(|change| format!("{}: {} -> {}", change.property, shown(&change.before), shown(&change.after)))
        .collect();
    [vec![result.status.as_str().to_owned()], changes].concat().join(" | ")
}

/// Values that would do harm if a shell saw them, or a tool took them for options.
pub(crate) const HOSTILE: [&str; 12] = [
    "$(touch x)",
    "`touch x`",
    "a'b",
    "a\"b",
    "a;touch x",
    "a\nb",
    "a\0b",
    "-x",
    "--help",
    "a b",
    "../x",
    "a|b",
];
