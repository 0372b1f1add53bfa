//! The technician's commands: ask, print, and say by the exit code how it went. The daemon is never needed for anything
//! but its answers, and nothing here changes the gateway but `apply` and `cancel`, and `enroll` and `renew`, which write files.

mod apply;
mod cancel;
mod configuration;
mod doctor;
mod enroll;
pub(crate) mod exit;
mod logs;
mod text;
mod time;
mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use keros_protocol::CommandId;
use serde::Serialize;

use crate::arguments::{Arguments, Command, Format};
use crate::config;
use crate::enroll::EnrolError;
use crate::local::{self, Client, ClientError, JobView, JobsView, StatusView, TelemetryAnswer};

/// Runs one command.
pub(crate) fn run(command: &Command, arguments: &Arguments) -> ExitCode {
    let done = match command {
        // The daemon is started by `main`.
        Command::Run => return exit::USAGE.into(),
        Command::Config(action) => return configuration::run(action, arguments.config.as_deref()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "keros-agent", &mut script);
            print(&String::from_utf8_lossy(&script));
            return exit::OK.into();
        }
        Command::Status(format) => status(arguments, *format),
        Command::Jobs(format) => jobs(arguments, *format),
        Command::Job { id, format } => job(arguments, id, *format),
        Command::Telemetry { format, .. } => telemetry(arguments, *format),
        Command::Enroll(what) => enroll::enroll(what, arguments.config.as_deref()),
        Command::Renew(what) => enroll::renew(what, arguments.config.as_deref()),
        Command::Logs(what) if what.serve => return logs::serve(),
        Command::Logs(what) => logs::logs(what),
        Command::Watch(what) => {
            let watched = sockets(arguments).and_then(|sockets| watch::run(&sockets, what));
            return watched.unwrap_or_else(|error| exit::failed(&error)).into();
        }
        Command::Doctor(format) => return doctor::run(arguments, *format).into(),
        Command::Cancel(what) => {
            return cancel::cancel(arguments, what).unwrap_or_else(|error| exit::failed(&error)).into();
        }
        Command::Apply(what) => {
            let applied = sockets(arguments).and_then(|sockets| apply::apply(&sockets, what));
            return applied.unwrap_or_else(|error| exit::failed(&error)).into();
        }
    };
    match done {
        Ok(()) => exit::OK.into(),
        Err(error) => exit::failed(&error).into(),
    }
}

/// Prints clap's message; help and version are no errors.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Printing may fail when nobody reads any more; then there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE.into() } else { exit::OK.into() }
}

/// Prints to standard output. A reader that went away (`| head`) is no error.
fn print(text: &str) {
    let _ = print_on(text);
}

/// As [`print`]; `false`: nobody reads any more.
fn print_on(text: &str) -> bool {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_ok()
}

/// Tells on standard error what goes on.
fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Configuration(String),
    #[error("no job has an id that begins with {0:?}; `keros-agent jobs` lists those that are kept")]
    NoSuchJob(String),
    #[error("{count} jobs have ids that begin with {prefix:?}: {examples}")]
    Ambiguous { prefix: String, count: usize, examples: String },
    #[error(transparent)]
    Order(#[from] apply::OrderError),
    #[error("{}", .0.display())]
    Bundle(PathBuf, #[source] apply::BundleError),
    #[error(transparent)]
    Executor(cancel::NoAnswer),
    #[error("the job {0} is on its way to the executor, which does not have it yet")]
    OnItsWay(CommandId),
    #[error("refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Line(#[from] keros_protocol::enroll::LineError),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error(transparent)]
    Logs(#[from] logs::LogsError),
    #[error("the terminal cannot be used")]
    Terminal(#[source] std::io::Error),
}

/// The sockets of one agent.
struct Sockets {
    status: PathBuf,
}

impl Sockets {
    fn status(&self) -> Client {
        Client::new(self.status.clone())
    }

    /// Root's socket is beside the other one.
    fn control(&self) -> Client {
        let folder = self.status.parent().unwrap_or(&self.status);
        Client::new(local::control_path(folder))
    }
}

/// The sockets of the agent that the arguments mean. A configuration that was named and can't be read is a failure:
/// otherwise another agent would answer in its place.
fn sockets(arguments: &Arguments) -> Result<Sockets, Failure> {
    if let Some(socket) = &arguments.socket {
        return Ok(Sockets { status: socket.clone() });
    }
    let loaded = config::load(arguments.config.as_deref());
    match &arguments.config {
        Some(file) if !loaded.files.contains(file) => {
            let told = loaded.findings.first().map(ToString::to_string).unwrap_or_default();
            Err(Failure::Configuration(told))
        }
        _ => Ok(Sockets { status: local::socket_path(loaded.runtime_folder()) }),
    }
}

fn client(arguments: &Arguments) -> Result<Client, Failure> {
    Ok(sockets(arguments)?.status())
}

fn status(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let status: StatusView = client(arguments)?.get("/v1/status")?;
    show(format, &status, |status| text::status(status, time::now_unix_s()));
    Ok(())
}

fn jobs(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let jobs: JobsView = client(arguments)?.get("/v1/jobs")?;
    show(format, &jobs, |jobs| text::jobs(jobs, time::now_unix_s()));
    Ok(())
}

fn job(arguments: &Arguments, id: &str, format: Format) -> Result<(), Failure> {
    let jobs: JobsView = client(arguments)?.get("/v1/jobs")?;
    let job = find(&jobs, id)?;
    show(format, job, |job| text::job(job, time::now_unix_s()));
    Ok(())
}

fn telemetry(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let answer: TelemetryAnswer = client(arguments)?.post("/v1/telemetry")?;
    show(format, &answer, |answer| text::telemetry(answer, time::now_unix_s()));
    Ok(())
}

fn show<T: Serialize>(format: Format, value: &T, text: impl FnOnce(&T) -> String) {
    if format.json {
        let json = serde_json::to_string_pretty(value).unwrap_or_default();
        print(&format!("{json}\n"));
    } else {
        print(&text(value));
    }
}

/// The one job whose id begins so; letters may be of either case.
fn find<'a>(jobs: &'a JobsView, prefix: &str) -> Result<&'a JobView, Failure> {
    let wanted = prefix.to_ascii_lowercase();
    let all = jobs.open_jobs.iter().chain(&jobs.ended_jobs);
    let found: Vec<&JobView> = all.filter(|job| job.command_id.to_string().starts_with(&wanted)).collect();
    match found[..] {
        [job] => Ok(job),
        [] => Err(Failure::NoSuchJob(prefix.to_owned())),
        _ => {
            let examples: Vec<String> = found.iter().take(4).map(|job| job.command_id.to_string()).collect();
            let examples = examples.join(", ");
            Err(Failure::Ambiguous { prefix: prefix.to_owned(), count: found.len(), examples })
        }
    }
}
