//! `keros-executor playbook FILE`: checks and runs a script by hand, and prints what a person wants to read.
//!
//! It takes no lock and writes no journal: it is for the person at the machine, and for scratch trees.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use keros_playbook::{
    Diagnostic, Durability, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace,
    merge_variables, parse_variables,
};
use keros_protocol::executor::{Change, Event, TaskResult, TaskStatus};
use keros_protocol::limits::MAX_SCRIPT_BYTES;
use keros_protocol::{JobLimits, Outcome, Summary};
use serde_json::{Map, Value};

/// A task failed, or a time limit ended the run.
const EXIT_FAILED: u8 = 1;
/// A dry run found something to change.
const EXIT_WOULD_CHANGE: u8 = 2;
/// Wrong use of the command (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// The script is not valid (`EX_DATAERR` of sysexits.h).
const EXIT_INVALID: u8 = 65;

/// Check a JetPorch script and run it here.
#[derive(Debug, Args)]
pub(crate) struct PlaybookArgs {
    /// The script.
    file: PathBuf,
    /// Work on this tree instead of the machine itself.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Run programs outside of the tree (its folder is in KEROS_ROOT) instead of by chroot.
    #[arg(long)]
    host_shell: bool,
    /// Change nothing; say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Print events, one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Variables of the highest precedence: @FILE (YAML or JSON), or one YAML or JSON mapping; later ones are merged over earlier ones.
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    extra_vars: Vec<String>,
    /// Run only tasks with one of these tags.
    #[arg(long, value_name = "TAG:TAG", value_delimiter = ':')]
    tags: Vec<String>,
    /// Time limit of the whole run, seconds.
    #[arg(long, value_name = "S", default_value_t = JobLimits::default().total_s)]
    total_limit_s: u32,
    /// Time limit of one task, seconds.
    #[arg(long, value_name = "S", default_value_t = JobLimits::default().task_s)]
    task_limit_s: u32,
}

/// Runs the command.
pub(crate) fn run(args: PlaybookArgs) -> ExitCode {
    match check(&args) {
        Ok(script) => run_script(&args, &script),
        Err(Trouble::Usage(message)) => {
            eprintln!("keros-executor playbook: {message}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Trouble::Invalid(findings)) => {
            eprint!("{}", describe(&findings));
            ExitCode::from(EXIT_INVALID)
        }
    }
}

/// Why nothing was run.
enum Trouble {
    Usage(String),
    Invalid(Vec<Diagnostic>),
}

fn check(args: &PlaybookArgs) -> Result<Script, Trouble> {
    if !args.root.is_dir() {
        return Err(Trouble::Usage(format!("--root {}: no such directory", args.root.display())));
    }
    let text = read_script(&args.file).map_err(Trouble::Usage)?;
    let mut extra_vars = Map::new();
    for argument in &args.extra_vars {
        merge_variables(&mut extra_vars, extra(argument)?);
    }
    let absolute = std::path::absolute(&args.file).map_err(|error| Trouble::Usage(error.to_string()))?;
    let folder = absolute.parent().map(Path::to_owned);
    let file = args.file.display().to_string();
    Script::parse(&ScriptSource { text, file, folder, extra_vars }).map_err(Trouble::Invalid)
}

fn read_script(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // One byte more than allowed is enough for the check to refuse it by name.
    let mut limited = file.take(MAX_SCRIPT_BYTES as u64 + 4);
    limited.read_to_string(&mut text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text)
}

fn extra(argument: &str) -> Result<Map<String, Value>, Trouble> {
    let (text, file) = match argument.strip_prefix('@') {
        Some(path) => (read_script(Path::new(path)).map_err(Trouble::Usage)?, path),
        None => (argument.to_owned(), "-e"),
    };
    parse_variables(&text, file).map_err(Trouble::Invalid)
}

fn run_script(args: &PlaybookArgs, script: &Script) -> ExitCode {
    let shell = if args.host_shell { ShellPlace::Host } else { ShellPlace::Root };
    let root = std::fs::canonicalize(&args.root).unwrap_or_else(|_| args.root.clone());
    let mut system = HostSystem::new(root, shell);
    // Nothing is recorded task by task here, so files need not be durable task by task.
    system.durability = Durability::Grouped;
    let limits = JobLimits { total_s: args.total_limit_s, task_s: args.task_limit_s, ..JobLimits::default() };
    let options = RunOptions { dry_run: args.dry_run, limits, tags: args.tags.clone() };
    let outcome = if args.json {
        let outcome = keros_playbook::run(script, &mut system, &options, &mut JsonLines);
        let ended = JsonLines.event(&Event::Ended { outcome: outcome.clone() });
        if ended.is_err() {
            return ExitCode::from(EXIT_FAILED);
        }
        outcome
    } else {
        let mut report = Report { colours: io::stdout().is_terminal(), dry_run: args.dry_run, told: None };
        let _ = writeln!(io::stdout(), "{}", header(args, script));
        let outcome = keros_playbook::run(script, &mut system, &options, &mut report);
        let _ = report.end(&outcome);
        outcome
    };
    exit_code(&outcome, args.dry_run)
}

fn exit_code(outcome: &Outcome, dry_run: bool) -> ExitCode {
    match outcome {
        Outcome::Succeeded { summary, .. } if dry_run && summary.changed() > 0 => {
            ExitCode::from(EXIT_WOULD_CHANGE)
        }
        Outcome::Succeeded { .. } => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_FAILED),
    }
}

