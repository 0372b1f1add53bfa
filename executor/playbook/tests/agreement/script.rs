//! Scripts by chance, over few names, so that tasks get in each other's way.

use serde_json::{Map, Value, json};

use crate::random::Random;

pub(crate) const PATHS: [&str; 19] = [
    "/a",
    "/b",
    "/c",
    "/a/a",
    "/a/b",
    "/b/a",
    "/b/b",
    "/a/b/c",
    "/b/a/c",
    "/l",
    "/l/a",
    "/m",
    "/m/x",
    "/a/l/y",
    "/a/../b",
    "/c/",
    "/x/y/z",
    "/{{ where }}",
    "/a/{{ where }}",
];
/// Most files and most directories have names of their own, so that most tasks can do something.
pub(crate) const FILES: [&str; 9] =
    ["/f", "/g", "/a/f", "/b/f", "/a/b/f", "/l", "/m", "/f{{ where }}", "/a/{{ where }}f"];
const FOLDERS: [&str; 7] = ["/a", "/b", "/a/b", "/b/a", "/x/y", "/l", "/{{ where }}"];
const MODES: [&str; 7] = ["0644", "0o600", "755", "0o2755", "4711", "1777", "{{ mode }}"];
const CONDITIONS: [&str; 15] = [
    "true",
    "flag",
    "(not flag)",
    "(eq n 5)",
    "s0.exists",
    "(not s0.exists)",
    "s1.is_dir",
    "(not s1.is_dir)",
    "(eq s0.mode \"0o644\")",
    "(eq s1.owner \"lora\")",
    "(isdefined s2)",
    "s2.exists",
    "(and n (not flag))",
    "(not (eq where \"a\"))",
    "(not (isdefined nowhere))",
];
const CONTENTS: [&str; 6] = [
    "one\n",
    "two\n",
    "where={{ where }}\n",
    "{{#if s0.exists}}is{{else}}is not{{/if}}\n",
    "binary\u{0}\n",
    "three",
];

/// One task or handler.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) module: &'static str,
    pub(crate) fields: Map<String, Value>,
}

/// A play's tasks and handlers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Play {
    pub(crate) tasks: Vec<Task>,
    pub(crate) handlers: Vec<Task>,
}

impl Play {
    /// The script: JSON is YAML.
    pub(crate) fn text(&self) -> String {
        let vars = json!({
            "where": "a", "mode": "0o640", "flag": false, "n": 5, "names": ["a", "b", "{{ where }}", "c"],
            "pairs": [{ "path": "/a/p", "mode": "0o600" }, { "path": "/b", "mode": "0o755" }, { "path": "/c", "mode": "644" }],
        });
        let lines = |tasks: &[Task]| {
            let line =
                |task: &Task| format!("    - !{} {}\n", task.module, Value::Object(task.fields.clone()));
            tasks.iter().map(line).collect::<String>()
        };
        let (tasks, handlers) = (lines(&self.tasks), lines(&self.handlers));
        format!("- name: p\n  groups: [all]\n  defaults: {vars}\n  tasks:\n{tasks}  handlers:\n{handlers}")
    }
}

pub(crate) fn generate(random: &mut Random) -> Play {
    let mut tasks = Vec::new();
    // Without these most scripts would end at the first mention of a name that is not there yet.
    for name in ["s0", "s1", "s2"] {
        if random.chance(90) {
            let Value::Object(fields) =
                json!({ "path": random.pick(&PATHS), "save": name, "and": { "ignore_errors": "true" } })
            else {
                panic!("fields are a mapping")
            };
            tasks.push(Task { module: "stat", fields });
        }
    }
    let (more, handlers) = (1 + random.below(14), random.below(4));
    tasks.extend((0..more).map(|_| task(random)));
    let handlers = (0..handlers).map(|_| handler(random)).collect();
    Play { tasks, handlers }
}

fn handler(random: &mut Random) -> Task {
    let mut handler = task(random);
    let with = handler.fields.entry("with").or_insert_with(|| json!({}));
    with["subscribe"] = random.pick(&["e0", "e1", "e2"]).into();
    handler
}

