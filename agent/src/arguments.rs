//! What can be said on the command line, and the help that teaches it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use keros_protocol::magic_link::Digest;

/// The update agent of a KerOS gateway.
#[derive(Debug, Parser)]
#[command(
    name = "keros-agent",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  keros-agent status                 how the gateway is: connection, telemetry, jobs
  keros-agent watch                  the same as it goes on
  keros-agent job 0192               all about the job whose id begins with 0192
  keros-agent telemetry --now        send telemetry now, and so fetch a waiting command
  sudo keros-agent doctor            what is wrong, and what to do about it
  sudo keros-agent apply /media/usb sha256:… --command /media/usb/command.json
                                     run an exported Magic Link without a network
  sudo keros-agent enroll -          join a center: paste the line that `keros-center enroll` prints
  sudo keros-agent cancel 0192       stop that job, or undo it
  keros-agent config --check         find mistakes in the configuration
  curl --unix-socket /run/keros-agent/status.sock http://agent/v1/status

Exit codes: 0 done, 1 failed, 64 wrong usage, 65 refused, 69 the agent cannot be reached, 77 only for root, 78 wrong
configuration.
Variables:  KEROS_LOG sets how much the daemon logs: off, error, warn, info (default), debug, trace."
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Configuration file; drop-ins are read from the folder config.d beside it [default: /etc/keros-agent/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The agent's socket; control.sock is looked for beside it [default: status.sock in the configured runtime_folder]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// The configuration file of `run`, and of nothing else: as a service starts it. The parser for all commands is left out then, since
/// the memory that it takes would be the daemon's for as long as that runs.
pub(crate) fn of_service(words: impl Iterator<Item = OsString>) -> Option<Option<PathBuf>> {
    match words.collect::<Vec<_>>().as_slice() {
        [run] if run == "run" => Some(None),
        [run, option, file] if run == "run" && option == "--config" && !file.is_empty() => {
            Some(Some(file.into()))
        }
        _ => None,
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon (what the service does)
    Run,
    /// Show identity, connection, telemetry and jobs on one screen
    Status(Format),
    /// List the jobs that this gateway keeps
    Jobs(Format),
    /// Show all about one job: outcome, exit code, message, output
    Job {
        /// Its id, or a beginning of it that no other job has
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Send telemetry
    Telemetry {
        /// Now, instead of waiting for its time
        #[arg(long, required = true)]
        now: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show what goes on, as it goes on
    #[command(
        long_about = "Show what goes on, as it goes on: connection, telemetry, the job under way, the bundle that is\n\
fetched, the last jobs. On a terminal a screen, which q or Ctrl-C ends; elsewhere a line for each change. An\n\
agent that is restarted is waited for.",
        after_help = "\
Examples:
  keros-agent watch                  the screen; NO_COLOR=1 keeps it free of colours
  keros-agent watch --plain          a line for each change, with its time
  keros-agent watch --json           an object for each change: time_unix_s, change (agent, connection,
                                     telemetry, reports, job, warnings), and what it is now

Exit codes: 0 ended, 69 the agent cannot be reached by this user."
    )]
    Watch(Watch),
    /// Check everything that the agent needs, and say what to do about what is wrong
    #[command(
        long_about = "Check everything that the agent needs, and say what to do about what is wrong: who the gateway is,\n\
configuration, clock, disk, keys, modes of files, the way to the broker up to its log-in, the service, its\n\
socket, the executor, jobs and telemetry. It works without a network and without the agent, changes nothing,\n\
and ends within 30 s. While the agent is connected, the log-in is not tried again: it would push the agent out.",
        after_help = "\
Examples:
  sudo keros-agent doctor            all of it; without sudo, what only root may see is not checked
  keros-agent doctor --json          for a script: checks with verdict, error and advice

Exit codes: 0 nothing failed, 1 something failed."
    )]
    Doctor(Format),
    /// Run an exported Magic Link on this gateway, without a network
    #[command(
        long_about = "Run an exported Magic Link on this gateway, without a network.\n\n\
The Magic Link is an OCI image layout, in a folder or a plain tar, e.g. on a USB stick. Every byte of\n\
it is checked before anything is sent; then the agent gets the files that it lacks, and the signed\n\
command. The agent and the executor check all of it once more. A command runs once, however often it\n\
is brought. The report goes to the center when the link returns.",
        after_help = "\
At the center:
  keros-center magic-link export HASH magic-link.tar
  keros-center magic-link sign HASH --gateway EUI > command.json
At the gateway:
  sudo keros-agent apply magic-link.tar HASH --command command.json

Exit codes: 0 it succeeded, or was taken with --no-wait; 1 it ended otherwise, or could not be copied;
65 refused, or link or command are not good, or not for this gateway; 69 the agent cannot be reached;
77 only for root."
    )]
    Apply(Apply),
    /// Join a center: keys, log-in and configuration from one pasted line
    #[command(
        long_about = "Join a center: keys, log-in and configuration from one pasted line.\n\n\
The line comes from `keros-center enroll EUI` and is good once, for this gateway alone. The private key is\n\
made here. Everything is tried against the real broker before it replaces anything; then the agent is\n\
started anew (a running job goes on). When it fails, or the power is cut, nothing has changed, and the\n\
same line can be used again.",
        after_help = "\
Examples:
  sudo keros-agent enroll -            paste the line, then Enter: it is in no list of processes or history
  sudo keros-agent enroll KEROS1/…     the same, where nobody else looks