/// Events as the agent would get them.
struct JsonLines;

impl Observer for JsonLines {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }
}

/// One line per task, for a person.
struct Report {
    colours: bool,
    dry_run: bool,
    /// Why a task failed, as it was printed.
    told: Option<String>,
}

impl Observer for Report {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let text = match event {
            Event::ItemEnded { task, item, result, .. } if result.status != TaskStatus::Failed => {
                self.line(&format!("{} [{}]", task.name, shown(item)), result)
            }
            Event::Retrying { left, delay_s, message, .. } => {
                format!("    {message}\n    again in {delay_s} s, {left} left after that\n")
            }
            Event::TaskEnded { task, result, notified, .. } => {
                self.told.clone_from(&result.message);
                let mut text = self.line(&format!("{}/{} {}", task.number, task.count, task.name), result);
                for event in notified {
                    let _ = writeln!(text, "    notified: {event}");
                }
                text
            }
            _ => return Ok(()),
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Report {
    fn line(&self, name: &str, result: &TaskResult) -> String {
        let (mark, colour) = match result.status {
            TaskStatus::Failed => ("!", "31"),
            TaskStatus::Ignored => ("!", "33"),
            TaskStatus::Matched | TaskStatus::Passive => ("·", "2"),
            TaskStatus::Skipped => ("-", "2"),
            _ => ("✓", "32"),
        };
        let would = if self.dry_run && result.status.is_change() { "would be " } else { "" };
        let mut text = format!("{} {name}: {would}{}\n", self.paint(mark, colour), result.status.as_str());
        for change in &result.changes {
            let _ = writeln!(text, "    {}", describe_change(change));
        }
        if let Some(message) = &result.message {
            text.push_str(&indented(message));
        }
        let is_failure = matches!(result.status, TaskStatus::Failed | TaskStatus::Ignored);
        if let Some(output) = result.output.as_ref().filter(|_| is_failure) {
            text.push_str(&indented(&output.to_string()));
        }
        text
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn end(&self, outcome: &Outcome) -> io::Result<()> {
        let (summary, colour) = match outcome {
            Outcome::Succeeded { summary, .. } => (*summary, "32"),
            Outcome::Failed { summary, .. } | Outcome::TimedOut { summary, .. } => (*summary, "31"),
            _ => (Summary::default(), "31"),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "\n{}", counts(&summary))?;
        let dry = if self.dry_run { " (dry run: nothing was changed)" } else { "" };
        writeln!(out, "{}{dry}", self.paint(&outcome.to_string(), colour))?;
        match outcome {
            // Such as files that could not be made durable after their tasks.
            Outcome::Failed { message, .. } if self.told.as_ref() != Some(message) => {
                out.write_all(indented(message).as_bytes())
            }
            _ => Ok(()),
        }
    }
}

fn header(args: &PlaybookArgs, script: &Script) -> String {
    let place =
        if args.root == Path::new("/") { String::new() } else { format!(" on {}", args.root.display()) };
    format!("{}: {}{place}", args.file.display(), plural(script.task_count(), "task"))
}

fn counts(summary: &Summary) -> String {
    format!("{} | {summary}", plural(summary.total(), "task"))
}

fn describe_change(change: &Change) -> String {
    let quoted = |text: &Option<String>| text.as_ref().map(|text| format!("{text:?}"));
    match (quoted(&change.before), quoted(&change.after)) {
        (Some(before), Some(after)) => format!("{}: {before} -> {after}", change.property),
        (None, Some(after)) => format!("{}: {after}", change.property),
        (Some(before), None) => format!("{}: was {before}", change.property),
        (None, None) => change.property.clone(),
    }
}

fn shown(item: &Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// All findings, each with its line of the text and a mark below it.
fn describe(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "{finding}");
        let source = read_script(Path::new(&finding.file)).unwrap_or_default();
        if let Some(line) = source.lines().nth((finding.line as usize).wrapping_sub(1)) {
            let shown: String = line.chars().take(120).collect();
            let _ = writeln!(text, "{:>5} | {shown}", finding.line);
            if finding.column > 0 && finding.column <= 120 {
                let _ = writeln!(text, "      | {}^", " ".repeat(finding.column as usize - 1));
            }
        }
    }
    let count = u32::try_from(findings.len()).unwrap_or(u32::MAX);
    let _ = writeln!(text, "{} found: nothing was run", plural(count, "fault"));
    text
}

fn plural(count: u32, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
