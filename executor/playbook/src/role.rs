//! A role: a folder of tasks, handlers, files and templates that several plays can use.
//!
//! `role.yml` names the files of tasks in `tasks/` and of handlers in `handlers/`. All of them are read when the script is
//! checked, so that a fault in the last role is known before the first one has changed anything.

use std::path::{Component, Path, PathBuf};

use crate::fields::Fields;
use crate::findings::Findings;
use crate::play::{Part, Reader, read_bounded};
use crate::task::Task;
use crate::variables::Levels;
use crate::yaml::{self, Node, Position, Yaml};

/// Reads the role that an element of a play's `roles` calls: `{ role, vars, tags }`.
pub(crate) fn read(node: &Node, reader: &mut Reader<'_>, findings: &mut Findings) -> Option<Part> {
    if node.text().is_some() {
        findings.invalid(node.at, "a role is called by a mapping: `- { role: NAME }`");
        return None;
    }
    let mut fields = Fields::of(node, "a call of a role", findings);
    let name = fields.plain("role");
    if name.is_none() {
        fields.missing("role");
    }
    let vars = fields.variables("vars");
    let tags = fields.texts("tags").unwrap_or_default();
    let tags = tags.iter().filter_map(|tag| tag.text()).map(str::to_owned).collect();
    fields.finish();
    let folder = find(&name?, node, reader, findings)?;
    let mut part = read_folder(&folder, reader, findings)?;
    part.variables.vars = vars;
    part.tags = tags;
    Some(part)
}

/// The first folder of the search path that has the role.
fn find(name: &str, node: &Node, reader: &Reader<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_plain {
        findings.invalid(node.at, &format!("{name:?} is no name of a role"));
        return None;
    }
    let folders = reader.role_folders();
    if let Some(found) = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_dir()) {
        return Some(found);
    }
    let places = match folders.as_slice() {
        [] => "this script came without files".to_owned(),
        folders => {
            let shown: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            format!("looked for in {}", shown.join(", "))
        }
    };
    let known: Vec<String> = folders.iter().flat_map(|folder| names_in(folder)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    findings.unknown(node.at, &format!("role not found: {name} ({places})"), name, &known);
    None
}

/// Names of the roles in a folder, for a suggestion.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(1_000);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn read_folder(folder: &Path, reader: &mut Reader<'_>, findings: &mut Findings) -> Option<Part> {
    let path = folder.join("role.yml");
    let (variables, name, tasks, handlers) = findings.within(&path, |findings| {
        let before = findings.count();
        let root = load(&path, findings);
        if root.is_none() && findings.count() == before {
            findings.invalid(Position::default(), "the file is empty");
        }
        let root = root?;
        let mut fields = Fields::of(&root, "a role", findings);
        let name = fields.plain("name");
        if name.is_none() {
            fields.missing("name");
        }
        let variables = Levels { defaults: fields.variables("defaults"), ..Levels::default() };
        let tasks = files(folder, "tasks", &mut fields);
        let handlers = files(folder, "handlers", &mut fields);
        fields.finish();
        Some((variables, name, tasks, handlers))
    })?;
    let mut read = |files: &[PathBuf], is_handler| -> Vec<Task> {
        files.iter().flat_map(|file| read_tasks(file, is_handler, folder, reader, findings)).collect()
    };
    let (tasks, handlers) = (read(&tasks, false), read(&handlers, true));
    Some(Part { role: name, folder: Some(folder.to_owned()), variables, tags: Vec::new(), tasks, handlers })
}

/// The files that `tasks` or `handlers` of a role names.
fn files(folder: &Path, key: &'static str, fields: &mut Fields<'_, '_>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for node in fields.texts(key).unwrap_or_default() {
        let name = Path::new(node.text().unwrap_or_default());
        if name.components().any(|part| part == Component::ParentDir) {
            fields.findings.invalid(node.at, &format!("{}: `..` is not allowed", name.display()));
            continue;
        }
        let path = folder.join(key).join(name);
        if path.is_file() {
            files.push(path);
        } else {
            fields.findings.invalid(node.at, &format!("no such file: {}", path.display()));
        }
    }
    files
}

fn read_tasks(
    file: &Path,
    is_handler: bool,
    folder: &Path,
    reader: &mut Reader<'_>,
    findings: &mut Findings,
) -> Vec<Task> {
    findings.within(file, |findings| {
        // As in jetp, a file of comments only, or of `---`, holds no tasks.
        let root = load(file, findings).filter(|root| root.text().is_none_or(|text| !text.is_empty()));
        let Some(root) = root else { return Vec::new() };
        let Yaml::List(nodes) = &root.value else {
            let message = format!("a file of tasks is a list of tasks, not {}", root.kind());
            findings.invalid(root.at, &message);
            return Vec::new();
        };
        reader.tasks(nodes, is_handler, Some(folder), findings)
    })
}

fn load(path: &Path, findings: &mut Findings) -> Option<Node> {
    match read_bounded(path) {
        Ok(text) => yaml::load(&text, findings),
        Err(error) => {
            findings.invalid(Position::default(), &format!("cannot be read: {error}"));
            None
        }
    }
}
