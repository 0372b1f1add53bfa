//! A script: parsed and checked whole, before anything is run.

use std::path::{Path, PathBuf};

use keros_protocol::limits::MAX_SCRIPT_BYTES;
use keros_protocol::magic_link::Title;
use serde_json::{Map, Value};

use crate::findings::Findings;
use crate::play::{Play, Reader, variables_of};
use crate::secrets;
use crate::task::Task;
use crate::yaml::{self, Node, Position, Yaml};
use crate::{Diagnostic, DiagnosticKind};

/// Where a script comes from.
#[derive(Debug, Clone, Default)]
pub struct ScriptSource {
    /// The YAML text.
    pub text: String,
    /// What to call it in messages.
    pub file: String,
    /// The folder that `files/`, `templates/`, `roles/` and relative paths are in; `None` for a script that came alone.
    pub folder: Option<PathBuf>,
    /// Where roles are looked for before the script's own `roles/`; the first that has one wins.
    pub role_folders: Vec<PathBuf>,
    /// Where programs of the module `external` are looked for before `modules/` of a role and of the script.
    pub module_folders: Vec<PathBuf>,
    /// Variables of the highest precedence.
    pub extra_vars: Map<String, Value>,
}

impl ScriptSource {
    /// The playbook of a bundle whose files are in this folder. What it names is found beside it, as when it is run by hand.
    #[must_use]
    pub fn of_bundle(files: &Path, playbook: &Title, text: String) -> Self {
        let folder = files.join(playbook.as_str()).parent().map(Path::to_owned);
        Self { text, file: playbook.to_string(), folder, ..Self::default() }
    }
}

/// A script that was parsed and checked whole.
#[derive(Debug)]
pub struct Script {
    pub(crate) plays: Vec<Play>,
    pub(crate) extra_vars: Map<String, Value>,
    tasks: u32,
    file: String,
}

impl Script {
    /// Parses and checks.
    ///
    /// # Errors
    /// All findings, in the order of the text.
    pub fn parse(source: &ScriptSource) -> Result<Self, Vec<Diagnostic>> {
        let mut findings = Findings::new(&source.file);
        let plays = parse_plays(source, &mut findings);
        secrets::check(&plays, &source.extra_vars, &mut findings);
        if !findings.is_empty() {
            return Err(findings.into_list());
        }
        let tasks = plays.iter().map(Play::task_count).sum::<usize>();
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        Ok(Self { plays, extra_vars: source.extra_vars.clone(), tasks, file: source.file.clone() })
    }

    /// Tasks and handlers of all plays.
    #[must_use]
    pub fn task_count(&self) -> u32 {
        self.tasks
    }

    /// Tasks that reboot the machine, as findings for one who cannot go on after a reboot.
    #[must_use]
    pub fn reboots(&self) -> Vec<Diagnostic> {
        let parts = self.plays.iter().flat_map(|play| &play.parts);
        let tasks = parts.flat_map(|part| part.tasks.iter().chain(&part.handlers));
        let finding = |task: &Task| Diagnostic {
            kind: DiagnosticKind::Unsupported,
            file: task.file.clone().unwrap_or_else(|| self.file.clone()),
            line: task.at.line,
            column: task.at.column,
            message: "a run by hand cannot reboot and go on; a job that the center sends can".to_owned(),
            suggestion: Some("with --dry-run it is only told".to_owned()),
        };
        tasks.filter(|task| task.module.reboots()).map(finding).collect()
    }
}

fn parse_plays(source: &ScriptSource, findings: &mut Findings) -> Vec<Play> {
    if source.text.len() > MAX_SCRIPT_BYTES {
        let message =
            format!("the script has {} bytes; at most {MAX_SCRIPT_BYTES} are allowed", source.text.len());
        findings.too_large(Position::default(), &message);
        return Vec::new();
    }
    let Some(root) = yaml::load(&source.text, findings) else {
        if findings.is_empty() {
            findings.invalid(Position::default(), "the script is empty: it needs at least one play");
        }
        return Vec::new();
    };
    let nodes = plays_of(&root, findings);
    let mut reader = Reader::new(source);
    nodes.iter().map(|node| Play::parse(node, &mut reader, findings)).collect()
}

fn plays_of<'n>(root: &'n Node, findings: &mut Findings) -> &'n [Node] {
    match &root.value {
        Yaml::List(list) if !list.is_empty() => list,
        Yaml::List(_) => {
            findings.invalid(root.at, "the script is empty: it needs at least one play");
            &[]
        }
        _ if root.is_null() => {
            findings.invalid(Position::default(), "the script is empty: it needs at least one play");
            &[]
        }
        _ => {
            findings.invalid(root.at, &format!("a script is a list of plays, not {}", root.kind()));
            &[]
        }
    }
}

/// Reads variables from a text of YAML or JSON: one mapping.
///
/// # Errors
/// All findings; `file` is what they call the text.
pub fn parse_variables(text: &str, file: &str) -> Result<Map<String, Value>, Vec<Diagnostic>> {
    let mut findings = Findings::new(file);
    if text.len() > MAX_SCRIPT_BYTES {
        findings.too_large(Position::default(), &format!("more than {MAX_SCRIPT_BYTES} bytes of variables"));
        return Err(findings.into_list());
    }
    let variables = variables_of(text, &mut findings);
    if findings.is_empty() { Ok(variables) } else { Err(findings.into_list()) }
}
