//! Why the program ends, and with which exit code: one table, after `sysexits.h`.

use std::io;
use std::process::ExitCode;

/// Why a request or a subcommand could not be served. It says nothing about any job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request, or what the user typed, cannot be used.
    #[error("{0}")]
    Request(String),
    /// No such job.
    #[error("{0}")]
    Unknown(String),
    /// A folder or file that root relies on could be changed by somebody else.
    #[error("{0}")]
    Unsafe(String),
    /// Something else is under way; later it may work.
    #[error("{0}")]
    Busy(String),
    /// The disk, a socket or a process did not do what was asked.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, and to what.
        doing: String,
        /// Why it did not work.
        #[source]
        source: io::Error,
    },
    /// A rule that the program itself should have kept.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Failure {
    /// Wraps an I/O error: `doing` is read after the word "cannot".
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing: doing.into(), source }
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Request(_) => 65,
            Self::Unknown(_) => 66,
            Self::Internal(_) => 70,
            Self::Io { .. } => 74,
            Self::Busy(_) => 75,
            Self::Unsafe(_) => 77,
        }
    }

    /// It is no fault of this gateway: what was asked for was refused.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Request(_) | Self::Unknown(_) | Self::Unsafe(_) | Self::Busy(_))
    }

    /// The whole chain in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut error: &dyn std::error::Error = self;
        while let Some(source) = error.source() {
            text = format!("{text}: {source}");
            error = source;
        }
        text
    }
}

/// The table, for `--help`. A test holds it equal to [`Failure::code`].
pub(crate) const TABLE: &str = "\
Exit codes:
  0   the request was served (the job's own outcome is in the last event)
  1   playbook: a task failed, or a time limit ended the run
  2   playbook --dry-run: something would change
  64  the command line cannot be used
  65  the request, or the script, cannot be used
  66  no such job
  70  internal error
  74  the disk, a socket or a process failed
  75  busy: another job is running, or another listener holds the socket; try again later
  77  a folder that root relies on belongs to, or can be changed by, somebody else
  129, 130, 143
      playbook: ended by SIGHUP, SIGINT, SIGTERM";

/// Says in the log what went wrong, where it keeps nothing from going on. On standard error that is a line that a person reads.
pub(crate) fn complain(text: &str) {
    tracing::warn!("{text}");
}

/// The exit code of what is in the log already.
pub(crate) fn code(result: &Result<(), Failure>) -> ExitCode {
    result.as_ref().map_or_else(|failure| ExitCode::from(failure.code()), |()| ExitCode::SUCCESS)
}

/// Logs a failure and gives the exit code.
pub(crate) fn report(result: Result<(), Failure>) -> ExitCode {
    if let Err(failure) = &result {
        complain(&failure.chain());
    }
    code(&result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code() {
        let failures = [
            Failure::Request(String::new()),
            Failure::Unknown(String::new()),
            Failure::Unsafe(String::new()),
            Failure::Busy(String::new()),
            Failure::io("x")(io::Error::other("y")),
            Failure::Internal(String::new()),
        ];
        for failure in failures {
            assert!(TABLE.contains(&format!("\n  {}  ", failure.code())), "{failure:?}");
        }
    }

    #[test]
    fn the_chain_is_told_once_and_whole() {
        let failure = Failure::io("read the file x")(io::Error::other("no luck"));
        assert_eq!(failure.chain(), "cannot read the file x: no luck");
    }
}
