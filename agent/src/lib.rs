//! The whole of `keros-agent`: the gateway's daemon and its technician's command line, in reading order.

/// What can be said on the command line.
mod arguments;
/// Commands that root brings.
mod by_hand;
/// Files that notice a changed byte.
mod checked;
/// The technician's commands.
mod cli;
/// The only reader of the clocks.
mod clock;
/// Files to settings.
mod config;
/// What is done for the state: reports, telemetry, sessions with the executor.
mod core;
/// The daemon: the loop that owns everything.
mod daemon;
/// What the center sends, taken apart and judged.
mod downlink;
/// From a pasted line to a connection with the center.
mod enroll;
/// A session with the executor.
mod executor_client;
/// The bundles of Magic Links, brought to this gateway.
mod fetch;
/// The state moved, stored, and only then acted for. Public for tests, as the store is.
#[doc(hidden)]
pub mod keeper;
/// The technician's sockets, both sides.
mod local;
/// The connection to the broker.
mod mqtt;
/// What the state notes, in the log.
mod notes;
/// What is counted while the agent runs.
mod numbers;
/// Tries a connection to the broker, step by step.
mod probe;
/// A report within its limit.
mod report;
/// From the state to the technician's view.
mod status;
/// The state on disk. Public for the tests that put a simulated disk under it.
#[doc(hidden)]
pub mod store;
/// A telemetry message from what is known.
mod telemetry;
/// TLS towards the broker.
mod tls;
/// A gateway that has no center yet.
mod unconfigured;
/// How the gateway is.
mod vitals;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use keros_service::{log, panics};

use arguments::{Arguments, Command};

/// The program: does what its command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    panics::end_the_process();
    if let Some(config) = arguments::of_service(std::env::args_os().skip(1)) {
        return run(config.as_deref());
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return cli::usage(&error),
    };
    match &arguments.command {
        Command::Run => run(arguments.config.as_deref()),
        command => cli::run(command, &arguments),
    }
}

/// The command line as it is described to people: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

fn run(config: Option<&Path>) -> ExitCode {
    log::start(log::Style::Service);
    let loaded = unconfigured::wait(config);
    let (settings, warnings) = match loaded.for_daemon() {
        Ok(ready) => ready,
        Err(findings) => {
            for finding in findings {
                tracing::error!("configuration: {finding}");
            }
            return cli::exit::CONFIG.into();
        }
    };
    for warning in &warnings {
        tracing::warn!("configuration: {warning}");
    }
    match daemon::run(settings, warnings) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            cli::exit::FAILED.into()
        }
    }
}
