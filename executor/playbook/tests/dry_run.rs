//! What a dry run says, and what it says that it cannot know.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::Outcome;
use keros_protocol::executor::{Event, TaskResult};

#[derive(Default)]
struct Results(Vec<TaskResult>);

impl Observer for Results {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { result, .. } = event {
            self.0.push(result.clone());
        }
        Ok(())
    }
}

struct Bench {
    root: tempfile::TempDir,
    scripts: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), scripts: tempfile::tempdir().unwrap() }
    }

    fn run(&self, text: &str, dry_run: bool) -> (Outcome, Vec<TaskResult>) {
        let text = format!("- name: p\n  groups: [all]\n{text}");
        let folder = Some(self.scripts.path().to_owned());
        let source = ScriptSource { text, file: "s.yml".to_owned(), folder, ..ScriptSource::default() };
        let script = Script::parse(&source).unwrap_or_else(|findings| panic!("{findings:?}"));
        let mut system = HostSystem::new(self.root.path().to_owned(), ShellPlace::Host);
        let options = RunOptions { dry_run, ..RunOptions::default() };
        let mut results = Results::default();
        let outcome = keros_playbook::run(&script, &mut system, &options, &mut results).without_reboot();
        (outcome, results.0)
    }

    /// Status and message of each task of a dry run.
    fn foretold(&self, text: &str) -> Vec<(&'static str, String)> {
        let (_, results) = self.run(text, true);
        results.into_iter().map(|r| (r.status.as_str(), r.message.unwrap_or_default())).collect()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}

