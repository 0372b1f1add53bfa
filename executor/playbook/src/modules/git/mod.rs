//! `git`: a folder holds a branch of a repository, as new as the repository has it.
//!
//! The branch is asked of the repository itself (`ls-remote`), so that any branch works, and a matched task fetches nothing.

mod place;
mod transport;

use std::path::{Path, PathBuf};

use keros_protocol::executor::{Change, TaskResult, TaskStatus};

use super::attributes::{AttributeFields, Wanted};
use super::tool::Call;
use super::{Action, CheckContext, Failure, Module, Run, Scope, change, done};
use crate::fields::Fields;
use crate::system::{FileKind, ProgramEnd, Upcoming};
use crate::template::Text;
use transport::{SshOptions, check_branch, check_repository};

/// The kind of state that a dry run imagines: `BRANCH VERSION`, by path.
const KIND: &str = "git";
/// A version in full, hexadecimal digits; newer repositories have 64.
const MIN_VERSION_DIGITS: usize = 40;

#[derive(Debug)]
pub(super) struct Git {
    repo: Text,
    path: Text,
    branch: Option<Text>,
    update: Option<Text>,
    accept_keys: Option<Text>,
    ssh_options: SshOptions,
    attributes: AttributeFields,
}

impl Git {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let (repo, path, branch) =
            (fields.required_text("repo"), fields.required_text("path"), fields.text("branch"));
        fields.checked(repo.as_ref(), check_repository);
        fields.checked(branch.as_ref(), check_branch);
        let (update, accept_keys) = (fields.flag("update"), fields.flag("accept_keys"));
        let ssh_options = SshOptions::parse(fields);
        let attributes = AttributeFields::parse(fields);
        Some(Box::new(Self {
            repo: repo?,
            path: path?,
            branch,
            update,
            accept_keys,
            ssh_options,
            attributes,
        }))
    }
}

impl Module for Git {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let repo = scope.word(&self.repo)?;
        check_repository(&repo)?;
        let branch = scope.optional_word(self.branch.as_ref())?.unwrap_or_else(|| "main".to_owned());
        check_branch(&branch)?;
        let path = scope.path(&self.path)?;
        let text =
            path.to_str().ok_or_else(|| format!("field (path): {} is not UTF-8 text", path.display()))?;
        let text = text.to_owned();
        let accept_keys = scope.flag(self.accept_keys.as_ref())?.unwrap_or(true);
        let ssh = self.ssh_options.command(accept_keys, scope)?;
        let update = scope.flag(self.update.as_ref())?.unwrap_or(true);
        let wanted = self.attributes.prepare(scope)?;
        Ok(Box::new(Prepared { repo, path, text, branch, update, ssh, wanted }))
    }
}

struct Prepared {
    repo: String,
    path: PathBuf,
    /// The path as text.
    text: String,
    branch: String,
    update: bool,
    ssh: String,
    wanted: Wanted,
}

/// What a folder holds.
struct Held {
    /// `None` where no branch is checked out.
    branch: Option<String>,
    /// `None` where nothing is checked out, as after a clone that was cut short.
    version: Option<String>,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let held = self.held(run)?;
        let is_new = held.is_none();
        let mut changes = match &held {
            None => self.clone(run)?,
            Some(held) => self.renew(held, run)?,
        };
        if !(run.dry_run && is_new) {
            changes.extend(place::adjust(&self.path, &self.wanted, run)?);
        }
        match (is_new, changes.is_empty()) {
            (true, _) => Ok(done(TaskStatus::Created, changes)),
            (false, true) => Ok(TaskResult::of(TaskStatus::Matched)),
            (false, false) => Ok(done(TaskStatus::Modified, changes)),
        }
    }
}

impl Prepared {
    /// What is there, or in a dry run would be by now; `None`: no repository.
    fn held(&self, run: &mut Run<'_>) -> Result<Option<Held>, Failure> {
        if let Some(state) = run.imagined.get(KIND, &self.text) {
            let (branch, version) = state.split_once(' ').unwrap_or((state, ""));
            return Ok(Some(Held { branch: Some(branch.to_owned()), version: Some(version.to_owned()) }));
        }
        match run.system.link_metadata(&self.path.join(".git"))? {
            None => Ok(None),
            Some(is) if is.kind != FileKind::Directory => {
                Err(format!("{}/.git is no directory: another folder's git is not used", self.text).into())
            }
            // What is in it decides what git runs, as root.
            Some(is) if is.uid != 0 => {
                Err(format!("{}/.git must belong to root, since root runs what it says", self.text).into())
            }
            Some(_) => {
                let branch =
                    self.ask(&["-C", &self.text, "symbolic-ref", "--quiet", "--short", "HEAD"], run)?;
                let head = self.ask(&["-C", &self.text, "rev-parse", "--quiet", "--verify", "HEAD"], run)?;
                let name = branch.output.to_string().trim().to_owned();
                let branch = Some(name).filter(|name| branch.exit_code == 0 && !name.is_empty());
                Ok(Some(Held { branch, version: version_in(&head) }))
            }
        }
    }

