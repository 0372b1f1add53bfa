//! `user` and `group`: accounts in `/etc/passwd`, `/etc/group` and their shadows, read and written by this program itself.
//!
//! So they work where there is no useradd (BusyBox), on a scratch tree, and in a dry run, which models files. What is written is what
//! Debian's useradd and groupadd would write.

mod database;
mod defaults;
mod group;
mod home;
mod rules;
mod user;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keros_protocol::executor::{Change, TaskResult, TaskStatus};

use super::{Action, CheckContext, Failure, Module, Run, Scope, change, done, tool};
use crate::fields::Fields;
use crate::template::Text;
use database::Database;
use rules::Rule;

pub(super) use group::Group;
pub(super) use user::User;

/// How long other programs may hold the lock, as `lckpwdf` waits.
const LOCK_WAIT: Duration = Duration::from_secs(15);

/// States that a dry run imagines, since `getent` sees only the real files.
const ABSENT: &str = "absent";
const PRESENT: &str = "present";

/// What a task would make of the accounts.
struct Plan {
    result: TaskResult,
    database: Database,
    home: home::HomeWork,
}

impl Plan {
    fn of(status: TaskStatus, changes: Vec<Change>, database: Database) -> Self {
        Self { result: done(status, changes), database, home: home::HomeWork::None }
    }

    fn kept_or_modified(changes: Vec<Change>, database: Database) -> Self {
        let status = if changes.is_empty() { TaskStatus::Matched } else { TaskStatus::Modified };
        Self::of(status, changes, database)
    }
}

/// Plans without the lock; where something is to be done, plans again under the lock and does it.
fn plan_and_do(
    (kind, name): (&'static str, &str),
    run: &mut Run<'_>,
    plan: impl Fn(&mut Run<'_>) -> Result<Plan, Failure>,
) -> Result<TaskResult, Failure> {
    let first = plan(run)?;
    if first.result.status == TaskStatus::Matched {
        return Ok(first.result);
    }
    let until = run.deadline.min(Instant::now() + LOCK_WAIT);
    let _lock = if run.dry_run { None } else { run.system.lock_users(until)? };
    let Plan { result, mut database, home } = plan(run)?;
    home.carry_out(run.system)?;
    database.save(run.system)?;
    if run.dry_run {
        let state = if result.status == TaskStatus::Removed { ABSENT } else { PRESENT };
        run.imagined.set(kind, name, state);
    }
    Ok(result)
}

/// The fields of an account that is not in the files, but known to the machine: from a directory on the network.
fn foreign(kind: &'static str, name: &str, run: &mut Run<'_>) -> Result<Option<Vec<String>>, Failure> {
    if run.imagined.get(kind, name) == Some(ABSENT) || !run.system.has_tool("getent") {
        return Ok(None);
    }
    let end = tool::ask("getent", &[kind, name], run)?;
    let answer = end.output.to_string();
    let line = answer.lines().find(|line| end.exit_code == 0 && line.split(':').next() == Some(name));
    Ok(line.map(|line| line.split(':').map(str::to_owned).collect()))
}

fn not_here(what: &str, name: &str) -> Failure {
    format!("the {what} {name} is not in the files in /etc, but from a directory elsewhere: change it there")
        .into()
}

/// A list of texts.
fn list(key: &'static str, rule: Rule, fields: &mut Fields<'_, '_>) -> Option<Vec<Text>> {
    let nodes = fields.texts(key)?;
    let texts: Vec<Text> = nodes
        .iter()
        .filter_map(|node| Text::compile(node.text().unwrap_or_default(), key, node.at, fields.findings))
        .collect();
    texts.iter().for_each(|text| fields.checked(Some(text), |value| rule.check(key, value)));
    Some(texts)
}

fn prepare_list(texts: Option<&Vec<Text>>, scope: &Scope<'_>) -> Result<Option<BTreeSet<String>>, String> {
    let Some(texts) = texts else { return Ok(None) };
    texts.iter().map(|text| Rule::Name.of(text, scope)).collect::<Result<_, _>>().map(Some)
}

/// The names that shall be in a list, given those that are.
fn wanted_names(wanted: &BTreeSet<String>, append: bool, are: &BTreeSet<String>) -> BTreeSet<String> {
    if append { wanted | are } else { wanted.clone() }
}

fn joined(names: &BTreeSet<String>) -> Option<String> {
    Some(names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
}
