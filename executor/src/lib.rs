//! The whole of `keros-executor`, which runs one job and ends. It is the only part of the gateway's software that has root, so it believes
//! nobody: it verifies each command by itself, and starts each command id at most once.
//!
//! In reading order: what can be asked ([`cli`], [`settings`]); one request and its answer ([`request`], [`session`]);
//! who was refused what ([`peer`], [`refusals`]); whether a command may run ([`admit`], [`trust`], [`clock`]), with what bundle ([`bundle`]); what is kept on disk ([`state`]), and the machine that it is kept on
//! ([`host`]); how a job begins and
//! runs ([`begin`], [`runner`], [`engine`]), and what a dry run tells ([`differences`]); how it is followed and settled ([`follow`], [`settle`], [`stragglers`]);
//! the listener for gateways without systemd ([`listen`]); what the log tells ([`telling`]); a script checked or run by hand ([`playbook_command`]); what a person reads
//! ([`show`]); how it all ends ([`exit`]).

mod admit;
mod begin;
mod bundle;
mod cli;
mod clock;
mod differences;
mod drive;
mod engine;
mod events;
mod exit;
mod follow;
mod host;
mod life;
mod listen;
mod orders;
mod peer;
mod playbook_command;
mod refusals;
mod request;
mod resume;
mod runner;
mod session;
mod settings;
mod settle;
mod show;
#[doc(hidden)]
pub mod simulation;
mod standing;
mod state;
mod statement;
mod stragglers;
mod telling;
mod time_floor;
mod trust;
mod undo;
mod watch;

use std::process::ExitCode;

use keros_service::{log, panics};

/// The program: does what its command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    panics::end_the_process();
    // First: also what cannot be asked is said in the log.
    log::start(log::Style::Program("keros-executor"));
    cli::dispatch(cli::parse())
}

/// The command line as it is described to people: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    cli::command()
}
