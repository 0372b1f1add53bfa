//! The management center: sends updates to gateways and knows what became of them.
//!
//! One binary: `serve` runs the center, `demo` shows it with agents, the rest asks a running center over its REST API.

mod api;
mod bounds;
mod broker;
mod bundle;
mod cli;
mod demo;
mod enroll;
mod files;
mod keys;
mod links;
mod listen;
mod mqtt;
mod registry;
mod rest;
mod server;
mod service;
mod settings;
mod store;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    cli::run(cli::arguments::Arguments::parse())
}
