//! Reads a script and its variables, and checks them whole.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use keros_playbook::{Diagnostic, Script, ScriptSource, merge_variables, parse_variables};
use keros_protocol::limits::MAX_SCRIPT_BYTES;
use serde_json::{Map, Value};

/// What a script may be given besides its text.
#[derive(Debug, Args)]
pub(super) struct ScriptOptions {
    /// Variables of the highest precedence: @FILE (YAML or JSON), or one YAML or JSON mapping; later ones are merged over earlier ones
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    extra_vars: Vec<String>,
    /// Where roles are looked for, before `roles/` beside the script
    #[arg(short = 'r', long, value_name = "DIR:DIR", value_delimiter = ':', env = "JET_ROLES_PATH", value_hint = clap::ValueHint::DirPath)]
    roles: Vec<PathBuf>,
}

/// Why nothing is run.
pub(super) enum Trouble {
    /// The command cannot be used: no such file, and the like.
    Usage(String),
    /// The script, or its variables, have faults.
    Invalid(Vec<Diagnostic>),
}

impl ScriptOptions {
    /// Reads and checks one script.
    pub(super) fn load(&self, path: &Path) -> Result<Script, Trouble> {
        let text = read(path).map_err(Trouble::Usage)?;
        let extra_vars = self.variables()?;
        let role_folders = self.role_folders()?;
        let absolute = std::path::absolute(path).map_err(|error| Trouble::Usage(error.to_string()))?;
        let folder = absolute.parent().map(Path::to_owned);
        let file = path.display().to_string();
        let source = ScriptSource { text, file, folder, role_folders, extra_vars };
        Script::parse(&source).map_err(Trouble::Invalid)
    }

    /// All variables together.
    fn variables(&self) -> Result<Map<String, Value>, Trouble> {
        let mut all = Map::new();
        for argument in &self.extra_vars {
            let (text, file) = match argument.strip_prefix('@') {
                Some(path) => (read(Path::new(path)).map_err(Trouble::Usage)?, path),
                None => (argument.clone(), "-e"),
            };
            merge_variables(&mut all, parse_variables(&text, file).map_err(Trouble::Invalid)?);
        }
        Ok(all)
    }

    /// Absolute, since programs run in other folders.
    fn role_folders(&self) -> Result<Vec<PathBuf>, Trouble> {
        let absolute = |folder: &PathBuf| match std::fs::canonicalize(folder) {
            Ok(path) if path.is_dir() => Ok(path),
            Ok(_) => Err(Trouble::Usage(format!("--roles {}: not a directory", folder.display()))),
            Err(error) => Err(Trouble::Usage(format!("--roles {}: {error}", folder.display()))),
        };
        self.roles.iter().map(absolute).collect()
    }
}

/// A file's text; a longer one than is allowed is cut, and then refused by the check.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // One byte more than allowed is enough for the check to refuse it by name.
    let mut limited = file.take(MAX_SCRIPT_BYTES as u64 + 4);
    limited.read_to_string(&mut text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text)
}
