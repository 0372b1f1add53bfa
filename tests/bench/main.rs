//! `./run bench`: sizes, memory and speed as tables in Markdown, each beside a peer that was measured in the same run.
//!
//! Nothing here judges: figures are for the README, budgets are in people's heads.

mod agent;
mod cases;
mod executor;
mod measure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let parts = [
        ("sizes", measure::sizes as fn() -> anyhow::Result<()>),
        ("agent", agent::run),
        ("executor", executor::run),
    ];
    println!("Machine: {}\n", measure::machine());
    let mut code = ExitCode::SUCCESS;
    for (name, part) in parts {
        if let Err(error) = part() {
            eprintln!("{name}: {error:#}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
