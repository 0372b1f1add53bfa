//! `keros-executor check` as a person and an editor see it.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keros-executor"));
    command.arg("check").args(arguments).current_dir(folder).env_remove("JET_ROLES_PATH").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is found in this script, and the exit code.
fn found(script: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.yml"), script).unwrap();
    let output = check(folder.path(), &["s.yml"]);
    assert_eq!(text(&output.stderr), "");
    (text(&output.stdout), output.status.code())
}

const GOOD: &str = "- name: x\n  groups: [all]\n  tasks: [!file { path: /a }]\n";

#[test]
fn a_script_without_fault_is_told_in_one_line() {
    assert_eq!(found(GOOD), ("s.yml: 1 task, no fault\n".to_owned(), Some(0)));
}

#[test]
fn words_of_another_language_are_answered_with_ours_all_at_once() {
    let script = "\
- name: x
  hosts: all
  groups: [all]
  tasks:
    - name: list
      shell: ls -l
    - !shell { cmd: ls, when: x, register: y }
    - !directory { path: /a, recurse: yes, with: { loop: a } }
    - !ansible.builtin.lineinfile { path: /x }
    - !templat { src: a, dest: /b }
    - !file { path: /a, pth: /b, become: true, and: { retries: 3 } }
";
    let expected = "\
s.yml:2:3: a play has no key `hosts`
    2 |   hosts: all
      |   ^
      = write `groups: [all]`
s.yml:5:7: a task begins with its module: `- !module { … }`
    5 |     - name: list
      |       ^
      = here it is written `- !shell { cmd: … }`
s.yml:7:25: the module `shell` has no key `when`
    7 |     - !shell { cmd: ls, when: x, register: y }
      |                         ^
      = write `with: { condition: … }`
s.yml:7:34: the module `shell` has no key `register`
    7 |     - !shell { cmd: ls, when: x, register: y }
      |                                  ^
      = write `save: NAME`, which shell, stat and external have
s.yml:8:39: field (recurse) value is not a boolean: yes
    8 |     - !directory { path: /a, recurse: yes, with: { loop: a } }
      |                                       ^
      = write `true`
s.yml:8:52: `with` has no key `loop`
    8 |     - !directory { path: /a, recurse: yes, with: { loop: a } }
      |                                                    ^
      = did you mean `items`?
s.yml:9:7: there is no module `ansible.builtin.lineinfile`
    9 |     - !ansible.builtin.lineinfile { path: /x }
      |       ^
      = here it is written `- !template { content: …, dest: … }`
s.yml:10:7: there is no module `templat`
   10 |     - !templat { src: a, dest: /b }
      |       ^
      = did you mean `template`?
s.yml:11:25: the module `file` has no key `pth`
   11 |     - !file { path: /a, pth: /b, become: true, and: { retries: 3 } }
      |                         ^
      = did you mean `path`?
s.yml:11:34: the module `file` has no key `become`
   11 |     - !file { path: /a, pth: /b, become: true, and: { retries: 3 } }
      |                                  ^
      = write `with: { sudo: USER }`
s.yml:11:55: `and` has no key `retries`
   11 |     - !file { path: /a, pth: /b, become: true, and: { retries: 3 } }
      |                                                       ^
      = did you mean `retry`?
s.yml: 11 faults found
";
    assert_eq!(found(script), (expected.to_owned(), Some(65)));
}

