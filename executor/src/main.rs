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
    match Cli::try_parse() {
        Ok(Cli { command: Command::Playbook(args) }) => playbook_command::run(args),
        Err(error) => {
            let _ = error.print();
            // 2, clap's own, means here that a dry run found something to change.
            ExitCode::from(if error.use_stderr() { 64 } else { 0 })
        }
    }
}
