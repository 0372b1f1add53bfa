//! The playbooks that are measured. They keep to what jetp 0.1.1 understands too.

use std::path::Path;

/// A playbook, and what it finds when it begins.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// From the folder that it works in.
    pub(crate) playbook: fn(&Path) -> String,
    /// The text of `templates/t`, which some playbooks use.
    pub(crate) template: fn() -> String,
    /// It begins with an empty folder each time, instead of what the run before made.
    pub(crate) fresh: bool,
}

/// The playbook of [`TEMPLATES_CREATED`] as it travels alone, for a job: with its template in each task.
pub(crate) fn templates_alone() -> String {
    let template = serde_json::Value::String(short_template());
    tasks(1000, |n| format!("!template {{ content: {template}, dest: /work/t{n}, {ATTRIBUTES} }}"))
}

const fn case(name: &'static str, playbook: fn(&Path) -> String, fresh: bool) -> Case {
    Case { name, playbook, template: short_template, fresh }
}

pub(crate) const ECHOES: Case = case("1000 echo tasks", |_| repeated(1000, "!echo { msg: hello }"), false);
pub(crate) const TEMPLATES_CREATED: Case =
    case("1000 template tasks with attributes, created", templates, true);
pub(crate) const TEMPLATES_MATCHED: Case =
    case("1000 template tasks with attributes, matched", templates, false);

pub(crate) const CASES: [Case; 9] = [
    case("1 echo task", |_| repeated(1, "!echo { msg: hello }"), false),
    ECHOES,
    case("100 file tasks with attributes, created", files, true),
    case("100 file tasks with attributes, matched", files, false),
    TEMPLATES_CREATED,
    TEMPLATES_MATCHED,
    case("1000 shell tasks: `true`", |_| repeated(1000, "!shell { cmd: 'true' }"), false),
    case("1 shell task that prints 100 MB", |_| repeated(1, PRINTING), false),
    Case {
        name: "1 template of 8000 lines, each with a variable",
        playbook: |folder| tasks(1, |_| format!("!template {{ src: t, dest: '{}/t' }}", folder.display())),
        template: || (0..8000).map(|n| format!("key_{n} = {{{{name}}}}\n")).collect(),
        fresh: false,
    },
];

const PRINTING: &str = r#"!shell { cmd: "head -c 100000000 /dev/zero | tr '\\0' x" }"#;
const ATTRIBUTES: &str = "attributes: { owner: root, group: root, mode: '0o640' }";

fn short_template() -> String {
    "host = {{name}}\nport = {{port}}\n".to_owned()
}

fn tasks(count: usize, task: impl Fn(usize) -> String) -> String {
    let lines: String = (0..count).map(|n| format!("    - {}\n", task(n))).collect();
    format!("- name: bench\n  groups: [all]\n  vars: {{ name: gateway, port: 1883 }}\n  tasks:\n{lines}")
}

fn repeated(count: usize, task: &str) -> String {
    tasks(count, |_| task.to_owned())
}

fn files(folder: &Path) -> String {
    tasks(100, |n| format!("!file {{ path: '{}/f{n}', {ATTRIBUTES} }}", folder.display()))
}

fn templates(folder: &Path) -> String {
    tasks(1000, |n| format!("!template {{ src: t, dest: '{}/t{n}', {ATTRIBUTES} }}", folder.display()))
}
