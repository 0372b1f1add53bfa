//! `./run bench`: sizes, memory and speed as tables in Markdown, each beside a peer that was measured in the same run.
//!
//! With arguments, only the parts with these names. Nothing here judges: figures are for the README, budgets are in people's heads.

mod agent;
mod cases;
mod executor;
mod fetch;
mod measure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let parts = [
        ("sizes", measure::sizes as fn() -> anyhow::Result<()>),
        ("agent", agent::run),
        ("executor", executor::run),
        ("fetch", fetch::run),
    ];
    println!("Machine: {}\n", measure::machine());
    let mut code = ExitCode::SUCCESS;
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, part) in
        parts.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name))
    {
        if let Err(error) = part() {
            eprintln!("{name}: {error:#}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
