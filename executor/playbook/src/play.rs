//! A play: variables, tasks and handlers, and its check.

use std::path::Path;

use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::findings::Findings;
use crate::task::Task;
use crate::variables::{PlayVariables, merge_variables};
use crate::yaml::{self, Node, Position, Yaml, pairs_to_json};

/// Tasks and handlers of one script. The page takes some 5,000; more is a mistake.
pub(crate) const MAX_TASKS: usize = 5_000;

/// A checked play.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) variables: PlayVariables,
    pub(crate) tasks: Vec<Task>,
    pub(crate) handlers: Vec<Task>,
}

impl Play {
    pub(crate) fn parse(
        node: &Node,
        folder: Option<&Path>,
        room: &mut usize,
        findings: &mut Findings,
    ) -> Self {
        let mut fields = Fields::of(node, "a play", findings);
        if fields.plain("name").is_none() {
            fields.missing("name");
        }
        check_groups(&mut fields);
        check_without_effect(&mut fields);
        let defaults = fields.variables("defaults");
        let mut vars = fields.variables("vars");
        for file in fields.texts("vars_files").unwrap_or_default() {
            let read = read_variables(file, folder, fields.findings);
            merge_variables(&mut vars, read);
        }
        if let Some(role) = fields.list("roles").and_then(<[Node]>::first) {
            fields.findings.unsupported(role.at, "this version cannot run roles");
        }
        let tasks = parse_tasks("tasks", false, &mut fields, folder, room);
        let handlers = parse_tasks("handlers", true, &mut fields, folder, room);
        fields.finish();
        Self { variables: PlayVariables { defaults, vars }, tasks, handlers }
    }
}

fn check_groups(fields: &mut Fields<'_, '_>) {
    let Some(groups) = fields.texts("groups") else {
        if fields.node("groups").is_none() {
            fields.missing("groups");
        }
        return;
    };
    if groups.is_empty() {
        let at = fields.at();
        fields.findings.invalid(at, "a play needs a group: `groups: [all]`");
    }
    for group in groups.iter().filter(|group| group.text() != Some("all")) {
        let name = group.text().unwrap_or_default();
        let message = format!("the group `{name}` is not known: here there is only `all`");
        fields.findings.invalid(group.at, &message);
    }
}

/// Keys of the language that mean nothing on the machine itself. They are checked all the same.
fn check_without_effect(fields: &mut Fields<'_, '_>) {
    if let Some(node) = fields.node("sudo")
        && node.text().map(str::trim) != Some("root")
    {
        fields.findings.unsupported(node.at, "this version runs tasks as root only");
    }
    for key in ["ssh_user", "sudo_template"] {
        fields.plain(key);
    }
    for key in ["ssh_port", "batch_size"] {
        fields.number(key);
    }
}

fn parse_tasks(
    key: &'static str,
    is_handler: bool,
    fields: &mut Fields<'_, '_>,
    folder: Option<&Path>,
    room: &mut usize,
) -> Vec<Task> {
    let nodes = fields.list(key).unwrap_or_default();
    if nodes.len() > *room {
        let at = nodes.get(*room).map_or(Position::default(), |node| node.at);
        fields.findings.too_large(at, &format!("more than {MAX_TASKS} tasks and handlers"));
        *room = 0;
        return Vec::new();
    }
    *room -= nodes.len();
    nodes.iter().filter_map(|node| Task::parse(node, is_handler, folder, fields.findings)).collect()
}

fn read_variables(node: &Node, folder: Option<&Path>, findings: &mut Findings) -> Map<String, Value> {
    let name = node.text().unwrap_or_default();
    let Some(folder) = folder else {
        findings.invalid(node.at, &format!("vars_files: {name}: this script came without files: use `vars`"));
        return Map::new();
    };
    match read_bounded(&folder.join(name)) {
        Ok(text) => {
            let script = std::mem::replace(&mut findings.file, folder.join(name).display().to_string());
            let variables = variables_of(&text, findings);
            findings.file = script;
            variables
        }
        Err(error) => {
            findings.invalid(node.at, &format!("vars_files: {name}: {error}"));
            Map::new()
        }
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let limit = keros_protocol::limits::MAX_SCRIPT_BYTES;
    std::fs::File::open(path)?.take(limit as u64 + 1).read_to_string(&mut text)?;
    if text.len() > limit {
        Err(std::io::Error::other(format!("longer than {limit} bytes")))
    } else {
        Ok(text)
    }
}

/// Variables from a text of one YAML mapping; nothing at all is no variables.
pub(crate) fn variables_of(text: &str, findings: &mut Findings) -> Map<String, Value> {
    let root = yaml::load(text, findings);
    if let Some(node) = &root {
        yaml::refuse_tags(node, findings);
    }
    match root {
        Some(Node { value: Yaml::Map(pairs), .. }) => pairs_to_json(&pairs),
        Some(node) if !node.is_null() => {
            findings.invalid(node.at, &format!("variables must be a mapping, not {}", node.kind()));
            Map::new()
        }
        _ => Map::new(),
    }
}
