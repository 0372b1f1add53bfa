//! Packages: `apt`, `dnf` (also called `yum`), `opkg` by name, and `deb` and `opkg` from a file.
//!
//! What is to be done is decided here, once for all package managers; what a manager knows and does is behind [`Manager`].

mod apt;
mod archive;
mod deb;
mod dnf;
mod opkg;

use std::fmt::Debug;

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::imagined::PACKAGE;
use super::{Action, CheckContext, Failure, Module, Run, Scope, change, done};
use crate::fields::Fields;
use crate::template::Text;

pub(super) use deb::parse as parse_deb;

/// The kind of state that a dry run imagines: a version, [`ABSENT`], or [`SOME_VERSION`].
const KIND: &str = PACKAGE;
const ABSENT: &str = "";
/// In a dry run: installed by an earlier task, in a version that nobody knows.
const SOME_VERSION: &str = "?";
/// A name or version, bytes.
const MAX_WORD_BYTES: usize = 200;

/// A package that is there, perhaps not all of it.
struct Installed {
    version: String,
    /// False when its installation was cut short: it can be removed, and must be installed again to be of use.
    is_whole: bool,
}

/// What is about to be asked of a package manager.
#[derive(Debug, Clone, Copy)]
enum Order<'a> {
    /// To install a package, perhaps in this version.
    Install(Option<&'a str>),
    Update,
    Remove,
    /// To install this very package from a file.
    File,
}

/// What a package manager knows and does.
trait Manager: Debug + Sync {
    /// The rule for a name.
    fn check_name(&self, name: &str) -> Result<(), String>;

