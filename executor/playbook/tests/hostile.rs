//! Scripts that are wrong, large, or meant to do harm: each is refused by name, and nothing is run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use keros_playbook::{Diagnostic, DiagnosticKind, Script, ScriptSource};

fn findings(text: &str) -> Vec<Diagnostic> {
    let source = ScriptSource {
        text: text.to_owned(),
        file: "s.yml".to_owned(),
        folder: None,
        ..ScriptSource::default()
    };
    Script::parse(&source).err().unwrap_or_default()
}

/// The play's head, with tasks after it.
fn tasks(text: &str) -> String {
    format!("- name: p\n  groups: [all]\n  tasks:\n{text}")
}

#[track_caller]
fn refused(text: &str, kind: DiagnosticKind, words: &str) {
    let found = findings(text);
    let fits = |finding: &Diagnostic| finding.kind == kind && finding.to_string().contains(words);
    assert!(found.iter().any(fits), "wanted {kind:?} {words:?}, found {found:?}");
}

#[test]
fn all_faults_are_told_at_once_with_place_and_suggestion() {
    let text = tasks(
        "    - !shel { cmd: ls }\n    - !file { pth: /x }\n    - !pacman { package: x }\n    - !echo { msg: '{{a', with: { condtion: x } }\n",
    );
    let found: Vec<String> = findings(&text).iter().map(ToString::to_string).collect();
    let expected = [
        "s.yml:4:7: there is no module `shel` (did you mean `shell`?)",
        "s.yml:5:7: the module `file` needs the key `path`",
        "s.yml:5:15: the module `file` has no key `pth` (did you mean `path`?)",
        "s.yml:6:7: no gateway has the package manager of the module `pacman`",
        "s.yml:7:35: `with` has no key `condtion` (did you mean `condition`?)",
    ];
    for line in expected {
        assert!(found.iter().any(|f| f == line), "{line} is missing from {found:#?}");
    }
    assert!(found.iter().any(|f| f.starts_with("s.yml:7:20: field (msg): Template error")), "{found:#?}");
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn a_yaml_bomb_is_refused_by_its_size() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let one = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [one.as_str(); 10].join(", "));
    }
    refused(&text, DiagnosticKind::TooLarge, "values, aliases expanded");
    let long = "y".repeat(100_000);
    let text = format!("a: &a {long}\nb: [{}]\n", ["*a"; 50].join(", "));
    refused(&text, DiagnosticKind::TooLarge, "bytes of text, aliases expanded");
}

#[test]
fn deep_nesting_is_refused() {
    refused(&"[".repeat(100_000), DiagnosticKind::TooLarge, "nested deeper than 64");
    refused(&"- ".repeat(50_000), DiagnosticKind::TooLarge, "nested deeper than 64");
}

#[test]
fn a_script_of_too_many_bytes_or_tasks_is_refused_naming_the_limit() {
    refused(
        &tasks(&"    - !facts\n".repeat(100_000)),
        DiagnosticKind::TooLarge,
        "at most 262144 are allowed",
    );
    refused(&tasks(&"    - !facts\n".repeat(5_001)), DiagnosticKind::TooLarge, "more than 5000 tasks");
    assert!(findings(&tasks(&"    - !facts\n".repeat(5_000))).is_empty());
    refused(&"x".repeat(1024 * 1024), DiagnosticKind::TooLarge, "1048576 bytes");
    let line = tasks(&format!("    - !echo {{ msg: \"{}\" }}\n", "x".repeat(200_000)));
    assert!(findings(&line).is_empty(), "a long line is no fault of its own");
}

#[test]
fn a_script_cut_anywhere_never_panics() {
    let text = tasks(
        "    - !shell { cmd: \"echo {{ a }} 'é'\", with: { items: [a, *x], condition: (eq a \"b\") } }\n",
    );
    for length in 0..text.len() {
        if text.is_char_boundary(length) {
            findings(&text[..length]);
        }
    }
}

#[test]
fn what_yaml_allows_and_a_script_must_not_is_refused() {
    let cases = [
        ("\u{feff}- name: p\n", "byte order mark"),
        ("- name: p\n  groups: [all]\n---\n- name: q\n", "second document"),
        ("- name: p\n  groups: [all]\n  name: q\n", "a second time; first in line 1"),
        ("name: p\n", "a list of plays"),
        ("- name: p\n  groups: [all]\n  tasks: { a: b }\n", "must be a list"),
        ("- name: p\n  groups: [all]\n  ? [a]\n  : b\n", "a key must be text"),
        ("- name: p\n\tgroups: [all]\n", "not valid YAML"),
        ("- &a [*a]\n", "an alias inside the value"),
        ("", "the script is empty"),
        ("# only words\n", "the script is empty"),
        ("[]", "the script is empty"),
        ("- name: p\n  groups: [all]\n  tasks:\n    - echo: { msg: x }\n", "begins with its module"),
        ("- name: p\n  groups: [all]\n  tasks:\n    - !echo\n", "needs the key `msg`"),
        ("- name: p\n  groups: [all]\n  tasks:\n    - !echo [msg]\n", "must be a mapping"),
    ];
    for (text, words) in cases {
        refused(text, DiagnosticKind::Invalid, words);
    }
}