#[test]
fn slips_in_yaml_are_answered_with_what_to_write() {
    let head = "- name: x\n  groups: [all]\n";
    let cases = [
        ("  tasks:\n\t- !echo { msg: a }\n", "indent with blanks: YAML allows no tab there"),
        ("  vars: { a: {{ b }} }\n", "a value that begins with `{{` must be quoted: \"{{ name }}\""),
        ("  vars:\n    c: d: e\n", "a text that holds `: ` must be quoted"),
        ("  vars:\n    c: @foo\n", "a text that begins with such a character must be quoted"),
        (
            "  vars:\n    c: 'it's'\n",
            "a quote inside quotes ends them: use the other sort of quotes, or write '' inside '…'",
        ),
        (
            "  vars:\n    c: \"\\d+\"\n",
            "in double quotes `\\` begins an escape: use single quotes, or write `\\\\`",
        ),
        (
            "  tasks:\n    - !echo\n       msg: a\n      name: b\n",
            "do the lines of this block begin in the same column?",
        ),
    ];
    for (rest, suggestion) in cases {
        let (text, code) = found(&format!("{head}{rest}"));
        assert!(text.contains(&format!("      = {suggestion}\n")), "{rest}: {text}");
        assert_eq!(code, Some(65));
    }
}

#[test]
fn the_text_of_a_script_cannot_draw_on_the_screen() {
    let (text, _) = found("- name: x\n  groups: [all]\n  \"ta\u{202e}sks\": 1 # \u{1b}\n");
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
    assert!(text.contains("a play has no key `ta\\u{202e}sks`"), "{text}");
}

#[test]
fn a_script_that_is_not_utf8_is_a_fault_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.yml"), b"- name: x\n  groups: [all] # caf\xe9\n").unwrap();
    let output = check(folder.path(), &["s.yml"]);
    let expected = "\
s.yml:2: not UTF-8 from here on
    2 |   groups: [all] # caf\u{fffd}
      = save the file as UTF-8
s.yml: 1 fault found
";
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), (expected, Some(65)));
}

#[test]
fn several_files_are_checked_with_the_variables_and_roles_that_they_get() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("good.yml", GOOD);
    write("role.yml", "- name: x\n  groups: [all]\n  roles: [{ role: base }]\n");
    write("shared/base/role.yml", "name: base\ntasks: [main.yml]\n");
    write("shared/base/tasks/main.yml", "- !ech { msg: a }\n");
    let output = check(folder.path(), &["good.yml", "role.yml", "-r", "shared"]);
    assert_eq!(output.status.code(), Some(65));
    let told = text(&output.stdout);
    assert!(told.starts_with("good.yml: 1 task, no fault\n"), "{told}");
    assert!(
        told.contains("shared/base/tasks/main.yml:1:3: there is no module `ech`\n    1 | - !ech"),
        "{told}"
    );
    let output = check(folder.path(), &["role.yml", "good.yml"]);
    assert!(text(&output.stdout).contains("role not found: base"), "{output:?}");
    let output = check(folder.path(), &["good.yml", "-e", "{a: [}"]);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    for wrong in [&[][..], &["missing.yml"], &["good.yml", "-e", "@missing"], &["good.yml", "--bogus"]] {
        assert_eq!(check(folder.path(), wrong).status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn json_gives_a_finding_for_each_fault_and_a_line_for_each_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yml"), GOOD).unwrap();
    fs::write(folder.path().join("bad.yml"), "- name: x\n  grups: [all]\n").unwrap();
    let output = check(folder.path(), &["bad.yml", "good.yml", "--json"]);
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.schema.json");
    let schema = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let events: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| validator.is_valid(event)), "{events:?}");
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["finding", "finding", "checked", "checked"]);
    assert_eq!(events[1]["suggestion"], "did you mean `groups`?");
    assert_eq!((&events[2]["faults"], &events[3]["tasks"]), (&2.into(), &1.into()));
    assert_eq!(output.status.code(), Some(65));
}

#[test]
fn completions_know_it() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_keros-executor")).args(["completions", "bash"]).output().unwrap();
    let script = text(&output.stdout);
    let options = script.split("__subcmd__check)").nth(1).and_then(|part| part.lines().nth(1)).unwrap();
    for option in ["-e", "-r", "--extra-vars", "--roles", "--json"] {
        assert!(options.contains(option), "{option} in {options}");
    }
}
