//! `git` with the real git and a repository on this machine's disk.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod scratch;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Command;

use scratch::{HOSTILE, Scratch};

/// Runs git itself in a folder.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=x", "-c", "user.email=x@example.net"]).args(arguments).current_dir(folder);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with a branch `main` and a branch `other`, and a scratch folder beside it; `None` where there is no git, or no root.
struct Bench {
    machine: Scratch,
    repository: tempfile::TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() || !nix::unistd::geteuid().is_root() {
            keros_skip::skipped("git or root is missing");
            return None;
        }
        let mut bench = Self { machine: Scratch::new(), repository: tempfile::tempdir().unwrap() };
        bench.machine.whole_machine = true;
        git(bench.repository.path(), &["init", "-q", "-b", "main"]);
        bench.commit("one");
        git(bench.repository.path(), &["branch", "other"]);
        Some(bench)
    }

    /// Writes a file and commits it; its version.
    fn commit(&self, text: &str) -> String {
        let folder = self.repository.path();
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("sub/file"), text).unwrap();
        git(folder, &["add", "."]);
        git(folder, &["commit", "-q", "-m", text]);
        git(folder, &["rev-parse", "HEAD"])
    }

    fn task(&mut self, more: &str) -> String {
        let (repo, path) =
            (self.repository.path().display(), self.machine.path("work/tree").display().to_string());
        self.machine.one(&format!("!git {{ repo: 'file://{repo}', path: '{path}'{more} }}"))
    }

    fn file(&self) -> String {
        self.machine.read("work/tree/sub/file")
    }
}

#[test]
fn a_branch_is_cloned_renewed_and_changed_and_matched_in_between() {
    let Some(mut bench) = Bench::new() else { return };
    let one = git(bench.repository.path(), &["rev-parse", "HEAD"]);
    assert_eq!(bench.task(""), format!("created | version: - -> {one} | branch: - -> main"));
    assert_eq!((bench.task(""), bench.file()), ("matched".to_owned(), "one".to_owned()));
    let two = bench.commit("two");
    assert_eq!(bench.task(", update: false"), "matched");
    assert_eq!(bench.task(""), format!("modified | version: {one} -> {two}"));
    assert_eq!((bench.task(""), bench.file()), ("matched".to_owned(), "two".to_owned()));
    let told = bench.task(", branch: other");
    assert_eq!(told, format!("modified | branch: main -> other | version: {two} -> {one}"));
    assert_eq!((bench.task(", branch: other"), bench.file()), ("matched".to_owned(), "one".to_owned()));
    assert!(bench.task("").starts_with("modified | branch: other -> main"));
    assert_eq!(bench.file(), "two");
    let told = bench.task(", branch: none");
    assert!(told.contains("there is no branch none in file://"), "{told}");
}

#[test]
fn what_was_changed_by_hand_is_not_thrown_away() {
    let Some(mut bench) = Bench::new() else { return };
    bench.task("");
    bench.machine.write("work/tree/sub/file", "by hand");
    assert_eq!(bench.task(""), "matched", "the version is as it should be");
    bench.commit("two");
    let told = bench.task("");
    assert!(told.contains("git -C") && told.contains("exit code"), "{told}");
    assert_eq!(bench.file(), "by hand");
    git(&bench.machine.path("work/tree"), &["checkout", "-q", "sub/file"]);
    git(&bench.machine.path("work/tree"), &["commit", "-q", "--allow-empty", "-m", "here"]);
    assert!(bench.task("").starts_with("failed"), "both sides have commits of their own");
}

#[test]
fn a_clone_that_was_cut_short_is_brought_to_its_end() {
    let Some(mut bench) = Bench::new() else { return };
    fs::create_dir_all(bench.machine.path("work/tree")).unwrap();
    git(&bench.machine.path("work/tree"), &["init", "-q", "-b", "main"]);
    assert!(bench.task("").starts_with("modified | version: - -> "));
    assert_eq!((bench.task(""), bench.file()), ("matched".to_owned(), "one".to_owned()));
}

