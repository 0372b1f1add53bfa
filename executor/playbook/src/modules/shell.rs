//! `shell`: a command line, run by `/bin/sh`.

use keros_protocol::executor::TaskResult;

use super::result::{Judge, ResultFields};
use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;
use crate::system::{Program, ProgramCommand};
use crate::template::Text;

#[derive(Debug)]
pub(super) struct Shell {
    command: Text,
    is_unsafe: Option<Text>,
    result: ResultFields,
}

impl Shell {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let command = fields.required_text("cmd");
        let (is_unsafe, result) = (fields.flag("unsafe"), ResultFields::parse(fields));
        Some(Box::new(Self { command: command?, is_unsafe, result }))
    }
}

impl Module for Shell {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let is_unsafe = scope.flag(self.is_unsafe.as_ref())?.unwrap_or(false);
        let command = scope.command(&self.command, is_unsafe)?;
        Ok(Box::new(Prepared { command, judge: self.result.prepare(scope)? }))
    }

    fn saves(&self, scope: &Scope<'_>) -> Vec<String> {
        self.result.saves(scope)
    }
}

struct Prepared<'m> {
    /// Or why a value in it is refused: as in jetp that is a failure which `ignore_errors` covers.
    command: Result<String, String>,
    judge: Judge<'m>,
}

impl Action for Prepared<'_> {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let command = self.command.as_ref().map_err(Clone::clone)?;
        if run.dry_run {
            return self.judge.foretell(run);
        }
        let program = Program { folder: run.folder, ..run.program(ProgramCommand::Shell(command)) };
        let end = run.system.run(&program)?;
        if end.timed_out {
            return Err(Failure::timed_out(end));
        }
        self.judge.save_and_judge(end, run)
    }
}
