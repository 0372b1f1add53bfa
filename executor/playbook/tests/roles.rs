//! Roles, their search path, variables and faults; tasks that act as another user.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::Outcome;
use keros_protocol::executor::Event;

/// A script with its folder, and a scratch folder for its work.
struct Bench {
    folder: tempfile::TempDir,
    role_folders: Vec<PathBuf>,
    options: RunOptions,
    lines: Vec<String>,
}

impl Observer for Bench {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TaskStarted { role, file, .. } => {
                let file = file.as_ref().map(|file| file.rsplit('/').next().unwrap().to_owned());
                self.lines.push(format!("{} {}", role.as_deref().unwrap_or("-"), file.unwrap_or_default()));
            }
            Event::TaskEnded { result, .. } => {
                let line = self.lines.last_mut().unwrap();
                *line = format!(
                    "{line} {} {}",
                    result.status.as_str(),
                    result.message.as_deref().unwrap_or_default()
                );
            }
            _ => {}
        }
        Ok(())
    }
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { folder, role_folders: Vec::new(), options: RunOptions::default(), lines: Vec::new() }
    }

    fn check(&self, play: &str) -> Result<Script, String> {
        let source = ScriptSource {
            text: format!("- name: p\n  groups: [all]\n{play}").replace("{S}", &self.scratch()),
            file: "script.yml".to_owned(),
            folder: Some(self.folder.path().to_owned()),
            role_folders: self.role_folders.clone(),
            ..ScriptSource::default()
        };
        let all = |findings: Vec<_>| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Script::parse(&source).map_err(all)
    }

    fn run(&mut self, play: &str) -> Outcome {
        let script = self.check(play).unwrap();
        let mut system = HostSystem::new("/".into(), ShellPlace::Root);
        let options = self.options.clone();
        keros_playbook::run(&script, &mut system, &options, self).without_reboot()
    }

    fn scratch(&self) -> String {
        self.folder.path().display().to_string()
    }
}

#[test]
fn tasks_of_roles_come_first_and_handlers_of_roles_before_those_of_the_play() {
    let mut bench = Bench::new(&[
        ("roles/a/role.yml", "name: A\ntasks: [one.yml, two.yml]\nhandlers: [h.yml]\n"),
        ("roles/a/tasks/one.yml", "- !shell { cmd: 'true', and: { notify: e } }\n"),
        ("roles/a/tasks/two.yml", "- !echo { msg: '{{v}}' }\n"),
        ("roles/a/handlers/h.yml", "- !echo { msg: from a, with: { subscribe: e } }\n"),
        ("roles/b/role.yml", "name: B\ntasks: [one.yml]\n"),
        ("roles/b/tasks/one.yml", "- !echo { msg: '{{v}}' }\n"),
    ]);
    let play = "  defaults: { v: play }\n  roles:\n    - { role: b }\n    - { role: a, vars: { v: call } }\n    - { role: b }\n  \
                tasks:\n    - !echo { msg: '{{v}}' }\n  handlers:\n    - !echo { msg: of the play, with: { subscribe: e } }\n";
    assert!(matches!(bench.run(play), Outcome::Succeeded { .. }));
    let expected = [
        "B one.yml passive play",
        "A one.yml executed ",
        "A two.yml passive call",
        "B one.yml passive play",
        "-  passive play",
        "A h.yml passive from a",
        "-  passive of the play",
    ];
    assert_eq!(bench.lines, expected);
}

#[test]
fn the_first_folder_of_the_search_path_that_has_a_role_wins() {
    let role = "name: shown\ntasks: [t.yml]\n";
    let mut bench = Bench::new(&[
        ("roles/a/role.yml", role),
        ("roles/a/tasks/t.yml", "- !echo { msg: own }\n"),
        ("roles/b/role.yml", role),
        ("roles/b/tasks/t.yml", "- !echo { msg: own }\n"),
        ("shared/a/role.yml", role),
        ("shared/a/tasks/t.yml", "- !echo { msg: shared }\n"),
    ]);
    bench.role_folders = vec![bench.folder.path().join("shared")];
    bench.run("  roles: [ { role: a }, { role: b } ]\n");
    assert_eq!(bench.lines, ["shown t.yml passive shared", "shown t.yml passive own"]);
}

