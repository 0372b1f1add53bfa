//! `keros-executor playbook FILE`: checks and runs a script by hand, and prints what a person or a program wants to read.
//!
//! It takes no lock and writes no journal: it is for the person at the machine, and for scratch trees.
//!
//! In reading order: the script and its variables ([`source`]), what is wrong with it ([`faults`], [`check`]), how a run is
//! told ([`stream`] for programs, [`report`], [`progress`] and [`style`] for people), how it is ended early ([`signals`]).

mod check;
mod faults;
mod progress;
mod report;
mod signals;
mod source;
mod stream;
mod style;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use keros_playbook::{Diagnostic, Durability, HostSystem, Observer, RunOptions, Script, ShellPlace};
use keros_protocol::eligibility::Refusal;
use keros_protocol::executor::{Event, STREAM_FORMAT};
use keros_protocol::text::printable;
use keros_protocol::{JobLimits, Outcome, RefusalReason};

pub(crate) use check::{CheckArgs, check};

use crate::engine::refusal_of;
use crate::exit::complain;
use report::Report;
use signals::Signals;
use source::{ScriptOptions, Trouble};
use stream::JsonLines;
use style::{Style, plural};

/// A task failed, or a time limit ended the run.
const EXIT_FAILED: u8 = 1;
/// A dry run found something to change.
const EXIT_WOULD_CHANGE: u8 = 2;
/// Wrong use of the command (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// The script is not valid (`EX_DATAERR` of sysexits.h).
const EXIT_INVALID: u8 = 65;
/// Nobody hears what the run says: its output was closed (`EX_IOERR` of sysexits.h).
const EXIT_UNHEARD: u8 = 74;

const HELP: &str = "\
Examples:
  keros-executor playbook site.yml --dry-run    what would change here
  keros-executor playbook site.yml              change it
  keros-executor playbook site.yml --root /tmp/tree --host-shell
                                                try it on a tree instead of the machine
  keros-executor playbook site.yml --json | jq 'select(.event == \"task_ended\")'

SIGINT (Ctrl-C), SIGTERM and SIGHUP end the run in order: the program under way gets SIGTERM with its process group, two
seconds later SIGKILL; no other change is begun; the end says `cancelled`. When the standard output is closed (`| head`),
the run ends before the next change. With --json the last line is always an `ended`; the events are described in
docs/events.md.

Exit codes:
  0    all well
  1    a task failed, or a time limit ended the run
  2    with --dry-run: something would change
  64   the command line cannot be used
  65   the script is not valid; nothing was run
  74   the standard output was closed
  129, 130, 143
       ended by SIGHUP, SIGINT, SIGTERM";

/// Check a JetPorch script and run it here.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct PlaybookArgs {
    /// The script
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Work on this tree instead of the machine itself
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = clap::ValueHint::DirPath)]
    root: PathBuf,
    /// Run programs outside of the tree (its folder is in KEROS_ROOT) instead of by chroot
    #[arg(long)]
    host_shell: bool,
    /// Change nothing; say what would change
    #[arg(long)]
    dry_run: bool,
    /// Show how files change, line by line; a dry run always does
    #[arg(long)]
    diff: bool,
    /// Print events, one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ScriptOptions,
    /// Run only tasks with one of these tags
    #[arg(long, value_name = "TAG:TAG", value_delimiter = ':')]
    tags: Vec<String>,
    /// The user that tasks act as when neither they nor their play name one
    #[arg(long, value_name = "USER")]
    sudo: Option<String>,
    /// Where programs are looked up, and the PATH that they get [default: PATH; the usual folders with --root, and in jobs]
    #[arg(long, value_name = "DIR:DIR")]
    path: Option<String>,
    /// Time limit of the whole run, seconds
    #[arg(long, value_name = "S", default_value_t = JobLimits::default().total_s)]
    total_limit_s: u32,
    /// Time limit of one task, seconds
    #[arg(long, value_name = "S", default_value_t = JobLimits::default().task_s)]
    task_limit_s: u32,
}

/// Runs the command.
pub(crate) fn run(args: &PlaybookArgs) -> ExitCode {
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => return refuse(args, Trouble::Usage(format!("cannot watch for signals: {error}"))),
    };
    let script = if args.root.is_dir() {
        args.options.load(&args.file).and_then(|script| refuse_reboots(args, script))
    } else {
        Err(Trouble::Usage(format!("--root {}: no such directory", args.root.display())))
    };
    match script {
        Ok(script) => run_script(args, &script, &signals),
        Err(trouble) => refuse(args, trouble),
    }
}

/// Nobody goes on with a run by hand after a reboot.
fn refuse_reboots(args: &PlaybookArgs, script: Script) -> Result<Script, Trouble> {
    let findings = script.reboots();
    if args.dry_run || findings.is_empty() { Ok(script) } else { Err(Trouble::Invalid(findings)) }
}

/// A command line that cannot be read ends the stream of events as well, when one was asked for.
pub(crate) fn refuse_command_line(message: &str) {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "playbook") && arguments.any(|word| word == "--json") {
        // Whoever closed the stream has the exit code.
        let _ = JsonLines.event(&refused(Refusal::new(RefusalReason::Unparsable, message.trim())));
    }
}

