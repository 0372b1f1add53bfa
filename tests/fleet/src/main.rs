//! `keros-fleet`: many gateways against one center.
//!
//! What is real: the agent's machine, the protocol's forms, every signature check, the connections, the broker, the center. What is
//! not: a gateway's disk and its executor are in memory, and tasks only take their time.

mod arguments;
mod bench;
mod day;
mod executor;
mod gateway;
mod limit;
mod numbers;
mod pages;
mod place;
mod process;
mod run;
mod talk;
mod telemetry;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Day(arguments) => day::run(&arguments),
        Command::Limit(arguments) => limit::run(&arguments),
        Command::Pages(arguments) => pages::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Center(arguments) => talk::serve(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
