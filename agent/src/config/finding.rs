//! One thing that is wrong with the configuration, in words, with its place.

use std::fmt;
use std::path::PathBuf;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The option is not known: an error to a check, a warning to the daemon.
    Unknown,
    /// The daemon cannot start with it.
    Wrong,
    /// A file that an option names is not there: an error to a check; the daemon finds out by itself, and goes on trying.
    Missing,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file; absent when no file has it, e.g. for an option that must be set.
    pub(crate) file: Option<PathBuf>,
    /// The line in the file, from 1.
    pub(crate) line: Option<usize>,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}
