//! Reads a script and its variables, and checks them whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use keros_playbook::{Diagnostic, DiagnosticKind, Script, ScriptSource, merge_variables, parse_variables};
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
    /// Where programs of the module `external` are looked for, before `modules/` of a role and beside the script
    #[arg(short = 'm', long, value_name = "DIR:DIR", value_delimiter = ':', env = "JET_MODULES_PATH", value_hint = clap::ValueHint::DirPath)]
    modules: Vec<PathBuf>,
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
        let text = read_text(path)?;
        let extra_vars = self.variables()?;
        let role_folders = folders("--roles", &self.roles)?;
        let module_folders = folders("--modules", &self.modules)?;
        let absolute = std::path::absolute(path).map_err(|error| Trouble::Usage(error.to_string()))?;
        let folder = absolute.parent().map(Path::to_owned);
        let file = path.display().to_string();
        let source = ScriptSource { text, file, folder, role_folders, module_folders, extra_vars };
        Script::parse(&source).map_err(Trouble::Invalid)
    }

    /// All variables together.
    fn variables(&self) -> Result<Map<String, Value>, Trouble> {
        let mut all = Map::new();
        for argument in &self.extra_vars {
            let (text, file) = match argument.strip_prefix('@') {
                Some(path) => (read_text(Path::new(path))?, path),
                None => (argument.clone(), "-e"),
            };
            merge_variables(&mut all, parse_variables(&text, file).map_err(Trouble::Invalid)?);
        }
        Ok(all)
    }
}

/// Absolute, since programs run in other folders.
fn folders(option: &str, folders: &[PathBuf]) -> Result<Vec<PathBuf>, Trouble> {
    let absolute = |folder: &PathBuf| match std::fs::canonicalize(folder) {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(_) => Err(Trouble::Usage(format!("{option} {}: not a directory", folder.display()))),
        Err(error) => Err(Trouble::Usage(format!("{option} {}: {error}", folder.display()))),
    };
    folders.iter().map(absolute).collect()
}

/// A file's text. One that is too long is cut, and then refused by the check, by name.
fn read_text(path: &Path) -> Result<String, Trouble> {
    let bytes = read(path).map_err(|error| Trouble::Usage(format!("{}: {error}", path.display())))?;
    if bytes.len() > MAX_SCRIPT_BYTES {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        Trouble::Invalid(vec![Diagnostic {
            kind: DiagnosticKind::Invalid,
            file: path.display().to_string(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: 0,
            message: "not UTF-8 from here on".to_owned(),
            suggestion: Some("save the file as UTF-8".to_owned()),
        }])
    })
}

/// A line of a file, for a person.
pub(super) fn line(file: &str, number: u32) -> Option<String> {
    let bytes = read(Path::new(file)).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
    Some(String::from_utf8_lossy(line).trim_end_matches('\r').to_owned())
}

/// A little more than is allowed is enough for the check to refuse it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_SCRIPT_BYTES as u64 + 4).read_to_end(&mut bytes)?;
    Ok(bytes)
}