/// Nothing is run: says why.
fn refuse(args: &PlaybookArgs, trouble: Trouble) -> ExitCode {
    let (code, text, findings, refusal) = match trouble {
        Trouble::Usage(message) => {
            let text = format!("keros-executor: playbook: {}\n", printable(&message));
            (EXIT_USAGE, text, Vec::new(), Refusal::new(RefusalReason::Unparsable, message))
        }
        Trouble::Invalid(findings) => {
            let count = faults::count(&findings);
            let text = format!("{}{count} found: nothing was run\n", faults::describe(&findings));
            let refusal = refusal_of(&findings);
            (EXIT_INVALID, text, findings, refusal)
        }
    };
    if !args.json {
        let _ = io::stderr().write_all(text.as_bytes());
        return ExitCode::from(code);
    }
    if findings.is_empty() {
        let _ = io::stderr().write_all(text.as_bytes());
    }
    let told = tell_refusal(args, findings, refusal);
    ExitCode::from(if told.is_ok() { code } else { EXIT_UNHEARD })
}

fn tell_refusal(args: &PlaybookArgs, findings: Vec<Diagnostic>, refusal: Refusal) -> io::Result<()> {
    JsonLines.event(&started(args, None))?;
    findings.into_iter().try_for_each(|finding| JsonLines.event(&faults::event(finding)))?;
    JsonLines.event(&refused(refusal))
}

fn refused(refusal: Refusal) -> Event {
    let Refusal { reason, detail } = refusal;
    Event::Ended { outcome: Outcome::Refused { reason, detail } }
}

fn started(args: &PlaybookArgs, tasks: Option<u32>) -> Event {
    Event::RunStarted {
        format: STREAM_FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        file: args.file.display().to_string(),
        tasks,
        dry_run: args.dry_run,
        root: args.root.display().to_string(),
    }
}

fn run_script(args: &PlaybookArgs, script: &Script, signals: &Signals) -> ExitCode {
    let told = if args.json {
        run_for_programs(args, script, signals)
    } else {
        run_for_people(args, script, signals)
    };
    match told {
        Ok(outcome) => ExitCode::from(exit_code(&outcome, args.dry_run, signals)),
        Err(_) => ExitCode::from(EXIT_UNHEARD),
    }
}

/// # Errors
/// When the end could not be told.
fn run_for_programs(args: &PlaybookArgs, script: &Script, signals: &Signals) -> io::Result<Outcome> {
    JsonLines.event(&started(args, Some(script.task_count())))?;
    let outcome = run_observed(args, script, signals, &mut JsonLines);
    JsonLines.event(&Event::Ended { outcome: outcome.clone() })?;
    Ok(outcome)
}

/// # Errors
/// When the end could not be told.
fn run_for_people(args: &PlaybookArgs, script: &Script, signals: &Signals) -> io::Result<Outcome> {
    let style = Style::of_standard_output();
    let mut report = Report::new(style, args.dry_run, args.file.display().to_string());
    report.print(&header(args, script))?;
    let outcome = run_observed(args, script, signals, &mut report);
    report.end(&outcome)?;
    Ok(outcome)
}

fn run_observed(
    args: &PlaybookArgs,
    script: &Script,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Outcome {
    let shell = if args.host_shell { ShellPlace::Host } else { ShellPlace::Root };
    let root = std::fs::canonicalize(&args.root).unwrap_or_else(|_| args.root.clone());
    let mut system = HostSystem::new(root, shell);
    // Nothing is recorded task by task here, so files need not be durable task by task.
    system.durability = Durability::Grouped;
    let own = std::env::var("PATH").ok().filter(|path| args.root == Path::new("/") && !path.is_empty());
    system.search_path = args.path.clone().or(own).unwrap_or(system.search_path);
    system.cancel = Some(signals.cancel.clone());
    let limits = JobLimits { total_s: args.total_limit_s, task_s: args.task_limit_s, ..JobLimits::default() };
    let options = RunOptions {
        dry_run: args.dry_run,
        diff: args.diff,
        limits,
        tags: args.tags.clone(),
        sudo: args.sudo.clone(),
        cancel: Some(signals.cancel.clone()),
        ..RunOptions::default()
    };
    keros_playbook::run(script, &mut system, &options, observer).without_reboot()
}

fn exit_code(outcome: &Outcome, dry_run: bool, signals: &Signals) -> u8 {
    match outcome {
        Outcome::Succeeded { summary, .. } if dry_run && summary.changed() > 0 => EXIT_WOULD_CHANGE,
        Outcome::Succeeded { .. } => 0,
        Outcome::Cancelled { .. } => signals.exit_code().unwrap_or(EXIT_FAILED),
        _ => EXIT_FAILED,
    }
}

fn header(args: &PlaybookArgs, script: &Script) -> String {
    let (file, root) = (printable(&args.file.to_string_lossy()), printable(&args.root.to_string_lossy()));
    let place = if args.root == Path::new("/") { String::new() } else { format!(" on {root}") };
    format!("{file}: {}{place}\n", plural(script.task_count(), "task"))
}
