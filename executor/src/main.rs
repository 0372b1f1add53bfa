//! Begun.

mod playbook_command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Playbook(playbook_command::PlaybookArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Playbook(args) => playbook_command::run(args),
    }
}