Exit codes: 0 enrolled; 1 failed, also when the new log-in does not work; 65 the line is not good, or not for
this gateway, or the center refuses; 69 the center cannot be reached; 77 only for root; 78 the configuration
would be wrong."
    )]
    Enroll(Enroll),
    /// Renew this gateway's certificate, when a third of its life is left
    #[command(
        long_about = "Renew this gateway's certificate, when a third of its life is left.\n\n\
A timer does this once a day. The new certificate is for a new key; it is tried against the real broker\n\
before it takes the old one's place. When something fails, the old one stays. One that expired up to 30\n\
days ago can still be renewed; after that the gateway has to be enrolled anew.",
        after_help = "\
Exit codes: 0 renewed, or not due yet, or this gateway logs in by password; 1 failed; 65 the center refuses;
69 the center cannot be reached; 77 only for root; 78 the configuration is wrong."
    )]
    Renew(Renew),
    /// Show what agent and executor have logged, together
    #[command(after_help = "\
Examples:
  keros-agent logs                        the last lines
  keros-agent logs --job 0192             the whole story of one job
  keros-agent logs --follow --priority warning
  keros-agent logs --since 2h --json

Reading needs root, or the group keros. Explained, line by line: sudo journalctl -x KEROS_JOB_ID=ID")]
    Logs(Logs),
    /// Cancel a job (root only)
    #[command(
        long_about = "Cancel a job (root only).\n\n\
A job that waits, also for its files, ends at once. One that runs stops after the task under way; one\n\
that waits for its confirmation is undone. The center is told that it was root on the gateway.",
        after_help = "Exit codes: 0 cancelled, or it stops or is undone; 1 too late, it had ended; 69 agent or executor cannot be\nreached; 77 only for root."
    )]
    Cancel(Cancel),
    /// Check the configuration, or show it
    #[command(after_help = "\
Examples:
  keros-agent config --check                     the configuration that the service uses
  keros-agent config --check --config new.yaml   another file, before it is installed
  keros-agent config --show                      what is in force, defaults included
  keros-agent config --default > config.yaml     every option, explained")]
    Config(ConfigAction),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How a center is joined.
#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// The line, or - to read it from standard input
    #[arg(default_value = "-")]
    pub(crate) line: String,
    /// Replace what is configured, without asking
    #[arg(long)]
    pub(crate) force: bool,
    /// Leave the service as it is
    #[arg(long)]
    pub(crate) no_restart: bool,
}

