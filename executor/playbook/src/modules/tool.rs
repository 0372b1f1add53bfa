//! Runs a tool for a module: the same limits for all, and one way to say that it failed.

use super::{Failure, Run};
use crate::system::{Program, ProgramCommand, ProgramEnd};

/// Asks a tool that changes nothing; its exit code is part of the answer.
pub(super) fn ask(name: &str, arguments: &[&str], run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
    let program = program(name, arguments, run);
    checked(run.system.query(&program)?)
}

/// Has a tool change something; never in a dry run. An exit code other than 0 is a failure.
pub(super) fn order(name: &str, arguments: &[&str], run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
    let program = program(name, arguments, run);
    let end = checked(run.system.run(&program)?)?;
    if end.exit_code == 0 {
        return Ok(end);
    }
    let message = format!("{name} {} failed with exit code {}", arguments.join(" "), end.exit_code);
    Err(Failure { message, exit_code: Some(end.exit_code), output: Some(end.output), timed_out: false })
}

fn program<'p>(name: &'p str, arguments: &'p [&'p str], run: &Run<'_>) -> Program<'p> {
    Program {
        command: ProgramCommand::Tool(name, arguments),
        input: &[],
        folder: None,
        within: None,
        deadline: run.deadline,
        output_bytes: run.output_bytes,
    }
}

fn checked(end: ProgramEnd) -> Result<ProgramEnd, Failure> {
    if end.timed_out { Err(Failure::timed_out(end)) } else { Ok(end) }
}
