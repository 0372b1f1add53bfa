//! `keros-agent`: the gateway's daemon and its technician's command line, in reading order.

/// What can be said on the command line.
mod arguments;
/// The technician's commands.
mod cli;
/// Files to settings.
mod config;
/// The daemon: the loop that owns everything.
mod daemon;
/// The technician's socket, both sides.
mod local;
/// Where log lines go.
mod logging;
/// How the gateway is.
mod vitals;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return cli::usage(&error),
    };
    match &arguments.command {
        Command::Run => run(&arguments),
        command => cli::run(command, &arguments),
    }
}

fn run(arguments: &Arguments) -> ExitCode {
    logging::start();
    let loaded = config::load(arguments.config.as_deref());
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