fn task(random: &mut Random) -> Task {
    let (module, fields) = match random.below(30) {
        0..6 => ("file", file(random)),
        6..11 => ("directory", directory(random)),
        11..16 => ("copy", copy(random, "files")),
        16..20 => ("template", copy(random, "templates")),
        20..23 => ("stat", json!({ "path": random.pick(&PATHS), "save": random.pick(&["s0", "s1", "s2"]) })),
        23 => ("set", set(random)),
        24 => ("echo", json!({ "msg": random.pick(&["{{ where }}", "{{ s0.mode }}", "{{ mode }}"]) })),
        25 => ("debug", json!({ "vars": ["where", random.pick(&["s0", "s1"])] })),
        26 => (
            "assert",
            json!({ random.pick(&["true", "all_false"]): random.pick(&CONDITIONS), "msg": "claimed" }),
        ),
        27 if random.chance(40) => ("user", user(random)),
        27 if random.chance(40) => ("group", group(random)),
        27 if random.chance(30) => ("fail", json!({ "msg": "{{ where }}" })),
        27 => ("facts", json!({})),
        _ => ("shell", shell(random)),
    };
    let Value::Object(mut fields) = fields else { panic!("fields are a mapping") };
    let may_be_another = !matches!(module, "shell" | "user" | "group") && nix::unistd::geteuid().is_root();
    around(&mut fields, may_be_another, random);
    Task { module, fields }
}

/// `with` and `and`.
fn around(fields: &mut Map<String, Value>, may_be_another: bool, random: &mut Random) {
    let (mut with, mut and) = (Map::new(), Map::new());
    // What a command does as another user depends on its folder.
    if may_be_another && random.chance(8) {
        with.insert("sudo".to_owned(), random.pick(&["lora", "lora", "4242", "root", "nobody-here"]).into());
    }
    if random.chance(20) {
        with.insert("condition".to_owned(), random.pick(&CONDITIONS).into());
    }
    if random.chance(20) {
        loop_over(fields, &mut with, random);
    }
    if random.chance(40) {
        and.insert("notify".to_owned(), random.pick(&["e0", "e1", "e{{ n }}", "e2"]).into());
    }
    if random.chance(95) {
        and.insert("ignore_errors".to_owned(), "true".into());
    }
    if random.chance(10) {
        and.insert("retry".to_owned(), "0".into());
    }
    for (key, map) in [("with", with), ("and", and)] {
        if !map.is_empty() {
            fields.insert(key.to_owned(), Value::Object(map));
        }
    }
}

fn loop_over(fields: &mut Map<String, Value>, with: &mut Map<String, Value>, random: &mut Random) {
    let (items, path) = match random.below(60) {
        0 => (json!([]), "/a"),
        1 => (json!("nowhere"), "/a"),
        2..27 => (json!(["b", "{{ where }}", "b"]), "/{{ item }}"),
        27..45 => (json!("names"), "/a/{{ item }}"),
        _ => (json!("pairs"), "{{ item.path }}"),
    };
    if items == "pairs" && fields.contains_key("attributes") {
        fields["attributes"]["mode"] = "{{ item.mode }}".into();
    }
    for key in ["path", "dest"] {
        if fields.contains_key(key) {
            fields.insert(key.to_owned(), path.into());
        }
    }
    with.insert("items".to_owned(), items);
}

