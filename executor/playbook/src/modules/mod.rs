//! The modules of the language: one file each, and the table by which a script's tags find them.
//!
//! A module is parsed when the script is checked, prepared (all its texts rendered) when its task's turn comes, and then
//! applied, perhaps several times. It touches the machine only through [`System`].

mod attributes;
mod command;
mod control;
mod copy;
mod directory;
mod download;
mod external;
mod facts;
mod file;
mod imagined;
mod result;
mod scope;
mod service;
mod shell;
mod stat;
mod tool;
mod unpack;

use std::fmt::Debug;
use std::path::Path;
use std::time::Instant;

use keros_protocol::Output;
use keros_protocol::executor::{Change, TaskResult, TaskStatus};

pub(crate) use imagined::Imagined;
pub(crate) use scope::Scope;
pub(crate) use unpack::check_archive;

use crate::fields::Fields;
use crate::helpers::Registries;
use crate::system::{ProgramEnd, System, SystemError};
use crate::variables::Variables;

/// A task's module with its fields, as the script gives them.
pub(crate) trait Module: Debug {
    /// Renders all texts; what comes out no longer depends on variables.
    ///
    /// # Errors
    /// In words. `ignore_errors` and `retry` do not cover these.
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String>;
}

/// A module whose texts are rendered.
pub(crate) trait Action {
    /// Looks at the machine and makes what is not as it should be; in a dry run only says what it would do.
    ///
    /// # Errors
    /// What went wrong; `ignore_errors` and `retry` cover it.
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure>;
}

/// What an action works with.
pub(crate) struct Run<'a> {
    pub(crate) system: &'a mut dyn System,
    pub(crate) variables: &'a mut Variables,
    pub(crate) registries: &'a Registries,
    /// Nothing may be changed but files, which a dry run's system only models; services, packages and the like go into `imagined`.
    pub(crate) dry_run: bool,
    pub(crate) imagined: &'a mut Imagined,
    /// When a program that is started is ended.
    pub(crate) deadline: Instant,
    pub(crate) output_bytes: usize,
    /// The script's folder.
    pub(crate) folder: Option<&'a Path>,
}

/// Why an action failed.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: Option<Output>,
    /// Its time was over.
    pub(crate) timed_out: bool,
}

impl Failure {
    /// A program was ended because its time was over.
    fn timed_out(end: ProgramEnd) -> Self {
        Self { exit_code: Some(end.exit_code), output: Some(end.output), timed_out: true, ..Self::default() }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, ..Self::default() }
    }
}

impl From<SystemError> for Failure {
    fn from(error: SystemError) -> Self {
        error.to_string().into()
    }
}

fn done(status: TaskStatus, changes: Vec<Change>) -> TaskResult {
    TaskResult { changes, ..TaskResult::of(status) }
}

fn change(property: &str, before: Option<String>, after: Option<String>) -> Change {
    Change { property: property.to_owned(), before, after }
}

/// What the check knows about the place of a task.
pub(crate) struct CheckContext<'a> {
    /// The folder of `files/` and `templates/`.
    pub(crate) folder: Option<&'a Path>,
    /// The task always runs, so what it names must be there before anything is run.
    pub(crate) unconditional: bool,
}

type Parse = fn(&mut Fields<'_, '_>, &CheckContext<'_>) -> Option<Box<dyn Module>>;

/// Every module that this version knows. Names are exact.
const MODULES: [(&str, Parse); 17] = [
    ("assert", control::Assert::parse),
    ("command", command::Command::parse),
    ("copy", copy::parse_copy),
    ("debug", control::Debug::parse),
    ("directory", directory::Directory::parse),
    ("download", download::Download::parse),
    ("echo", control::Echo::parse),
    ("external", external::External::parse),
    ("facts", facts::Facts::parse),
    ("fail", control::Fail::parse),
    ("file", file::File::parse),
    ("sd_service", service::Service::parse),
    ("set", control::Set::parse),
    ("shell", shell::Shell::parse),
    ("stat", stat::Stat::parse),
    ("template", copy::parse_template),
    ("unpack", unpack::Unpack::parse),
];

/// Modules of the language that this version cannot run: a script with one is refused before anything is done.
pub(crate) const NOT_YET: [&str; 9] =
    ["apt", "dnf", "git", "group", "homebrew", "pacman", "user", "yum", "zypper"];

/// Finds a module's parser, and its name with a life of its own.
pub(crate) fn find(name: &str) -> Option<(&'static str, Parse)> {
    MODULES.iter().find(|(known, _)| *known == name).copied()
}

/// All names of the language.
pub(crate) fn names() -> Vec<&'static str> {
    MODULES.iter().map(|(name, _)| *name).chain(NOT_YET).collect()
}