#[test]
fn attributes_reach_what_differs_but_not_what_git_runs() {
    let Some(mut bench) = Bench::new() else { return };
    let attributes = ", attributes: { owner: 1234, group: 1235 }";
    bench.task(attributes);
    let owner = |path: &str| fs::symlink_metadata(bench.machine.path(path)).unwrap().uid();
    assert_eq!(
        ["work", "work/tree", "work/tree/sub/file", "work/tree/.git", "work/tree/.git/config"].map(owner),
        [0, 1234, 1234, 0, 0]
    );
    assert_eq!(bench.task(attributes), "matched", "git works in a folder of another user");
    chown(bench.machine.path("work/tree/sub/file"), Some(0), None).unwrap();
    assert_eq!(bench.task(attributes), "modified | attributes: - -> 1 inside");
    bench.commit("two");
    assert!(bench.task(attributes).starts_with("modified | version: "));
    assert_eq!(bench.task(attributes), "matched");
    chown(bench.machine.path("work/tree/.git"), Some(1234), None).unwrap();
    let told = bench.task(attributes);
    assert!(told.contains(".git must belong to root"), "{told}");
}

#[test]
fn a_dry_run_clones_nothing_and_knows_what_it_would_have_cloned() {
    let Some(mut bench) = Bench::new() else { return };
    bench.machine.dry_run = true;
    let (repo, path) = (bench.repository.path().display(), bench.machine.path("tree").display().to_string());
    let task = |branch: &str| format!("!git {{ repo: '{repo}', path: '{path}', branch: {branch} }}");
    let tasks = [task("main"), task("main"), task("other"), task("other")];
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    assert_eq!(bench.machine.statuses(&tasks), ["created", "matched", "modified", "matched"]);
    assert!(!bench.machine.path("tree").exists());
}

#[test]
fn hostile_values_reach_no_git() {
    let mut machine = Scratch::new();
    machine.stub("git", "exit 1");
    for value in
        HOSTILE.iter().chain(&["ext::sh -c touch% x", "fd::3", "--upload-pack=touch x", "$IFS", "a~b"])
    {
        for (key, fields) in [
            ("repo", "repo: '{{v}}', path: /w"),
            ("branch", "repo: /r, path: /w, branch: '{{v}}'"),
            ("ssh_options", "repo: /r, path: /w, ssh_options: { Port: '{{v}}' }"),
        ] {
            // An option's value stands behind `=`, where a dash does no harm.
            if key == "ssh_options" && ["-x", "--help", "../x", "fd::3"].contains(value) {
                continue;
            }
            let told = machine.with_value(&format!("!git {{ {fields} }}"), value);
            assert!(told.starts_with(&format!("failed: field ({key})")), "{key} {value:?}: {told}");
        }
    }
    assert_eq!(machine.log(), [""; 0]);
    let refused =
        machine.run(&["!git { repo: /r, path: /w, ssh_options: { ProxyCommand: x } }"]).unwrap_err();
    assert!(refused.contains("ProxyCommand runs a command"), "{refused}");
}

#[test]
fn git_is_told_never_to_ask_and_how_to_call_ssh() {
    let mut machine = Scratch::new();
    machine.stub(
        "git",
        r#"echo "$GIT_TERMINAL_PROMPT $GIT_ALLOW_PROTOCOL $GIT_SSH_COMMAND" > "$state"; exit 1"#,
    );
    machine.one("!git { repo: 'git@host:x', path: /w, ssh_options: { Port: 2222 }, accept_keys: false }");
    let expected =
        "0 https:http:ssh:git:file ssh -o Port=2222 -o BatchMode=yes -o StrictHostKeyChecking=yes\n";
    assert_eq!(machine.read("state"), expected);
    machine.one("!git { repo: 'git@host:x', path: /w }");
    assert!(machine.read("state").ends_with("ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new\n"));
    assert_eq!(machine.log()[0], "git [ls-remote] [--] [git@host:x] [refs/heads/main]");
}