    fn installed(&self, name: &str, run: &mut Run<'_>) -> Result<Option<Installed>, Failure>;

    /// The version that an update would bring; the installed one when there is nothing newer.
    fn candidate(&self, name: &str, installed: Option<&str>, run: &mut Run<'_>) -> Result<String, Failure>;

    /// Whether an installed version is the one that is asked for.
    fn fits(&self, installed: &str, wanted: &str) -> bool {
        installed == wanted
    }

    /// Refuses what would fail or go wrong, before anything is done.
    fn foresee(&self, _name: &str, _version: Option<&str>, _run: &mut Run<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Tells, where somebody wants to hear of it, which packages an order would change or remove, so that they can be kept. Where a
    /// manager does not tell, its orders can't be undone.
    fn tell_upcoming(&self, _name: &str, _order: Order<'_>, _run: &mut Run<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn install(&self, name: &str, version: Option<&str>, run: &mut Run<'_>) -> Result<(), Failure>;

    fn update(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure>;

    fn remove(&self, name: &str, run: &mut Run<'_>) -> Result<(), Failure>;
}

pub(super) fn parse_apt(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
    parse(&apt::Apt, fields)
}

pub(super) fn parse_dnf(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
    parse(&dnf::Dnf, fields)
}

pub(super) fn parse_opkg(fields: &mut Fields<'_, '_>, check: &CheckContext<'_>) -> Option<Box<dyn Module>> {
    if fields.node("src").is_some() { opkg::parse_file(fields, check) } else { parse(&opkg::Opkg, fields) }
}

fn parse(manager: &'static dyn Manager, fields: &mut Fields<'_, '_>) -> Option<Box<dyn Module>> {
    let (package, version) = (fields.required_text("package"), fields.text("version"));
    let (update, remove) = (fields.flag("update"), fields.flag("remove"));
    fields.checked(package.as_ref(), |name| manager.check_name(name));
    fields.checked(version.as_ref(), check_version);
    Some(Box::new(Package { manager, package: package?, version, update, remove }))
}

/// The characters of a version: none means anything to a package manager but to be compared.
fn check_version(version: &str) -> Result<(), String> {
    check_word("version", version, ".+-~:^_")
}

/// A word for a tool's arguments: it begins with a letter or digit, so that it is never an option.
fn check_word(key: &str, word: &str, others: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    let begins_well = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && word.chars().all(known) && word.len() <= MAX_WORD_BYTES {
        return Ok(());
    }
    Err(format!("field ({key}): {word:?} is no {key}: letters, digits and {others} only"))
}

#[derive(Debug)]
struct Package {
    manager: &'static dyn Manager,
    package: Text,
    version: Option<Text>,
    update: Option<Text>,
    remove: Option<Text>,
}

impl Module for Package {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let name = scope.word(&self.package)?;
        self.manager.check_name(&name)?;
        let version = scope.optional_word(self.version.as_ref())?;
        version.as_deref().map_or(Ok(()), check_version)?;
        let update = scope.flag(self.update.as_ref())?.unwrap_or(false);
        let remove = scope.flag(self.remove.as_ref())?.unwrap_or(false);
        Ok(Box::new(Prepared { manager: self.manager, name, version, update, remove }))
    }
}

struct Prepared {
    manager: &'static dyn Manager,
    name: String,
    version: Option<String>,
    update: bool,
    remove: bool,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        match self.installed(run)? {
            is if self.remove => self.remove(is.map(|is| is.version), run),
            Some(is) if is.is_whole => self.keep(&is.version, run),
            _ => self.install(run),
        }
    }
}

impl Prepared {
    fn installed(&self, run: &mut Run<'_>) -> Result<Option<Installed>, Failure> {
        installed(self.manager, &self.name, run)
    }

    fn remove(&self, before: Option<String>, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let Some(before) = before else { return Ok(TaskResult::of(TaskStatus::Matched)) };
        self.manager.tell_upcoming(&self.name, Order::Remove, run)?;
        if run.dry_run {
            run.imagined.set(KIND, &self.name, ABSENT);
        } else {
            self.manager.remove(&self.name, run)?;
        }
        Ok(done(TaskStatus::Removed, vec![change("version", Some(before), None)]))
    }

    fn install(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let wanted = self.version.as_deref();
        self.manager.foresee(&self.name, wanted, run)?;
        self.manager.tell_upcoming(&self.name, Order::Install(wanted), run)?;
        let after = if run.dry_run {
            let after = wanted.unwrap_or(SOME_VERSION);
            run.imagined.set(KIND, &self.name, after);
            wanted.map(str::to_owned)
        } else {
            self.manager.install(&self.name, wanted, run)?;
            self.installed(run)?.map(|is| is.version).or_else(|| self.version.clone())
        };
        Ok(done(TaskStatus::Created, vec![change("version", None, after)]))
    }

    /// It is installed; perhaps in another version than it should be.
    fn keep(&self, before: &str, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let after = match &self.version {
            Some(version) if self.manager.fits(before, version) => None,
            Some(version) => Some(version.clone()),
            None if self.update && before != SOME_VERSION => {
                Some(self.manager.candidate(&self.name, Some(before), run)?).filter(|after| after != before)
            }
            None => None,
        };
        let Some(after) = after else { return Ok(TaskResult::of(TaskStatus::Matched)) };
        if self.version.is_some() {
            self.manager.foresee(&self.name, Some(&after), run)?;
        }
        let order = self.version.as_deref().map_or(Order::Update, |version| Order::Install(Some(version)));
        self.manager.tell_upcoming(&self.name, order, run)?;
        match (run.dry_run, &self.version) {
            (true, _) => run.imagined.set(KIND, &self.name, &after),
            (false, Some(version)) => self.manager.install(&self.name, Some(version), run)?,
            (false, None) => self.manager.update(&self.name, run)?,
        }
        Ok(done(TaskStatus::Modified, vec![change("version", Some(before.to_owned()), Some(after))]))
    }
}

/// What is installed, or in a dry run would be by now.
fn installed(manager: &dyn Manager, name: &str, run: &mut Run<'_>) -> Result<Option<Installed>, Failure> {
    match run.imagined.get(KIND, name) {
        Some(ABSENT) => Ok(None),
        Some(version) => Ok(Some(Installed { version: version.to_owned(), is_whole: true })),
        None => manager.installed(name, run),
    }
}
