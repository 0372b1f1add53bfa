//! Runs the example playbooks in `tests/playbooks` at the workspace's top, and checks the results that their comments state.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::Outcome;
use keros_protocol::executor::Event;
use serde_json::{Map, Value};

/// One example on a tree of its own.
struct Example {
    root: tempfile::TempDir,
    statuses: Vec<&'static str>,
    messages: Vec<String>,
    items: Vec<&'static str>,
    retries: usize,
    outcome: Option<Outcome>,
}

impl Observer for Example {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TaskEnded { result, .. } => {
                self.statuses.push(result.status.as_str());
                self.messages.push(result.message.clone().unwrap_or_default());
            }
            Event::ItemEnded { result, .. } => self.items.push(result.status.as_str()),
            Event::Retrying { .. } => self.retries += 1,
            _ => {}
        }
        Ok(())
    }
}

impl Example {
    fn run(name: &str) -> Self {
        Self::run_with(name, Map::new())
    }

    fn run_with(name: &str, extra_vars: Map<String, Value>) -> Self {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/playbooks").canonicalize().unwrap();
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let source = ScriptSource {
            text,
            file: name.to_owned(),
            folder: Some(folder),
            extra_vars,
            ..ScriptSource::default()
        };
        let script = Script::parse(&source).unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/os-release"), "ID=keros\nID_LIKE=\"debian\"\nVERSION_ID=6.3.1\n")
            .unwrap();
        fs::create_dir(root.path().join("home")).unwrap();
        let mut system = HostSystem::new(root.path().to_owned(), ShellPlace::Host);
        let (statuses, messages, items) = (Vec::new(), Vec::new(), Vec::new());
        let mut example = Self { root, statuses, messages, items, retries: 0, outcome: None };
        let outcome =
            keros_playbook::run(&script, &mut system, &RunOptions::default(), &mut example).without_reboot();
        example.outcome = Some(outcome);
        example
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    fn failed_at(&self) -> Option<u32> {
        match self.outcome.as_ref().unwrap() {
            Outcome::Failed { task, .. } => Some(task.as_ref().unwrap().number),
            _ => None,
        }
    }

    fn succeeded(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Succeeded { .. }))
    }
}

#[test]
fn talk() {
    let example = Example::run("talk.yml");
    assert_eq!(example.statuses, ["passive"; 4]);
    assert_eq!(example.messages[1], "ROOF gateway: 2 channels, count is 2");
    assert_eq!(example.messages[2], "channels: [868.1,868.3]\ntitle: \"ROOF gateway\"");
    assert_eq!(example.messages[3], "a number");
    assert!(example.succeeded());
}

#[test]
fn files_and_directories() {
    let example = Example::run("files-and-directories.yml");
    let expected = [
        "created", "matched", "created", "matched", "modified", "created", "ignored", "removed", "matched",
        "removed",
    ];
    assert_eq!(example.statuses, expected);
    assert!(example.path("/var/lib/demo").is_dir());
    assert!(!example.path("/var/lib/demo/spool").exists());
    assert!(example.succeeded());
}

#[test]
fn copy_and_template() {
    let example = Example::run("copy-and-template.yml");
    let expected = ["created", "created", "matched", "created", "created", "created", "modified", "ignored"];
    assert_eq!(example.statuses, expected);
    let forwarder = "# made for roof-7\n[gateway]\nname = \"roof-7\"\n\n[[server]]\nhost = \"a.example.net\"\n\
                     port = 1700\n\n[[server]]\nhost = \"b.example.net\"\nport = 1701\n# 2 servers\n";
    assert_eq!(example.text("/etc/demo/forwarder.toml"), forwarder);
    assert_eq!(example.mode("/etc/demo/forwarder.toml"), 0o640);
    assert_eq!(example.text("/etc/demo/router.conf"), "router = \"eu1.example.net\"\nkeep = true\n");
    assert_eq!(example.text("/etc/demo/name"), "name=roof-7!\n");
    assert_eq!(example.text("/etc/demo/verbatim"), "{{ stays as it is }}\n");
    assert!(
        example.messages[7].contains("the directory /etc/demo/none is not there"),
        "{}",
        example.messages[7]
    );
}

