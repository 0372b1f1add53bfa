//! The modules of the language: one file each, and the table by which a script's tags find them.
//!
//! A module is parsed when the script is checked, prepared (all its texts rendered) when its task's turn comes, and then
//! applied, perhaps several times. It touches the machine only through [`System`].

mod accounts;
mod attributes;
mod command;
mod control;
mod copy;
mod diff;
mod directory;
mod download;
mod external;
mod facts;
mod file;
mod git;
mod imagined;
mod package;
mod reboot;
mod result;
mod scope;
mod service;
mod shell;
mod stat;
mod time;
mod tool;
mod unpack;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use keros_protocol::Output;
use keros_protocol::executor::{Change, TaskResult, TaskStatus};

pub(crate) use imagined::Imagined;
pub(crate) use scope::Scope;
pub(crate) use service::monit_state;
pub(crate) use unpack::check_archive;

use time::Time;

use crate::Cancel;
use crate::fields::Fields;
use crate::helpers::Registries;
use crate::system::{Program, ProgramCommand, ProgramEnd, System, SystemError};
use crate::template::TemplateFile;
use crate::variables::Variables;

/// A task's module with its fields, as the script gives them.
pub(crate) trait Module: Debug {
    /// Renders all texts; what comes out no longer depends on variables.
    ///
    /// # Errors
    /// In words. `ignore_errors` and `retry` do not cover these.
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String>;

    /// Names under which it stores something: a dry run that cannot tell what the task would do knows none of them.
    fn saves(&self, _: &Scope<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Whether it touches nothing but files, through [`System`], and soon ends.
    fn only_touches_files(&self) -> bool {
        false
    }

    /// Whether the machine is rebooted behind it.
    fn reboots(&self) -> bool {
        false
    }
}

/// A module whose texts are rendered.
pub(crate) trait Action {
    /// Looks at the machine and makes what is not as it should be. In a dry run the system is a model of it, to which files are
    /// made as ever; what the model does not hold is only said.
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
    /// Changed contents are told line by line.
    pub(crate) diff: bool,
    pub(crate) imagined: &'a mut Imagined,
    /// When a program that is started is ended.
    pub(crate) deadline: Instant,
    /// Ends the run early; a program under way is ended by the system.
    pub(crate) cancel: Option<&'a Cancel>,
    pub(crate) output_bytes: usize,
    /// The script's folder.
    pub(crate) folder: Option<&'a Path>,
}

impl Run<'_> {
    /// How long an action that runs no program may go on.
    fn time(&self) -> Time {
        Time { deadline: self.deadline, cancel: self.cancel.cloned() }
    }
}

impl Run<'_> {
    /// A program with the limits of the task, without input, in no folder of its own.
    fn program<'p>(&self, command: ProgramCommand<'p>) -> Program<'p> {
        let (deadline, output_bytes) = (self.deadline, self.output_bytes);
        Program { command, input: &[], environment: &[], folder: None, within: None, deadline, output_bytes }
    }
}

/// Why an action failed.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: Option<Output>,
    /// Its time was over.
    pub(crate) timed_out: bool,
    /// The task itself is wrong, though only the machine could tell: neither ignored nor tried again.
    pub(crate) is_of_the_task: bool,
}

impl Failure {
    /// What only the machine could tell of a text: as an undefined variable it is neither ignored nor tried again.
    fn of_the_task(message: String) -> Self {
        Self { message, is_of_the_task: true, ..Self::default() }
    }

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

/// A name that ends with a slash is that of a directory.
fn is_folder_name(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// No file is made or changed under the name of a directory.
fn refuse_folder_name(path: &Path) -> Result<(), Failure> {
    if is_folder_name(path) {
        return Err(
            format!("{} ends with /, but a file is wanted: leave the slash out", path.display()).into()
        );
    }
    Ok(())
}

fn done(status: TaskStatus, changes: Vec<Change>) -> TaskResult {
    TaskResult { changes, ..TaskResult::of(status) }
}

fn change(property: &str, before: Option<String>, after: Option<String>) -> Change {
    Change { property: property.to_owned(), before, after, diff: None }
}

/// What the check knows about the place of a task.
pub(crate) struct CheckContext<'a> {
    /// The folder of `files/` and `templates/`.
    pub(crate) folder: Option<&'a Path>,
    /// The task always runs, so what it names must be there before anything is run.
    pub(crate) unconditional: bool,
    /// Where programs of the module `external` are looked for.
    pub(crate) module_folders: &'a [PathBuf],
    /// Files of templates that tasks before have named.
    pub(crate) templates: &'a TemplateFiles,
}

/// Compiled files of templates, by path: a script may name one a thousand times.
pub(crate) type TemplateFiles = RefCell<HashMap<PathBuf, Arc<TemplateFile>>>;

type Parse = fn(&mut Fields<'_, '_>, &CheckContext<'_>) -> Option<Box<dyn Module>>;

/// Every module that this version knows. Names are exact.
const MODULES: [(&str, Parse); 26] = [
    ("apt", package::parse_apt),
    ("assert", control::Assert::parse),
    ("command", command::Command::parse),
    ("copy", copy::parse_copy),
    ("deb", package::parse_deb),
    ("debug", control::Debug::parse),
    ("directory", directory::Directory::parse),
    ("download", download::Download::parse),
    ("dnf", package::parse_dnf),
    ("echo", control::Echo::parse),
    ("external", external::External::parse),
    ("facts", facts::Facts::parse),
    ("fail", control::Fail::parse),
    ("file", file::File::parse),
    ("git", git::Git::parse),
    ("group", accounts::Group::parse),
    ("opkg", package::parse_opkg),
    ("reboot", reboot::Reboot::parse),
    ("sd_service", service::Service::parse),
    ("set", control::Set::parse),
    ("shell", shell::Shell::parse),
    ("stat", stat::Stat::parse),
    ("template", copy::parse_template),
    ("unpack", unpack::Unpack::parse),
    ("user", accounts::User::parse),
    ("yum", package::parse_dnf),
];

/// Modules of the language that this program does not have, and why: a script with one is refused before anything is done.
pub(crate) const UNSUPPORTED: [(&str, &str); 3] =
    [("homebrew", NO_GATEWAY), ("pacman", NO_GATEWAY), ("zypper", NO_GATEWAY)];
const NO_GATEWAY: &str = "no gateway has the package manager of the module";

/// Finds a module's parser, and its name with a life of its own.
pub(crate) fn find(name: &str) -> Option<(&'static str, Parse)> {
    MODULES.iter().find(|(known, _)| *known == name).copied()
}

/// All names of the language.
pub(crate) fn names() -> Vec<&'static str> {
    let unsupported = UNSUPPORTED.iter().map(|(name, _)| *name);
    MODULES.iter().map(|(name, _)| *name).chain(unsupported).collect()
}
