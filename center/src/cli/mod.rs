//! The command line over the REST API, and the commands that work on files of this machine.

pub(crate) mod accounts;
mod api;
pub(crate) mod arguments;
mod authority;
mod backup;
mod broker_user;
mod cancel;
pub(crate) mod client;
mod database;
mod enroll;
mod follow;
mod gateways;
mod groups;
mod key_files;
pub(crate) mod logging;
pub(crate) mod magic_link;
mod script;
mod send;
mod serve;
mod terminal;
pub(crate) mod text;
pub(crate) mod updates;
pub(crate) mod watch;
mod webhooks;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory as _;

use arguments::{Access, Arguments, Command};
use client::{Client, ClientError};

/// How a command ended; the table of exit codes is in `keros-center --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Done.
    Done,
    /// The update has ended, and some gateway did not succeed.
    NotAllSucceeded,
    /// The script is not valid: nothing was sent.
    InvalidScript,
    /// Ended by Ctrl-C.
    Interrupted,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(match ended {
            Ended::Done => 0,
            Ended::NotAllSucceeded => 1,
            Ended::InvalidScript => 3,
            Ended::Interrupted => 130,
        })
    }
}

/// Does what the command line says and prints what came of it.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    match dispatch(arguments.command, &mut io::stdout().lock()) {
        Ok(ended) => ended.into(),
        // `keros-center gateways | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "keros-center: {}", text::printable(&format!("{error:#}")));
            let is_unreachable = |cause: &(dyn std::error::Error + 'static)| {
                matches!(cause.downcast_ref(), Some(ClientError::Unreachable { .. }))
            };
            ExitCode::from(if error.chain().any(is_unreachable) { 4 } else { 5 })
        }
    }
}

/// Does what a command says.
///
/// # Errors
/// With what to do about it.
pub(crate) fn dispatch(command: Command, out: &mut dyn Write) -> anyhow::Result<Ended> {
    match command {
        Command::Serve(arguments) => serve::serve(*arguments),
        Command::Backup(arguments) => backup::backup(&arguments, out),
        Command::Restore(arguments) => backup::restore(&arguments, out),
        Command::Demo(arguments) => crate::demo::run(&arguments, out),
        Command::Keys { command } => key_files::run(&command, out),
        Command::Ca { command } => authority::run(&command, out),
        Command::Enroll { access, command, order } => {
            enroll::run(&connect(&access)?, command, &order, access.json, out)
        }
        Command::BrokerUser { command } => broker_user::run(&command, out),
        Command::Gateways { access, command } => gateways::run(&connect(&access)?, command, access.json, out),
        Command::Groups { access, command } => groups::run(&connect(&access)?, command, access.json, out),
        Command::Update { access, command } => updates::run(&connect(&access)?, command, access.json, out),
        Command::Webhooks { access, command } => webhooks::run(&connect(&access)?, command, access.json, out),
        Command::MagicLink { access, command } => magic_link::run(&access, command, out),
        Command::Admin { command } => accounts::admin(&command, out),
        Command::Users { access, command } => accounts::users(&connect(&access)?, command, access.json, out),
        Command::Customers { access, command } => {
            accounts::customers(&connect(&access)?, command, access.json, out)
        }
        Command::Token { access, command } => accounts::token(&connect(&access)?, command, access.json, out),
        Command::Audit { access, arguments } => {
            accounts::audit(&connect(&access)?, &arguments, access.json, out)
        }
        Command::Api { access, arguments } => api::run(&connect(&access)?, &arguments, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "keros-center", &mut script);
            out.write_all(&script)?;
            Ok(Ended::Done)
        }
    }
}

fn connect(access: &Access) -> Result<Client, ClientError> {
    Client::new(&access.center, &access.token_file())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a view as the REST API gave it.
fn print_json(out: &mut dyn Write, view: &impl serde::Serialize) -> anyhow::Result<Ended> {
    serde_json::to_writer_pretty(&mut *out, view).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(Ended::Done)
}