fn statuses(told: &[(&'static str, String)]) -> Vec<&'static str> {
    told.iter().map(|(status, _)| *status).collect()
}

const SAVES: &str = "    - !shell { name: ask, cmd: 'false', save: r }\n";

#[test]
fn what_depends_on_a_result_that_only_a_run_has_cannot_be_told() {
    let bench = Bench::new();
    fs::create_dir(bench.scripts.path().join("templates")).unwrap();
    fs::write(bench.scripts.path().join("templates/t"), "{{#if r.out}}x{{/if}}y\n").unwrap();
    fs::write(bench.path("on-machine"), "{{ r.out }}\n").unwrap();
    for task in [
        "!echo { msg: '{{ r.out }}' }",
        "!file { path: '/{{ r.out }}' }",
        "!file { path: /f, with: { condition: (eq r.rc 0) } }",
        "!file { path: /f, with: { condition: r.out } }",
        "!file { path: /f, with: { items: r } }",
        "!file { path: /f, with: { items: ['{{ r.out }}'] } }",
        "!file { path: '/{{ item }}', with: { items: listed } }",
        "!file { path: /f, and: { notify: '{{ r.out }}' } }",
        "!file { path: /f, and: { ignore_errors: '{{ r.out }}' } }",
        "!template { src: t, dest: /f }",
        "!template { src: /on-machine, dest: /f }",
        "!template { content: '{{#if r}}x{{/if}}y', dest: /f }",
        "!assert { 'true': (eq r.rc 0) }",
        "!debug { vars: [r] }",
        "!shell { cmd: 'echo {{ r.out }}' }",
        "!shell { cmd: 'true', failed_when: (eq r.rc 1) }",
        "!shell { cmd: 'true', changed_when: '{{ r.rc }}' }",
        "!echo { msg: '{{ lookup @root name }}' }",
    ] {
        let text =
            format!("  vars: {{ listed: ['{{{{ r.out }}}}'], name: r }}\n  tasks:\n{SAVES}    - {task}\n");
        let told = bench.foretold(&text);
        assert_eq!(statuses(&told), ["executed", "skipped"], "{task}: {told:?}");
        let why = "cannot be told in a dry run: it depends on r, which the task `ask` saves when it runs";
        assert_eq!(told[1].1, why, "{task}");
    }
    assert_eq!(fs::read_dir(bench.root.path()).unwrap().count(), 1);
}

#[test]
fn what_does_not_depend_on_it_is_told_as_ever() {
    let bench = Bench::new();
    for (task, status) in [
        ("!echo { msg: '{{ m.r }}' }", "passive"),
        ("!echo { msg: r }", "passive"),
        ("!copy { content: '{{ r.out }}', dest: /f }", "created"),
        ("!echo { msg: '{{ r.out }}', with: { condition: 'false' } }", "skipped"),
        ("!echo { msg: '{{ item }}', with: { items: [r] } }", "passive"),
    ] {
        let told =
            bench.foretold(&format!("  vars: {{ m: {{ r: here }} }}\n  tasks:\n{SAVES}    - {task}\n"));
        assert_eq!(told[1].0, status, "{task}: {told:?}");
        assert!(!told[1].1.contains("cannot be told"), "{task}: {told:?}");
    }
    let told = bench
        .foretold(&format!("  vars: {{ r: mine }}\n  tasks:\n{SAVES}    - !echo {{ msg: '{{{{ r }}}}' }}\n"));
    assert_eq!(told[1], ("passive", "mine".to_owned()), "vars go before what is saved");
}

#[test]
fn what_such_a_task_would_save_is_unknown_in_turn_until_it_is_set_again() {
    let bench = Bench::new();
    let told = bench.foretold(&format!(
        "  tasks:\n{SAVES}    \
         - !set {{ name: second, vars: {{ s: '{{{{ r.out }}}}', t: 5 }} }}\n    \
         - !echo {{ msg: '{{{{ t }}}}' }}\n    \
         - !stat {{ path: '/{{{{ s }}}}', save: u }}\n    \
         - !file {{ path: /f, with: {{ condition: u.exists }} }}\n    \
         - !set {{ vars: {{ r: known }} }}\n    \
         - !echo {{ msg: '{{{{ r }}}}' }}\n"
    ));
    let expected = ["executed", "skipped", "skipped", "skipped", "skipped", "passive", "passive"];
    assert_eq!(statuses(&told), expected, "{told:?}");
    assert!(told[2].1.contains("depends on t, which the task `second` saves"), "{}", told[2].1);
    assert!(told[4].1.contains("depends on u, which the task `stat` saves"), "{}", told[4].1);
    assert_eq!(told[6].1, "known");
}

#[test]
fn a_handler_that_may_or_may_not_be_called_cannot_be_told() {
    let bench = Bench::new();
    let text = format!(
        "  tasks:\n{SAVES}    \
         - !file {{ name: perhaps, path: /f, with: {{ condition: r.out }}, and: {{ notify: doubtful }} }}\n    \
         - !file {{ path: /g, and: {{ notify: sure }} }}\n  handlers:\n    \
         - !file {{ path: /h1, with: {{ subscribe: doubtful }}, and: {{ notify: other }} }}\n    \
         - !file {{ path: /h2, with: {{ subscribe: sure }} }}\n    \
         - !file {{ path: /h3, with: {{ subscribe: other }} }}\n"
    );
    let told = bench.foretold(&text);
    assert_eq!(statuses(&told), ["executed", "skipped", "created", "skipped", "created", "skipped"]);
    assert_eq!(
        told[3].1,
        "cannot be told in a dry run: it is called if the task `perhaps` changes something"
    );
    assert_eq!(told[5].1, "", "a handler calls no handler");
    let any = text.replace("notify: doubtful", "notify: '{{ r.out }}'");
    assert!(bench.foretold(&any)[5].1.contains("`perhaps`"), "its event may be any");
}

#[test]
fn conditions_about_a_command_are_judged_when_they_do_not_ask_for_its_result() {
    let bench = Bench::new();
    for (fields, status) in [
        ("changed_when: 'false'", "passive"),
        ("changed_when: off", "passive"),
        ("changed_when: '{{ off }}'", "passive"),
        ("changed_when: (eq rc 0)", "executed"),
        ("changed_when: (contains out 'x')", "executed"),
        ("save: me, changed_when: me.out", "executed"),
        ("failed_when: 'true'", "failed"),
        ("failed_when: 'true', and: { ignore_errors: true }", "ignored"),
        ("failed_when: (not (eq rc 0))", "executed"),
        ("failed_when: '(eq {{ field }} 5)'", "executed"),
    ] {
        let told = bench.foretold(&format!(
            "  vars: {{ off: false, field: rc }}\n  tasks:\n    - !shell {{ cmd: 'true', {fields} }}\n"
        ));
        assert_eq!(told[0].0, status, "{fields}: {told:?}");
    }
}

#[test]
fn later_tasks_see_what_earlier_ones_would_have_done() {
    let bench = Bench::new();
    fs::write(bench.path("source"), "text").unwrap();
    let text = "  tasks:\n    \
        - !file { path: /source, attributes: { mode: '0750' } }\n    \
        - !copy { src: /source, dest: /copy }\n    \
        - !stat { path: /copy, save: r }\n    \
        - !echo { msg: '{{ r.mode }} {{ r.is_dir }}' }\n    \
        - !directory { path: /a/b }\n    \
        - !file { path: /a/b/f }\n    \
        - !directory { path: /a, remove: true, and: { ignore_errors: true } }\n    \
        - !directory { path: /a, remove: true, recurse: true }\n    \
        - !file { path: /a/b/f }\n";
    let told = bench.foretold(text);
    let expected =
        ["modified", "created", "passive", "passive", "created", "created", "ignored", "removed", "failed"];
    assert_eq!(statuses(&told), expected, "{told:?}");
    assert_eq!(told[3].1, "0o750 false");
    assert!(told[6].1.contains("the directory is not empty"), "{}", told[6].1);
    assert!(told[8].1.contains("the directory /a/b is not there"), "{}", told[8].1);
    let (_, ran) = bench.run(text, false);
    let ran: Vec<_> = ran.into_iter().map(|r| (r.status.as_str(), r.message.unwrap_or_default())).collect();
    assert_eq!(told, ran, "with the same words");
}

#[test]
fn users_that_are_written_by_an_earlier_task_are_known() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root may give files away");
        return;
    }
    let bench = Bench::new();
    let text = "  tasks:\n    \
        - !directory { path: /etc }\n    \
        - !copy { content: \"lora:x:4242:4343::/:/bin/sh\\n\", dest: /etc/passwd }\n    \
        - !copy { content: \"radio:x:4343:\\n\", dest: /etc/group }\n    \
        - !file { path: /f, attributes: { owner: lora, group: radio } }\n    \
        - !stat { path: /f, save: r }\n    \
        - !echo { msg: '{{ r.owner }} {{ r.group }}' }\n";
    let told = bench.foretold(text);
    assert_eq!(told[3].0, "created", "{told:?}");
    assert_eq!(told[5].1, "lora radio");
}

#[test]
fn a_dry_run_shows_how_contents_change_and_a_run_when_it_is_asked() {
    let bench = Bench::new();
    fs::write(bench.path("f"), "one\ntwo\n").unwrap();
    let text = "  tasks:\n    - !copy { content: \"one\\nzwei\\n\", dest: /f }\n    - !copy { content: \"one\\n\", dest: /f }\n";
    let (_, results) = bench.run(text, true);
    let diffs: Vec<_> = results.iter().map(|result| result.changes[0].diff.clone().unwrap()).collect();
    assert_eq!(diffs[0], "--- /f\n+++ /f\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n");
    assert_eq!(diffs[1], "--- /f\n+++ /f\n@@ -1,2 +1 @@\n one\n-zwei\n", "against what would be there");
    let (_, results) = bench.run(text, false);
    assert_eq!(results[0].changes[0].diff, None);
}

#[test]
fn what_an_actor_or_a_link_makes_impossible_is_foretold_in_the_same_words() {
    let bench = Bench::new();
    fs::write(bench.path("file"), "").unwrap();
    fs::create_dir(bench.path("dir")).unwrap();
    fs::write(bench.path("dir/in"), "").unwrap();
    symlink("b", bench.path("a")).unwrap();
    symlink("a", bench.path("b")).unwrap();
    symlink("/nowhere/deep", bench.path("dangling")).unwrap();
    symlink("dir", bench.path("way")).unwrap();
    fs::set_permissions(bench.path("dir"), fs::Permissions::from_mode(0o2775)).unwrap();
    let long = "n".repeat(300);
    for task in [
        "!copy { content: x, dest: /file/f }".to_owned(),
        "!copy { content: x, dest: /a }".to_owned(),
        "!copy { content: x, dest: /dangling }".to_owned(),
        "!copy { content: x, dest: /dir/.. }".to_owned(),
        "!copy { content: x, dest: /way/new }".to_owned(),
        "!copy { src: /file/f, dest: /x }".to_owned(),
        "!directory { path: /file/d }".to_owned(),
        "!directory { path: /way/d/e }".to_owned(),
        "!directory { path: /dir, remove: true }".to_owned(),
        "!directory { path: /, remove: true, recurse: true }".to_owned(),
        "!directory { path: /dir/.., remove: true, recurse: true }".to_owned(),
        "!directory { path: /dangling }".to_owned(),
        "!file { path: /way, remove: true }".to_owned(),
        "!file { path: /dir, remove: true }".to_owned(),
        format!("!file {{ path: /{long} }}"),
        format!("!file {{ path: /{long}, remove: true }}"),
    ] {
        let text = format!("  tasks:\n    - {task}\n");
        let told = bench.run(&text, true).1;
        let ran = bench.run(&text, false).1;
        let words = |result: &TaskResult| (result.status, result.message.clone());
        assert_eq!(words(&told[0]), words(&ran[0]), "{task}");
    }
}

#[test]
fn a_task_of_another_user_copies_the_scripts_own_files_though_that_user_may_not_read_them() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root may act as another user");
        return;
    }
    let bench = Bench::new();
    fs::set_permissions(bench.root.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(bench.path("etc")).unwrap();
    fs::write(bench.path("etc/passwd"), "lora:x:4242:4343::/:/bin/sh\n").unwrap();
    fs::create_dir(bench.scripts.path().join("files")).unwrap();
    fs::write(bench.scripts.path().join("files/f"), "text\n").unwrap();
    fs::set_permissions(bench.scripts.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let text = "  tasks:\n    - !copy { src: f, dest: /f, with: { sudo: lora } }\n";
    for dry_run in [true, false] {
        assert_eq!(bench.run(text, dry_run).1[0].status.as_str(), "created");
    }
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(bench.path("f")).unwrap()), 4242);
}
