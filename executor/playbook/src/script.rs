//! A checked script.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::{Diagnostic, DiagnosticKind};

/// Where a script comes from.
#[derive(Debug, Clone)]
pub struct ScriptSource {
    /// The YAML text.
    pub text: String,
    /// What to call it in messages.
    pub file: String,
    /// The folder that `files/`, `templates/`, `roles/` and relative paths are in; `None` for a script that came alone.
    pub folder: Option<PathBuf>,
    /// Variables of the highest precedence.
    pub extra_vars: Map<String, Value>,
}

/// A script that was parsed and checked whole.
#[derive(Debug)]
pub struct Script {
    tasks: u32,
}

impl Script {
    /// Parses and checks.
    ///
    /// # Errors
    /// All findings, in the order of the text.
    pub fn parse(source: &ScriptSource) -> Result<Self, Vec<Diagnostic>> {
        Err(vec![Diagnostic {
            kind: DiagnosticKind::Unsupported,
            file: source.file.clone(),
            line: 0,
            column: 0,
            message: "scripts are not understood yet".to_owned(),
            suggestion: None,
        }])
    }

    /// Tasks and handlers of all plays.
    #[must_use]
    pub fn task_count(&self) -> u32 {
        self.tasks
    }
}