/// When a certificate is renewed.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Now, however much of its life is left
    #[arg(long)]
    pub(crate) now: bool,
}

/// What is cancelled.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Its id, or a beginning of it that no other job has
    pub(crate) id: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How it is shown.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Print a line for each change, also on a terminal
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The exported Magic Link: a folder, or a plain tar
    #[arg(value_name = "FOLDER-OR-TAR")]
    pub(crate) path: PathBuf,
    /// Its hash: sha256: and 64 hex digits, or the digits alone
    #[arg(value_parser = hash)]
    pub(crate) hash: Digest,
    /// The signed command for this gateway
    #[arg(long, value_name = "FILE")]
    pub(crate) command: PathBuf,
    /// Leave as soon as the agent has taken the command; the job goes on
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

fn hash(text: &str) -> Result<Digest, &'static str> {
    let digest = Digest::from_hex(text).or_else(|_| text.parse());
    digest.map_err(|_| "the whole hash is needed here: `sha256:` and 64 lower-case hex digits")
}

/// Which lines of the log.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only about the job whose id begins so; all of its lines
    #[arg(long, value_name = "ID")]
    pub(crate) job: Option<String>,
    /// At most so many, the newest [default: 50, without --job and --since]
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) lines: Option<usize>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Not older than that: 90s, 30m, 2h, 3d
    #[arg(long, value_name = "AGO", value_parser = ago)]
    pub(crate) since: Option<Duration>,
    /// Only of this priority or a higher one: emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7
    #[arg(long, short, value_name = "PRIORITY", value_parser = priority)]
    pub(crate) priority: Option<u8>,
    /// Answer the request on standard input (what the service keros-logs does)
    #[arg(long, hide = true)]
    pub(crate) serve: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

fn ago(text: &str) -> Result<Duration, &'static str> {
    const WANTED: &str = "a number and s, m, h or d is needed here: 90s, 30m, 2h, 3d";
    let unit_s = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(WANTED),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| WANTED)?;
    number.checked_mul(unit_s).map(Duration::from_secs).ok_or(WANTED)
}

fn priority(text: &str) -> Result<u8, &'static str> {
    const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let named = NAMES.iter().position(|name| *name == text).and_then(|number| u8::try_from(number).ok());
    let number = named.or_else(|| text.parse().ok()).filter(|number| *number <= 7);
    number.ok_or("emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7 is needed here")
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with the configuration.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ConfigAction {
    /// Find unknown options, wrong values and missing files, with their lines
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the settings in force, defaults included
    #[arg(long)]
    pub(crate) show: bool,
    /// Print the shipped file, in which every option is explained
    #[arg(long)]
    pub(crate) default: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser for everything makes of it.
    fn parsed(line: &str) -> Option<Option<PathBuf>> {
        let arguments = Arguments::try_parse_from(format!("keros-agent {line}").split_whitespace()).ok()?;
        matches!(arguments.command, Command::Run).then_some(arguments.config)
    }

    #[test]
    fn what_is_taken_for_the_services_command_line_means_the_same_to_the_parser() {
        let short = |line: &str| of_service(line.split_whitespace().map(OsString::from));
        for line in ["run", "run --config /etc/x.yaml"] {
            assert_eq!(short(line).map(Some), Some(parsed(line)), "{line}");
        }
        for line in [
            "",
            "status",
            "run --help",
            "run --config",
            "run --config=/x",
            "--config /x run",
            "run --socket /x",
            "run run",
        ] {
            assert_eq!(short(line), None, "{line:?}");
        }
    }

    /// As the doctor and the package advise it.
    #[test]
    fn enroll_without_a_line_asks_for_it() {
        let arguments = Arguments::try_parse_from(["keros-agent", "enroll"]).unwrap();
        assert!(matches!(arguments.command, Command::Enroll(Enroll { line, .. }) if line == "-"));
    }
}