#[test]
fn templates_that_would_cost_too_much_are_refused() {
    let field = |template: &str| tasks(&format!("    - !echo {{ msg: \"{template}\" }}\n"));
    let deep = format!("{{{{ {}x{} }}}}", "(not ".repeat(2_000), ")".repeat(2_000));
    refused(&field(&deep), DiagnosticKind::TooLarge, "nested deeper than 32");
    let blocks = format!("{}{}", "{{#if x}}".repeat(1_000), "{{/if}}".repeat(1_000));
    refused(&field(&blocks), DiagnosticKind::TooLarge, "nested deeper than 32");
    refused(&field(&"{{x}}".repeat(4_001)), DiagnosticKind::TooLarge, "more than 4000 tags");
    let deep_condition = tasks(&format!(
        "    - !facts {{ with: {{ condition: {}x{} }} }}\n",
        "(not ".repeat(5_000),
        ")".repeat(5_000)
    ));
    refused(&deep_condition, DiagnosticKind::TooLarge, "nested deeper than 32");
}

#[test]
fn odd_templates_and_conditions_are_refused_and_never_panic() {
    for template in [
        "{{",
        "{{}}",
        "{{#if}}",
        "{{/if}}",
        "{{else}}",
        "{{#if a}}{{else}}{{else}}{{/if}}",
        "{{#a}}{{/b}}",
        "{{{{raw}}}}",
        "{{!--",
        "{{>",
        "{{#each}}",
        "{{(}}",
        "{{a.[}}",
        "{{\"a\"}}",
        "{{else if x}}",
        "{{#if a}}{{else if}}{{/if}}",
    ] {
        findings(&tasks(&format!("    - !echo {{ msg: '{template}' }}\n")));
        findings(&tasks(&format!("    - !facts {{ with: {{ condition: '{template}' }} }}\n")));
    }
    let condition = |text: &str| tasks(&format!("    - !facts {{ with: {{ condition: '{text}' }} }}\n"));
    refused(&condition("{{x}}"), DiagnosticKind::Invalid, "failed to parse conditional");
    refused(&condition("(eq a"), DiagnosticKind::Invalid, "failed to parse conditional");
    refused(&condition("a}}b{{#if c"), DiagnosticKind::Invalid, "names stand in it without braces");
}

#[test]
fn a_script_that_came_alone_gives_its_texts_itself() {
    let alone = tasks("    - !template { src: x, dest: /x }\n");
    refused(&alone, DiagnosticKind::Invalid, "give the text itself with `content`");
    refused(
        &tasks("    - !copy { dest: /x }\n"),
        DiagnosticKind::Invalid,
        "exactly one of `src` and `content`",
    );
    let both = tasks("    - !copy { src: /a, content: b, dest: /x }\n");
    refused(&both, DiagnosticKind::Invalid, "exactly one of `src` and `content`");
    let vars = "- name: p\n  groups: [all]\n  vars_files: [v.yml]\n";
    refused(vars, DiagnosticKind::Invalid, "came without files");
    let role = "- name: p\n  groups: [all]\n  roles: [{ role: r }]\n";
    refused(role, DiagnosticKind::Invalid, "role not found: r (this script came without files)");
}

#[test]
fn files_of_variables_that_are_no_files_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for name in ["pipe", "/dev/ptmx", "/dev/zero", "/"] {
        let source = ScriptSource {
            text: format!("- name: p\n  groups: [all]\n  vars_files: [{name}]\n"),
            file: "s.yml".to_owned(),
            folder: Some(folder.path().to_owned()),
            ..ScriptSource::default()
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(Script::parse(&source).err().unwrap_or_default()));
        let found = receiver.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        assert!(found[0].message.contains("no regular file"), "{name}: {found:?}");
    }
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    let template = "- name: p\n  groups: [all]\n  sudo_template: x\n";
    refused(template, DiagnosticKind::Unsupported, "leave `sudo_template` out");
    refused(&tasks("    - !facts { ohai: true }\n"), DiagnosticKind::Unsupported, "ohai");
}
