//! `reboot` (not in jetp): ends a part of the script; the next one begins behind it when the machine has booted.
//!
//! The machine is rebooted by whoever runs the script. Here nothing is done.

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;

#[derive(Debug)]
pub(super) struct Reboot;

impl Reboot {
    #[expect(clippy::unnecessary_wraps, reason = "the form of all parsers")]
    pub(super) fn parse(_: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        Some(Box::new(Self))
    }
}

impl Module for Reboot {
    fn prepare(&self, _: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        Ok(Box::new(Self))
    }

    fn reboots(&self) -> bool {
        true
    }
}

impl Action for Reboot {
    fn apply(&mut self, _: &mut Run<'_>) -> Result<TaskResult, Failure> {
        Ok(TaskResult::of(TaskStatus::Executed))
    }
}