fn path(usual: &[&'static str], random: &mut Random) -> &'static str {
    if random.chance(75) { random.pick(usual) } else { random.pick(&PATHS) }
}

fn file(random: &mut Random) -> Value {
    let mut fields = json!({ "path": path(&FILES, random) });
    if random.chance(25) {
        fields["remove"] = "true".into();
    }
    attributes(&mut fields, random);
    fields
}

fn directory(random: &mut Random) -> Value {
    let mut fields = json!({ "path": path(&FOLDERS, random) });
    if random.chance(30) {
        fields["remove"] = "true".into();
    }
    if random.chance(35) {
        fields["recurse"] = "true".into();
    }
    attributes(&mut fields, random);
    fields
}

fn copy(random: &mut Random, kind: &str) -> Value {
    let mut fields = json!({ "dest": path(&FILES, random) });
    match random.below(4) {
        0 => fields["src"] = random.pick(&["/f", "/g", "/a/f", "/b", "/l", "/m"]).into(),
        1 => fields["src"] = format!("{}1", &kind[..1]).into(),
        _ => fields["content"] = random.pick(&CONTENTS).into(),
    }
    attributes(&mut fields, random);
    fields
}

fn attributes(fields: &mut Value, random: &mut Random) {
    if random.chance(55) {
        return;
    }
    let mut attributes = Map::new();
    if random.chance(70) {
        attributes.insert("mode".to_owned(), random.pick(&MODES).into());
    }
    if random.chance(30) {
        attributes.insert("owner".to_owned(), random.pick(&["root", "lora", "4242", "newcomer"]).into());
    }
    if random.chance(30) {
        attributes.insert("group".to_owned(), random.pick(&["root", "radio", "99"]).into());
    }
    if random.chance(1) {
        attributes.insert("mode".to_owned(), "u+x".into());
    }
    fields["attributes"] = Value::Object(attributes);
}

fn user(random: &mut Random) -> Value {
    let mut fields = json!({ "user": random.pick(&["lora", "newcomer", "other"]), "create_home": "false" });
    match random.below(4) {
        0 => fields["remove"] = "true".into(),
        1 => fields["uid"] = random.pick(&["4242", "777"]).into(),
        2 => fields["shell"] = "/bin/false".into(),
        _ => {}
    }
    fields
}

fn group(random: &mut Random) -> Value {
    let mut fields = json!({ "group": random.pick(&["radio", "newcomer", "crowd"]) });
    if random.chance(30) {
        fields["remove"] = "true".into();
    }
    fields
}

fn set(random: &mut Random) -> Value {
    let place = random.pick(&["a", "b", "{{ where }}", "{{ s0.owner }}"]);
    json!({ "vars": { "where": place, "flag": random.chance(50), "names": [random.pick(&["a", "c"])] } })
}

/// Only commands whose result is in their text: what a command does is the one thing that a dry run cannot tell.
fn shell(random: &mut Random) -> Value {
    let (command, failed_when) = match random.below(4) {
        0 => ("exit 3", Some("false")),
        1 => ("exit 3", Some("true")),
        2 => ("true", Some(random.pick(&["flag", "s0.exists", "{{ flag }}"]))),
        _ => ("true", None),
    };
    let mut fields = json!({ "cmd": command });
    if let Some(failed_when) = failed_when {
        fields["failed_when"] = failed_when.into();
    }
    if random.chance(40) {
        fields["changed_when"] = random.pick(&["false", "true", "flag", "s1.exists", "(eq n 5)"]).into();
    }
    fields
}

/// A script whose tasks do not undo each other's work: each has a path of its own, made after the folder that it is in.
pub(crate) fn generate_settled(random: &mut Random) -> Play {
    let paths = ["/d", "/d/e", "/f", "/d/g", "/d/e/h", "/i", "/d/j", "/d/e/k"];
    let mut tasks = Vec::new();
    for path in paths {
        let (module, mut fields) = match path {
            "/d" | "/d/e" => ("directory", json!({ "path": path })),
            _ if random.chance(30) => ("file", json!({ "path": path })),
            _ if random.chance(50) => ("copy", json!({ "dest": path, "content": random.pick(&CONTENTS) })),
            _ => ("template", json!({ "dest": path, "content": random.pick(&CONTENTS[..3]) })),
        };
        attributes(&mut fields, random);
        fields["and"] = json!({ "notify": "e0", "ignore_errors": "true" });
        let Value::Object(fields) = fields else { panic!("fields are a mapping") };
        tasks.push(Task { module, fields });
    }
    Play { tasks, handlers: Vec::new() }
}
