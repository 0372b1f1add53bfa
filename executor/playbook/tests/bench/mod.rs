//! A scratch tree and a script's folder, in which tests run tasks.

#![allow(dead_code, reason = "each test program uses its part")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keros_playbook::{
    Cancel, Diagnostic, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace,
};
use keros_protocol::executor::{Event, TaskResult};
use keros_protocol::{JobLimits, Outcome};
use serde_json::Map;

/// A scratch tree, a script's folder, and how scripts are run in them.
pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) place: ShellPlace,
    pub(crate) dry_run: bool,
    pub(crate) limits: JobLimits,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) results: Vec<TaskResult>,
}

impl Observer for Bench {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { result, .. } = event {
            self.results.push(result.clone());
        }
        Ok(())
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            place: ShellPlace::Host,
            dry_run: false,
            limits: JobLimits::default(),
            cancel: None,
            results: Vec::new(),
        }
    }

    /// Checks tasks, given as the lines of a list.
    pub(crate) fn parse(&self, tasks: &[&str]) -> Result<Script, Vec<Diagnostic>> {
        let lines: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
        Script::parse(&ScriptSource {
            text: format!("- name: p\n  groups: [all]\n  tasks:\n{lines}"),
            file: "s.yml".to_owned(),
            folder: Some(self.folder.path().to_owned()),
            extra_vars: Map::new(),
            ..ScriptSource::default()
        })
    }

    pub(crate) fn run(&mut self, tasks: &[&str]) -> Outcome {
        let script = self.parse(tasks).unwrap();
        let mut system = HostSystem::new(self.root.path().to_owned(), self.place);
        let cancel = self.cancel.clone();
        let options =
            RunOptions { limits: self.limits, dry_run: self.dry_run, cancel, ..RunOptions::default() };
        self.results.clear();
        keros_playbook::run(&script, &mut system, &options, self).without_reboot()
    }

    /// Runs one task and gives its status and message.
    pub(crate) fn one(&mut self, task: &str) -> (&'static str, String) {
        self.run(&[task]);
        let result = &self.results[0];
        (result.status.as_str(), result.message.clone().unwrap_or_default())
    }

    /// The output of the last task that ended.
    pub(crate) fn output(&self) -> String {
        self.results.last().and_then(|result| result.output.as_ref()).unwrap().head.clone()
    }

    /// All findings of a task that is refused.
    pub(crate) fn refused(&self, task: &str) -> String {
        let findings = self.parse(&[task]).unwrap_err();
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(path)
    }

    /// Puts a file into the script's folder.
    pub(crate) fn bring(&self, path: &str, content: &[u8]) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Puts a program into the tree. Another process writes it: what this one has open for writing may be inherited by a program that
    /// another test starts just then, and a file that is open for writing can't be run.
    pub(crate) fn program(&self, path: &str, text: &str) {
        let (path, draft) = (self.path(path), self.folder.path().join("draft"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&draft, text).unwrap();
        let copied = Command::new("cp").arg(&draft).arg(&path).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
