//! Runs tools for a backup and its undoing.

use std::time::{Duration, Instant};

use crate::system::{HostSystem, Program, ProgramCommand, ProgramEnd, System, SystemError};

/// Kept of an answer, bytes: all packages of a full Debian take less.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// How long one tool may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// No question is ever asked: there is nobody to answer.
const ENVIRONMENT: &[(&str, &str)] = &[("DEBIAN_FRONTEND", "noninteractive")];

/// A tool and its arguments.
pub(super) struct Call<'c> {
    pub(super) name: &'c str,
    pub(super) arguments: &'c [&'c str],
    pub(super) input: &'c [u8],
    pub(super) until: Instant,
}

impl Call<'_> {
    /// Its end, whatever its exit code.
    pub(super) fn run(&self, host: &mut HostSystem) -> Result<ProgramEnd, SystemError> {
        self.checked(host.run(&self.program())?)
    }

    fn program(&self) -> Program<'_> {
        Program {
            command: ProgramCommand::Tool(self.name, self.arguments),
            input: self.input,
            environment: ENVIRONMENT,
            folder: None,
            within: None,
            deadline: self.until.min(Instant::now() + PATIENCE),
            output_bytes: ANSWER_BYTES,
        }
    }

    fn checked(&self, end: ProgramEnd) -> Result<ProgramEnd, SystemError> {
        match end.timed_out {
            true => Err(SystemError::text(format!("{} took too long and was ended", self.name))),
            false => Ok(end),
        }
    }

    /// What it printed; another exit code than 0 is an error.
    pub(super) fn succeed(&self, host: &mut HostSystem) -> Result<String, SystemError> {
        let end = self.run(host)?;
        self.judge(end)
    }

    /// What was printed; another exit code than 0 is an error.
    pub(super) fn judge(&self, end: ProgramEnd) -> Result<String, SystemError> {
        let printed = end.output.to_string();
        if end.exit_code == 0 {
            return Ok(printed);
        }
        let last = printed.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let first = self.arguments.first().copied().unwrap_or_default();
        let why = format!("{} {first} failed with exit code {}: {last}", self.name, end.exit_code);
        Err(SystemError::text(why))
    }
}

/// Asks while a backup is taken.
pub(super) fn ask(
    system: &mut dyn System,
    name: &str,
    arguments: &[&str],
) -> Result<ProgramEnd, SystemError> {
    let call = Call { name, arguments, input: b"", until: Instant::now() + PATIENCE };
    call.checked(system.query(&call.program())?)
}
