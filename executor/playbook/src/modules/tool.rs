//! Runs a tool for a module: the same limits for all, and one way to say that it failed.

use super::{Failure, Run};
use crate::system::{Program, ProgramCommand, ProgramEnd};

/// Kept of an answer, bytes: it is read by a module, whatever of output a job keeps.
const ANSWER_BYTES: usize = 512 * 1024;

/// A tool with all that it is given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Call<'c> {
    pub(super) name: &'c str,
    pub(super) arguments: &'c [&'c str],
    pub(super) environment: &'c [(&'c str, &'c str)],
    pub(super) input: &'c [u8],
}

/// Asks a tool that changes nothing; its exit code is part of the answer.
pub(super) fn ask(name: &str, arguments: &[&str], run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
    Call { name, arguments, ..Call::default() }.ask(run)
}

/// Has a tool change something; never in a dry run. An exit code other than 0 is a failure.
pub(super) fn order(name: &str, arguments: &[&str], run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
    Call { name, arguments, ..Call::default() }.order(run)
}

impl Call<'_> {
    /// As [`ask`].
    pub(super) fn ask(&self, run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
        if run.dry_run && run.imagined.may_bring_more() && !run.system.has_tool(self.name) {
            let why = format!("there is no `{}` here yet, and an earlier task may bring it", self.name);
            return Err(run.variables.unknown.doubt(&why).into());
        }
        let program = Program { output_bytes: run.output_bytes.max(ANSWER_BYTES), ..self.program(run) };
        checked(run.system.query(&program)?)
    }

    /// As [`order`].
    pub(super) fn order(&self, run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
        let program = self.program(run);
        let end = checked(run.system.run(&program)?)?;
        if end.exit_code == 0 { Ok(end) } else { Err(self.failed(end)) }
    }

    /// What the tool said is no answer, or it could not do it.
    pub(super) fn failed(&self, end: ProgramEnd) -> Failure {
        let command = format!("{} {}", self.name, self.arguments.join(" "));
        let message = format!("{command} failed with exit code {}", end.exit_code);
        Failure { message, exit_code: Some(end.exit_code), output: Some(end.output), ..Failure::default() }
    }

    fn program<'p>(&'p self, run: &Run<'_>) -> Program<'p> {
        let command = ProgramCommand::Tool(self.name, self.arguments);
        Program { input: self.input, environment: self.environment, ..run.program(command) }
    }
}

fn checked(end: ProgramEnd) -> Result<ProgramEnd, Failure> {
    if end.timed_out { Err(Failure::timed_out(end)) } else { Ok(end) }
}
