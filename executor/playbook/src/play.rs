//! A play: variables, roles, tasks and handlers, and its check.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::findings::Findings;
use crate::modules::TemplateFiles;
use crate::role;
use crate::script::ScriptSource;
use crate::secrets::SecretPath;
use crate::task::{Place, Task};
use crate::template::Text;
use crate::variables::{Levels, merge_variables};
use crate::yaml::{self, Node, Position, Yaml, pairs_to_json};

/// Tasks and handlers of one script. The page takes some 5,000; more is a mistake.
const MAX_TASKS: usize = 5_000;

/// A checked play.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) variables: Levels,
    /// The user that tasks act as, when they name none.
    pub(crate) sudo: Option<Text>,
    /// Variables whose values are never shown.
    pub(crate) secrets: Vec<SecretPath>,
    /// The roles, in order; then the play's own tasks.
    pub(crate) parts: Vec<Part>,
}

/// Tasks and handlers that share a folder and variables: a role that a play calls, or what stands in the play itself.
#[derive(Debug)]
pub(crate) struct Part {
    /// The role's name, as it calls itself.
    pub(crate) role: Option<String>,
    /// The folder of `files/`, `templates/` and relative paths; `None`: the script came alone.
    pub(crate) folder: Option<PathBuf>,
    /// The role's own.
    pub(crate) variables: Levels,
    /// Tags of all its tasks.
    pub(crate) tags: Vec<String>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) handlers: Vec<Task>,
}

/// Reads the parts of a script: knows where they are, and how many tasks there may still be.
pub(crate) struct Reader<'s> {
    source: &'s ScriptSource,
    room: usize,
    templates: TemplateFiles,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s ScriptSource) -> Self {
        Self { source, room: MAX_TASKS, templates: TemplateFiles::default() }
    }

    /// Where roles are looked for, the first that has one wins.
    pub(crate) fn role_folders(&self) -> Vec<PathBuf> {
        let own = self.source.folder.as_ref().map(|folder| folder.join("roles"));
        self.source.role_folders.iter().cloned().chain(own).collect()
    }

    /// Where programs of the module `external` are looked for: as told, in the role, beside the script.
    fn module_folders(&self, folder: Option<&Path>) -> Vec<PathBuf> {
        let own = [folder, self.source.folder.as_deref()].into_iter().flatten();
        let mut folders = self.source.module_folders.clone();
        folders.extend(own.map(|folder| folder.join("modules")));
        folders
    }

    /// Reads a list of tasks or handlers.
    pub(crate) fn tasks(
        &mut self,
        nodes: &[Node],
        is_handler: bool,
        folder: Option<&Path>,
        findings: &mut Findings,
    ) -> Vec<Task> {
        if nodes.len() > self.room {
            let at = nodes.get(self.room).map_or(Position::default(), |node| node.at);
            findings.too_large(at, &format!("more than {MAX_TASKS} tasks and handlers"));
            self.room = 0;
            return Vec::new();
        }
        self.room -= nodes.len();
        let module_folders = self.module_folders(folder);
        let place = Place { folder, module_folders: &module_folders, templates: &self.templates };
        let parse = |node| Task::parse(node, is_handler, &place, findings);
        nodes.iter().filter_map(parse).collect()
    }
}

impl Play {
    pub(crate) fn parse(node: &Node, reader: &mut Reader<'_>, findings: &mut Findings) -> Self {
        let mut fields = Fields::of(node, "a play", findings);
        if fields.plain("name").is_none() {
            fields.missing("name");
        }
        check_groups(&mut fields);
        check_without_effect(&mut fields);
        let sudo = fields.text("sudo");
        let secrets = SecretPath::of_play(&mut fields);
        let folder = reader.source.folder.as_deref();
        let variables = play_variables(&mut fields, folder);
        let mut parts = Vec::new();
        let calls = fields.list("roles").unwrap_or_default();
        parts.extend(calls.iter().filter_map(|call| role::read(call, reader, fields.findings)));
        let mut read = |key, is_handler| {
            let nodes = fields.list(key).unwrap_or_default();
            reader.tasks(nodes, is_handler, folder, fields.findings)
        };
        let (tasks, handlers) = (read("tasks", false), read("handlers", true));
        let (role, tags, folder) = (None, Vec::new(), folder.map(Path::to_owned));
        parts.push(Part { role, folder, variables: Levels::default(), tags, tasks, handlers });
        fields.finish();
        Self { variables, sudo, secrets, parts }
    }

    /// Tasks and handlers.
    pub(crate) fn task_count(&self) -> usize {
        self.parts.iter().map(|part| part.tasks.len() + part.handlers.len()).sum()
    }
}

fn play_variables(fields: &mut Fields<'_, '_>, folder: Option<&Path>) -> Levels {
    let defaults = fields.variables("defaults");
    let mut vars = fields.variables("vars");
    for file in fields.texts("vars_files").unwrap_or_default() {
        let read = read_variables(file, folder, fields.findings);
        merge_variables(&mut vars, read);
    }
    Levels { defaults, vars }
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
    if let Some(node) = fields.node("sudo_template") {
        let why = "programs are started as the user directly, by no other program: leave `sudo_template` out";
        fields.findings.unsupported(node.at, why);
    }
    fields.plain("ssh_user");
    for key in ["ssh_port", "batch_size"] {
        fields.number(key);
    }
}

fn read_variables(node: &Node, folder: Option<&Path>, findings: &mut Findings) -> Map<String, Value> {
    let name = node.text().unwrap_or_default();
    let Some(folder) = folder else {
        findings.invalid(node.at, &format!("vars_files: {name}: this script came without files: use `vars`"));
        return Map::new();
    };
    let path = folder.join(name);
    match read_bounded(&path) {
        Ok(text) => findings.within(&path, |findings| variables_of(&text, findings)),
        Err(error) => {
            findings.invalid(node.at, &format!("vars_files: {name}: {error}"));
            Map::new()
        }
    }
}

/// Reads a text no longer than a script may be. A pipe, a terminal or the kernel's log would be waited for, perhaps for ever; to open a
/// device may do something.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut text = String::new();
    let limit = keros_protocol::limits::MAX_SCRIPT_BYTES;
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    file.take(limit as u64 + 1).read_to_string(&mut text)?;
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
