//! The management center: sends updates to gateways and knows what became of them.
//!
//! One binary: `serve` runs the center, `demo` shows it with agents, the rest asks a running center over its REST API.

mod access;
mod accounts;
mod api;
mod backup;
mod bounds;
mod broker;
mod bundle;
mod cli;
mod demo;
mod enroll;
mod files;
#[cfg(test)]
mod fuzz;
mod gateway;
mod keys;
mod links;
mod listen;
mod mqtt;
mod places;
mod plan;
mod registry;
mod rest;
mod server;
mod service;
mod settings;
pub mod simulation;
mod store;
mod web;
mod webhooks;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::arguments::Arguments;

/// The program: does what its command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    cli::run(Arguments::parse())
}

/// The command line as it is described to people: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}
