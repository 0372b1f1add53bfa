//! `keros-executor check FILE...`: checks scripts whole and runs nothing.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use keros_playbook::{Diagnostic, Observer as _, Script};
use keros_protocol::executor::Event;
use keros_protocol::text::printable;

use super::source::{ScriptOptions, Trouble};
use super::stream::JsonLines;
use super::style::plural;
use super::{EXIT_INVALID, EXIT_UNHEARD, EXIT_USAGE, complain, faults};

const HELP: &str = "\
All faults are found at once: keys and modules that do not exist, values of the wrong sort, templates and conditions that
cannot be read, files and roles that are missing. What only shows on the machine (an undefined variable, a missing user)
is found by `keros-executor playbook FILE --dry-run`.

Examples:
  keros-executor check site.yml              faults with their lines, and what was probably meant
  keros-executor check *.yml --json          one JSON object per fault, for an editor or a build server
  keros-executor check site.yml -e @site-7.yml -e '{power: 14}'
                                             with the variables that it will get

Exit codes:
  0   no fault in any file
  64  a file cannot be read, or the command line cannot be used
  65  a script has faults
  74  the standard output was closed";

/// Check JetPorch scripts whole, and run nothing.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct CheckArgs {
    /// The scripts
    #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: ScriptOptions,
    /// Print events, one JSON object per line: a `finding` for each fault, then one `checked` for each file
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let mut worst = 0;
    for file in &args.files {
        let name = file.display().to_string();
        let told = match args.options.load(file) {
            Ok(script) => tell(args.json, &name, Ok(&script)),
            Err(Trouble::Invalid(findings)) => {
                worst = worst.max(EXIT_INVALID);
                tell(args.json, &name, Err(findings))
            }
            Err(Trouble::Usage(message)) => {
                complain(&format!("check: {message}"));
                return ExitCode::from(EXIT_USAGE);
            }
        };
        if told.is_err() {
            return ExitCode::from(EXIT_UNHEARD);
        }
    }
    ExitCode::from(worst)
}

fn tell(json: bool, name: &str, checked: Result<&Script, Vec<Diagnostic>>) -> io::Result<()> {
    let tasks = checked.as_ref().ok().map(|script| script.task_count());
    let findings = checked.err().unwrap_or_default();
    if json {
        let faults = u32::try_from(findings.len()).unwrap_or(u32::MAX);
        findings.into_iter().try_for_each(|finding| JsonLines.event(&faults::event(finding)))?;
        return JsonLines.event(&Event::Checked { file: name.to_owned(), tasks, faults });
    }
    let verdict = match tasks {
        Some(tasks) => format!("{}, no fault", plural(tasks, "task")),
        None => format!("{} found", faults::count(&findings)),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{}{}: {verdict}", faults::describe(&findings), printable(name))?;
    out.flush()
}