    fn clone(&self, run: &mut Run<'_>) -> Result<Vec<Change>, Failure> {
        let version = self.version_there(run)?;
        run.system.before(&Upcoming::Tree(&self.path))?;
        if run.dry_run {
            run.imagined.set(KIND, &self.text, &format!("{} {version}", self.branch));
        } else {
            self.order(&["clone", "-q", "--branch", &self.branch, "--", &self.repo, &self.text], run)?;
        }
        Ok(vec![change("version", None, Some(version)), change("branch", None, Some(self.branch.clone()))])
    }

    /// Brings branch and version up to what they should be. What was changed by hand in the folder is kept: where it is in the way, git
    /// refuses.
    fn renew(&self, held: &Held, run: &mut Run<'_>) -> Result<Vec<Change>, Failure> {
        let has_branch = held.branch.as_ref() == Some(&self.branch);
        let asks = self.update || !has_branch || held.version.is_none();
        if !asks {
            return Ok(Vec::new());
        }
        let there = self.version_there(run)?;
        let mut changes = Vec::new();
        if !has_branch {
            changes.push(change("branch", held.branch.clone(), Some(self.branch.clone())));
        }
        if held.version.as_ref() != Some(&there) {
            changes.push(change("version", held.version.clone(), Some(there.clone())));
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        run.system.before(&Upcoming::Tree(&self.path))?;
        if run.dry_run {
            run.imagined.set(KIND, &self.text, &format!("{} {there}", self.branch));
        } else {
            self.fetch_and_switch(has_branch && held.version.is_some(), &there, run)?;
        }
        Ok(changes)
    }

    fn fetch_and_switch(&self, has_branch: bool, there: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        let remote = format!("refs/remotes/origin/{}", self.branch);
        let refspec = format!("+refs/heads/{}:{remote}", self.branch);
        self.order(&["-C", &self.text, "fetch", "-q", "--", &self.repo, &refspec], run)?;
        if !has_branch {
            let own = format!("refs/heads/{}", self.branch);
            let known = self.ask(&["-C", &self.text, "rev-parse", "--quiet", "--verify", &own], run)?;
            if version_in(&known).is_some() {
                self.order(&["-C", &self.text, "checkout", "-q", &self.branch, "--"], run)?;
            } else {
                self.order(
                    &["-C", &self.text, "checkout", "-q", "--no-track", "-B", &self.branch, &remote, "--"],
                    run,
                )?;
            }
        }
        self.order(&["-C", &self.text, "merge", "-q", "--ff-only", &remote], run)?;
        let head = self.ask(&["-C", &self.text, "rev-parse", "--quiet", "--verify", "HEAD"], run)?;
        if version_in(&head).as_deref() == Some(there) {
            return Ok(());
        }
        Err(format!("{} has commits on {} that {} has not", self.text, self.branch, self.repo).into())
    }

    /// The newest version of the branch in the repository.
    fn version_there(&self, run: &mut Run<'_>) -> Result<String, Failure> {
        let name = format!("refs/heads/{}", self.branch);
        let end = self.order_or_ask(&["ls-remote", "--", &self.repo, &name], run, true)?;
        let printed = end.output.to_string();
        let mut lines = printed.lines().filter_map(|line| line.split_once('\t'));
        let version = lines.find(|(version, what)| *what == name && is_version(version));
        let missing = || format!("there is no branch {} in {}", self.branch, self.repo).into();
        version.map(|(version, _)| version.to_owned()).ok_or_else(missing)
    }

    fn order(&self, arguments: &[&str], run: &mut Run<'_>) -> Result<(), Failure> {
        self.order_or_ask(arguments, run, false).map(|_| ())
    }

    /// An answer; its exit code is part of it.
    fn ask(&self, arguments: &[&str], run: &mut Run<'_>) -> Result<ProgramEnd, Failure> {
        self.call(arguments, |call| call.ask(run))
    }

    /// Something that must succeed.
    fn order_or_ask(
        &self,
        arguments: &[&str],
        run: &mut Run<'_>,
        is_question: bool,
    ) -> Result<ProgramEnd, Failure> {
        self.call(arguments, |call| {
            if !is_question {
                return call.order(run);
            }
            let end = call.ask(run)?;
            if end.exit_code == 0 { Ok(end) } else { Err(call.failed(end)) }
        })
    }

    fn call<T>(&self, arguments: &[&str], work: impl FnOnce(&Call<'_>) -> T) -> T {
        let environment = [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", transport::PROTOCOLS),
            ("GIT_SSH_COMMAND", &self.ssh),
            // The folder may be another user's by `attributes`; its `.git` is root's, which was looked at before.
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", &self.text),
        ];
        work(&Call { name: "git", arguments, environment: &environment, ..Call::default() })
    }
}

fn version_in(end: &ProgramEnd) -> Option<String> {
    let printed = end.output.to_string();
    printed.lines().find(|line| end.exit_code == 0 && is_version(line)).map(str::to_owned)
}

fn is_version(text: &str) -> bool {
    text.len() >= MIN_VERSION_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a path is git's own, below a repository.
fn is_gits(repository: &Path, path: &Path) -> bool {
    path.starts_with(repository.join(".git"))
}
