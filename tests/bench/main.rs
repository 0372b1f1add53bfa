//! `./run bench`: sizes, memory and speed as tables in Markdown, each beside a peer that was measured in the same run.
//!
//! With arguments, only the parts with these names; `cost` means all parts whose names begin so. Nothing here judges: figures are for the README, budgets are in people's heads.

mod agent;
mod cases;
mod cost;
mod executor;
mod fetch;
mod job;
mod manager;
mod measure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let parts = [
        ("sizes", measure::sizes as fn() -> anyhow::Result<()>),
        ("agent", agent::run),
        ("executor", executor::run),
        ("executor-job", job::run),
        ("fetch", fetch::run),
        ("cost-idle", cost::idle),
        ("cost-wire", cost::wire),
        ("cost-day", cost::day),
    ];
    println!("Machine: {}\n", measure::machine());
    let mut code = ExitCode::SUCCESS;
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| {
        let means = |wanted: &String| name == wanted || name.starts_with(&format!("{wanted}-"));
        wanted.is_empty() || wanted.iter().any(means)
    };
    for (name, part) in parts.into_iter().filter(|(name, _)| is_wanted(name)) {
        if let Err(error) = part() {
            eprintln!("{name}: {error:#}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
