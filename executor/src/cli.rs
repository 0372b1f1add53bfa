//! The command line. It must not decide anything: each subcommand is one call.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use keros_platform::paths;
use keros_protocol::CommandId;

use crate::exit::{Failure, TABLE};
use crate::settings::{Settings, StateFolder};
use crate::{exit, listen, orders, playbook_command, session, settle, show, undo};

const EXAMPLES: &str = "\
Examples:
  keros-executor check site.yml           what is wrong with a script, before it goes anywhere
  keros-executor playbook site.yml --dry-run
                                          what a script would change here
  keros-executor jobs                     what has run on this gateway, newest first
  keros-executor job 01936f2e-…           the story of one job, task by task
  keros-executor cancel 01936f2e-…        stop the job that runs, or undo it when it waits for its confirmation
  keros-executor undo 01936f2e-…          undo a job that has ended
  keros-executor settle                   finish what a job is owed whose process was lost (a unit does that)
  echo '{\"request\":\"status\"}' | keros-executor session
                                          what is running at this moment

The agent reaches the executor over a socket: with systemd keros-executor.socket starts one `session` per connection,
elsewhere `keros-executor listen` does. A request is one line of JSON, each answer line is one event.";

/// Runs signed jobs on this gateway, one at a time, each at most once.
#[derive(Debug, Parser)]
#[command(name = "keros-executor", version, after_help = format!("{EXAMPLES}\n\n{TABLE}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve one request: a line of JSON on standard input, events on standard output
    Session(Settings),
    /// Check a JetPorch script and run it here by hand: without signature, journal or report
    Playbook(playbook_command::PlaybookArgs),
    /// Check JetPorch scripts whole, and run nothing
    Check(playbook_command::CheckArgs),
    /// Accept connections on a Unix socket and start a session for each (for gateways without systemd)
    Listen(ListenArgs),
    /// List the jobs that were started here, newest first
    Jobs(JobsArgs),
    /// Tell the story of one job: its tasks, how they ended, how long they took, its outcome
    Job(JobArgs),
    /// Stop a job after the task under way; one whose tasks are over and that waits for its confirmation is undone
    Cancel(CancelArgs),
    /// Undo a job that has ended, as far as its backup is kept: the last change first
    Undo(UndoArgs),
    /// Finish what jobs are owed whose process was lost, also over a reboot: go on, undo, wait for a confirmation
    Settle(SettleArgs),
    /// Print a completion script for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
}

/// Arguments of `listen`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// The socket; a stale one is replaced
    #[arg(long, value_name = "PATH", default_value = paths::EXECUTOR_SOCKET)]
    pub(crate) socket: PathBuf,
    /// Group that may connect, besides root
    #[arg(long, value_name = "NAME")]
    pub(crate) socket_group: Option<String>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Arguments of `jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobsArgs {
    #[command(flatten)]
    pub(crate) state: StateFolder,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `job`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// The command's id, or as much of its beginning as no other job has
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) state: StateFolder,
    /// The events as they were recorded, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `cancel`.
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// The command's id, or as much of its beginning as no other job has
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The answer as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `undo`.
#[derive(Debug, clap::Args)]
pub(crate) struct UndoArgs {
    /// The command's id, or as much of its beginning as no other job has
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Each step as an event, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `settle`.
#[derive(Debug, clap::Args)]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads the command line; ends the program with 64 when it cannot be used.
pub(crate) fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        if error.use_stderr() {
            playbook_command::refuse_command_line(&error.to_string());
            std::process::exit(64)
        }
        std::process::exit(0)
    })
}

/// Does what was asked.
pub(crate) fn dispatch(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Task::Playbook(args) => return playbook_command::run(&args),
        Task::Check(args) => return playbook_command::check(&args),
        Task::Session(settings) => return session::serve_standard_streams(&settings),
        Task::Listen(args) => listen::listen(&args),
        Task::Jobs(args) => show::jobs(&args),
        Task::Job(args) => show::job(&args),
        Task::Cancel(args) => orders::cancel(&args),
        Task::Undo(args) => undo::undo(&args),
        Task::Settle(args) => settle::settle(&args),
        Task::Completions { shell } => {
            clap_complete::generate(shell, &mut command(), "keros-executor", &mut std::io::stdout());
            Ok(())
        }
    };
    exit::report(result)
}

/// The command line as it is described to people.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Finds the one id that begins with `text`.
pub(crate) fn find_id(text: &str, known: &[CommandId]) -> Result<CommandId, Failure> {
    let text = text.trim().to_lowercase();
    let mut matching = known.iter().filter(|id| id.to_string().starts_with(&text));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => Err(Failure::Request(format!("more than one job begins with {text}"))),
        (None, _) => Err(Failure::Unknown(format!(
            "no job {text} on this gateway; `keros-executor jobs` lists what there is"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_id_may_be_shortened_while_it_is_clear() {
        let ids = [CommandId(uuid::Uuid::from_u128(1 << 124)), CommandId(uuid::Uuid::from_u128(2 << 124))];
        assert_eq!(find_id("2", &ids).unwrap(), ids[1]);
        assert_eq!(find_id("", &ids).unwrap_err().code(), 65);
        assert_eq!(find_id("3", &ids).unwrap_err().code(), 66);
    }
}