#[test]
fn conditions() {
    let example = Example::run("conditions.yml");
    assert_eq!(example.statuses, ["created", "created", "skipped", "skipped", "skipped", "created"]);
    assert!(example.path("/five").exists() && !example.path("/three").exists());
    assert!(example.succeeded());
}

#[test]
fn items() {
    let example = Example::run("items.yml");
    assert_eq!(example.statuses, ["created", "created", "created", "failed"]);
    assert_eq!(example.items, ["created", "created", "created", "skipped", "matched", "created"]);
    assert_eq!((example.mode("/home/ann"), example.mode("/home/bob")), (0o700, 0o750));
    assert_eq!(example.failed_at(), Some(4));
    assert_eq!(example.messages[3], "with/items contained no entries");
}

#[test]
fn handlers() {
    let example = Example::run("handlers.yml");
    assert_eq!(
        example.statuses,
        ["created", "matched", "created", "skipped", "created", "created", "skipped"]
    );
    assert!(example.path("/restarted").exists() && !example.path("/reloaded").exists());
    assert!(example.succeeded());
}

#[test]
fn retry_and_ignore() {
    let example = Example::run("retry-and-ignore.yml");
    assert_eq!(example.statuses, ["executed", "ignored", "passive", "failed"]);
    assert_eq!(example.retries, 3, "two and one");
    assert_eq!(example.text("/tries"), "x\nx\nx\n");
    assert_eq!(example.text("/lost"), "x\nx\n");
    assert!(!example.path("/not-reached").exists() && !example.path("/handler").exists());
}

#[test]
fn variables() {
    let expected = "14 whip 3 eu868 file [d, v, ]\n";
    assert_eq!(Example::run("variables.yml").text("/result"), expected);
    let extra = serde_json::json!({"source": "extra", "list": ["x"], "radio": {"antenna": "yagi"}});
    let example = Example::run_with("variables.yml", extra.as_object().unwrap().clone());
    assert_eq!(example.text("/result"), "14 yagi 3 eu868 extra [d, v, x, ]\n");
}

#[test]
fn shell() {
    let example = Example::run("shell.yml");
    assert_eq!(example.statuses, ["passive", "created", "executed", "executed", "ignored", "failed"]);
    assert_eq!(example.text("/saved"), "rc=4 out=out\nerr\n");
    assert_eq!(example.text("/words"), "<plain>\n<words>\n");
    assert!(example.path("/tricked").exists(), "only by the task with `unsafe: true`");
    assert!(
        example.messages[5].contains("`trick`") && example.messages[5].contains("';'"),
        "{}",
        example.messages[5]
    );
    assert_eq!(example.failed_at(), Some(6));
}

#[test]
fn assert_and_fail() {
    let example = Example::run("assert-and-fail.yml");
    assert_eq!(example.statuses, ["passive", "ignored", "skipped", "failed"]);
    assert_eq!(example.messages[1], "assertion failed: only 120 MB free");
    assert_eq!(example.messages[3], "fail invoked");
}

#[test]
fn stat_and_facts() {
    let example = Example::run("stat-and-facts.yml");
    assert_eq!(example.statuses, ["created", "passive", "passive", "passive", "created"]);
    assert_eq!(example.text("/seen"), "true false 0o640 false Linux KerOS 6.3.1\n");
}

#[test]
fn secrets() {
    let example = Example::run("secrets.yml");
    assert_eq!(example.statuses, ["created", "passive", "passive", "executed", "passive"]);
    assert_eq!(example.text("/wifi"), "ssid=roof\npsk=correct-horse\n");
    assert_eq!(example.messages[1], "the key of roof is ***");
    assert_eq!(
        example.messages[4],
        "token: {\"out\":\"***\",\"rc\":0}\nwifi: {\"key\":\"***\",\"ssid\":\"roof\"}"
    );
}