#[test]
fn every_fault_of_every_role_is_found_before_anything_runs() {
    let bench = Bench::new(&[
        ("roles/good/role.yml", "name: good\ntasks: [t.yml, none.yml, ../../x.yml]\nbogus: 1\n"),
        ("roles/good/tasks/t.yml", "- !shel { cmd: x }\n- !template { src: none, dest: /x }\n"),
        ("roles/empty/role.yml", ""),
    ]);
    let calls = "  roles:\n    - { role: good }\n    - { role: goof }\n    - bare\n    - { role: ../good }\n    - { role: empty }\n";
    let faults = bench.check(calls).unwrap_err().replace(&bench.scratch(), "{S}");
    let expected = [
        "script.yml:5:7: role not found: goof (looked for in {S}/roles) (did you mean `good`?)",
        "script.yml:6:7: a role is called by a mapping: `- { role: NAME }`",
        "script.yml:7:7: \"../good\" is no name of a role",
        "{S}/roles/empty/role.yml: the file is empty",
        "{S}/roles/good/role.yml:2:16: no such file: {S}/roles/good/tasks/none.yml",
        "{S}/roles/good/role.yml:2:26: ../../x.yml: `..` is not allowed",
        "{S}/roles/good/role.yml:3:1: a role has no key `bogus`",
        "{S}/roles/good/tasks/t.yml:1:3: there is no module `shel` (did you mean `shell`?)",
        "{S}/roles/good/tasks/t.yml:2:20: field (src): no such file: none",
    ];
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn programs_of_external_are_found_in_the_role_and_beside_the_script() {
    let program = |says: &str| format!("#!/bin/sh\ncat >/dev/null\necho 'says: {says}'\n");
    let task = |name: &str| {
        format!("- !external {{ use: {name}, params: {{}}, save: r }}\n- !echo {{ msg: '{{{{r.says}}}}' }}\n")
    };
    let (own, shared, role, script) = (
        program("the role"),
        program("the script"),
        task("a") + &task("b"),
        task("a").replace('\n', "\n    "),
    );
    let mut bench = Bench::new(&[
        ("roles/r/role.yml", "name: r\ntasks: [t.yml]\n"),
        ("roles/r/tasks/t.yml", &role),
        ("roles/r/modules/a", &own),
        ("modules/a", &shared),
        ("modules/b", &shared),
    ]);
    bench.run(&format!("  roles: [ {{ role: r }} ]\n  tasks:\n    {}\n", script.trim_end()));
    let said: Vec<_> = bench.lines.iter().filter(|line| line.contains("passive")).collect();
    assert_eq!(said, ["r t.yml passive the role", "r t.yml passive the script", "-  passive the script"]);
}

#[test]
fn a_script_without_files_cannot_use_roles() {
    let text = "- { name: p, groups: [all], roles: [ { role: r } ] }".to_owned();
    let source = ScriptSource { text, file: "s".to_owned(), ..ScriptSource::default() };
    let faults = Script::parse(&source).unwrap_err();
    assert_eq!(faults[0].to_string(), "s:1:38: role not found: r (this script came without files)");
}

#[test]
fn a_task_acts_as_the_user_that_it_or_its_play_or_the_run_names() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root can act as another user");
        return;
    }
    let mut bench = Bench::new(&[]);
    let scratch = bench.folder.path().to_owned();
    let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap();
    fs::set_permissions(&scratch, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let own = scratch.join("daemon");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(daemon.uid.as_raw()), Some(daemon.gid.as_raw())).unwrap();
    bench.options.sudo = Some("daemon".to_owned());
    let play = "  tasks:\n    \
        - !shell { cmd: 'echo $(id -un) $USER $HOME; touch {S}/daemon/run', save: r }\n    \
        - !echo { msg: '{{r.out}}' }\n    \
        - !file { path: '{S}/daemon/file' }\n    \
        - !template { content: x, dest: '{S}/daemon/template' }\n    \
        - !directory { path: '{S}/daemon/directory' }\n    \
        - !file { path: '{S}/as-root', with: { sudo: root } }\n    \
        - !file { path: '{S}/refused' }\n";
    assert!(matches!(bench.run(play), Outcome::Failed { .. }));
    assert!(bench.lines[1].starts_with("-  passive daemon daemon /usr/sbin"), "{:?}", bench.lines);
    assert!(bench.lines[6].contains("permission denied"), "{:?}", bench.lines);
    for name in ["run", "file", "template", "directory"] {
        let metadata = fs::metadata(own.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (daemon.uid.as_raw(), daemon.gid.as_raw()), "{name}");
    }
    assert_eq!(fs::metadata(scratch.join("as-root")).unwrap().uid(), 0);
    bench.lines.clear();
    bench.run(
        "  sudo: nobody\n  tasks:\n    - !shell { cmd: id -un, save: r }\n    - !echo { msg: '{{r.out}}' }\n",
    );
    assert_eq!(bench.lines[1], "-  passive nobody", "the play stands above the run");
    fs::write(scratch.join("root-again"), "").unwrap();
    assert_eq!(fs::metadata(scratch.join("root-again")).unwrap().uid(), 0, "this program is itself again");
}

#[test]
fn a_user_that_is_not_there_is_a_failure_by_name() {
    let mut bench = Bench::new(&[]);
    bench.run(
        "  tasks:\n    - !echo { msg: x, with: { sudo: nobody-at-all }, and: { ignore_errors: true } }\n",
    );
    assert!(bench.lines[0].contains("ignored there is no user \"nobody-at-all\""), "{:?}", bench.lines);
}
