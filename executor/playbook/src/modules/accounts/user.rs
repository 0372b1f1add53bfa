//! `user`: a user is there, with these numbers, groups, comment and shell, or is not there.

use std::time::{SystemTime, UNIX_EPOCH};

use keros_protocol::executor::Change;

use super::database::Database;
use super::defaults::{Defaults, Numbers};
use super::home::{HomeWork, is_clean};
use super::rules::check_number;
use super::{
    Action, BTreeSet, CheckContext, Failure, Fields, Module, Plan, Rule, Run, Scope, TaskResult, TaskStatus,
    Text, change, foreign, group, joined, list, not_here, plan_and_do, prepare_list, wanted_names,
};
use crate::system::System;

/// The kind for `getent`, and of what a dry run imagines.
pub(super) const KIND: &str = "passwd";
/// Where these stand in a line of `/etc/passwd`.
const UID: usize = 2;
const GID: usize = 3;
const GECOS: usize = 4;
const SHELL: usize = 6;
/// The own group of a user who gets none of their own, as useradd has it.
const USERS_GID: u32 = 100;
/// A clock that shows a day before 2025 was not set yet; days since 1970.
const FIRST_SANE_DAY: u64 = 20_089;

#[derive(Debug)]
pub(in super::super) struct User {
    user: Text,
    uid: Option<Text>,
    gid: Option<Text>,
    groups: Option<Vec<Text>>,
    gecos: Option<Text>,
    shell: Option<Text>,
    flags: [Option<Text>; 6],
}

/// In the order of [`Prepared`]'s.
const FLAGS: [(&str, bool); 6] = [
    ("append", false),
    ("system", false),
    ("create_home", true),
    ("create_user_group", true),
    ("remove", false),
    ("cleanup", false),
];

impl User {
    pub(in super::super) fn parse(
        fields: &mut Fields<'_, '_>,
        _: &CheckContext<'_>,
    ) -> Option<Box<dyn Module>> {
        let (user, uid, gid) = (fields.required_text("user"), fields.number("uid"), fields.text("gid"));
        let (gecos, shell) = (fields.text("gecos"), fields.text("shell"));
        let rules = [(&user, Rule::Name), (&gid, Rule::Group), (&gecos, Rule::Line), (&shell, Rule::Path)];
        for (text, rule) in rules {
            let key = text.as_ref().map_or("", |text| text.key);
            fields.checked(text.as_ref(), |value| rule.check(key, value));
        }
        let groups = list("groups", Rule::Name, fields);
        let flags = FLAGS.map(|(key, _)| fields.flag(key));
        Some(Box::new(Self { user: user?, uid, gid, groups, gecos, shell, flags }))
    }
}

impl Module for User {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let mut flags = FLAGS.map(|(_, default)| default);
        for (flag, text) in flags.iter_mut().zip(&self.flags) {
            *flag = scope.flag(text.as_ref())?.unwrap_or(*flag);
        }
        let [append, system, create_home, create_user_group, remove, cleanup] = flags;
        Ok(Box::new(Prepared {
            name: Rule::Name.of(&self.user, scope)?,
            uid: check_number("uid", scope.number(self.uid.as_ref())?)?,
            gid: Rule::Group.optional(self.gid.as_ref(), scope)?,
            groups: prepare_list(self.groups.as_ref(), scope)?,
            gecos: Rule::Line.optional(self.gecos.as_ref(), scope)?,
            shell: Rule::Path.optional(self.shell.as_ref(), scope)?,
            append,
            system,
            create_home,
            create_user_group,
            remove,
            cleanup,
        }))
    }
}

struct Prepared {
    name: String,
    uid: Option<u32>,
    gid: Option<String>,
    groups: Option<BTreeSet<String>>,
    gecos: Option<String>,
    shell: Option<String>,
    append: bool,
    system: bool,
    create_home: bool,
    create_user_group: bool,
    remove: bool,
    cleanup: bool,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        plan_and_do((KIND, &self.name), run, |run| self.plan(run))
    }
}

impl Prepared {
    fn plan(&self, run: &mut Run<'_>) -> Result<Plan, Failure> {
        let database = Database::read(run.system)?;
        if !database.passwd.has(&self.name)
            && let Some(fields) = foreign(KIND, &self.name, run)?
        {
            return self.compare_foreign(&fields, database, run);
        }
        match (database.passwd.has(&self.name), self.remove) {
            (true, true) => self.plan_removal(database, run.system),
            (false, true) => Ok(Plan::of(TaskStatus::Matched, Vec::new(), database)),
            (true, false) => self.plan_changes(database),
            (false, false) => self.plan_creation(database, run.system),
        }
    }

    fn plan_removal(&self, mut database: Database, system: &mut dyn System) -> Result<Plan, Failure> {
        self.refuse_root(&database, "removed")?;
        let home =
            if self.cleanup { HomeWork::removal(&self.name, &database, system)? } else { HomeWork::None };
        let gid = database.passwd.fields(&self.name).and_then(|fields| fields.get(GID)?.parse().ok());
        database.passwd.remove(&self.name);
        if let Some(shadow) = &mut database.shadow {
            shadow.remove(&self.name);
        }
        database.set_groups_of(&self.name, &BTreeSet::new());
        database.remove_administrator(&self.name);
        let keeps_group = Defaults::read(system)?.text("USERGROUPS_ENAB") == Some("no");
        let is_others = database.passwd.column(GID).any(|(_, other)| other.parse().ok() == gid)
            || !database.members(&self.name).is_empty();
        if !keeps_group && !is_others && gid.is_some() && database.group.id(&self.name) == gid {
            database.remove_group(&self.name);
        }
        Ok(Plan { home, ..Plan::of(TaskStatus::Removed, Vec::new(), database) })
    }

    fn plan_creation(&self, mut database: Database, system: &mut dyn System) -> Result<Plan, Failure> {
        let defaults = Defaults::read(system)?;
        let uid = match self.uid {
            Some(uid) => self.unused(uid, &database)?,
            None => defaults.free(Numbers::Users, self.system, &database.passwd.ids(), None)?,
        };
        let gid = self.own_group(uid, &mut database, &defaults)?;
        let home = format!("{}/{}", defaults.text("HOME").unwrap_or("/home"), self.name);
        if !is_clean(&home) {
            return Err(format!(
                "HOME in /etc/default/useradd makes the home {home}, which is no plain path"
            )
            .into());
        }
        let shell = self.shell.as_deref().or(defaults.text("SHELL")).unwrap_or("/bin/sh");
        let password = if database.shadow.is_some() { "x" } else { "!" };
        let gecos = self.gecos.as_deref().unwrap_or_default();
        let line = format!("{}:{password}:{uid}:{gid}:{gecos}:{home}:{shell}", self.name);
        database.passwd.put(&self.name, line);
        if let Some(shadow) = &mut database.shadow {
            shadow.put(&self.name, self.shadow_line(&defaults));
        }
        let mut changes = vec![
            change("uid", None, Some(uid.to_string())),
            change("gid", None, Some(group_name(gid, &database))),
            change("shell", None, Some(shell.to_owned())),
        ];
        changes.extend(self.gecos.clone().map(|gecos| change("gecos", None, Some(gecos))));
        changes.extend(self.change_groups(&mut database)?);
        let home = match self.create_home {
            true => HomeWork::Make { path: home.into(), uid, gid, mode: home_mode(&defaults) },
            false => HomeWork::None,
        };
        Ok(Plan { home, ..Plan::of(TaskStatus::Created, changes, database) })
    }

    /// The number of a new user's own group, which is made where it is to be one of their own.
    fn own_group(&self, uid: u32, database: &mut Database, defaults: &Defaults) -> Result<u32, Failure> {
        if let Some(group) = &self.gid {
            return group_id(group, database);
        }
        if !self.create_user_group {
            let group = defaults.text("GROUP").map_or_else(|| USERS_GID.to_string(), str::to_owned);
            return group_id(&group, database);
        }
        if let Some(gid) = database.group.id(&self.name) {
            return Ok(gid);
        }
        let gid = defaults.free(Numbers::Groups, self.system, &database.group.ids(), Some(uid))?;
        database.add_group(&self.name, gid);
        Ok(gid)
    }

    /// A locked password, changed today; empty ages where nothing is said, and for the system's own users.
    fn shadow_line(&self, defaults: &Defaults) -> String {
        let age = |key: &str| {
            let days = defaults.number(key).filter(|_| !self.system);
            days.map(|days| days.to_string()).unwrap_or_default()
        };
        let [least, most, warn] = ["PASS_MIN_DAYS", "PASS_MAX_DAYS", "PASS_WARN_AGE"].map(age);
        let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        let today = if today >= FIRST_SANE_DAY { today.to_string() } else { String::new() };
        format!("{}:!:{today}:{least}:{most}:{warn}:::", self.name)
    }

    fn plan_changes(&self, mut database: Database) -> Result<Plan, Failure> {
        let is = database.passwd.fields(&self.name).unwrap_or_default();
        let at = |index: usize| is.get(index).map_or("", String::as_str);
        let mut changes = Vec::new();
        if let Some(uid) = self.uid.filter(|uid| at(UID).parse() != Ok(*uid)) {
            self.refuse_root(&database, "given another number")?;
            self.unused(uid, &database)?;
            database.passwd.set_field(&self.name, UID, &uid.to_string());
            changes.push(change("uid", Some(at(UID).to_owned()), Some(uid.to_string())));
        }
        if let Some(group) = &self.gid {
            let gid = group_id(group, &database)?;
            if at(GID).parse() != Ok(gid) {
                database.passwd.set_field(&self.name, GID, &gid.to_string());
                let before =
                    at(GID).parse().map_or_else(|_| at(GID).to_owned(), |gid| group_name(gid, &database));
                changes.push(change("gid", Some(before), Some(group_name(gid, &database))));
            }
        }
        for (key, index, wanted) in [("gecos", GECOS, &self.gecos), ("shell", SHELL, &self.shell)] {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != at(index)) {
                database.passwd.set_field(&self.name, index, wanted);
                changes.push(change(key, Some(at(index).to_owned()), Some(wanted.to_owned())));
            }
        }
        changes.extend(self.change_groups(&mut database)?);
        Ok(Plan::kept_or_modified(changes, database))
    }

    /// Puts the user into the groups beside their own, where they are not as they should be.
    fn change_groups(&self, database: &mut Database) -> Result<Option<Change>, Failure> {
        let Some(groups) = &self.groups else { return Ok(None) };
        if let Some(unknown) = groups.iter().find(|group| !database.group.has(group)) {
            return Err(format!("field (groups): there is no group {unknown} in /etc/group").into());
        }
        let own = database.passwd.fields(&self.name).and_then(|fields| fields.get(GID)?.parse().ok());
        let own = own.and_then(|gid| database.group.name_of_id(gid)).unwrap_or_default().to_owned();
        let are = database.groups_of(&self.name);
        let mut wanted = wanted_names(groups, self.append, &are);
        // The own group needs no entry, and one that is there does no harm.
        wanted.remove(&own);
        wanted.extend(are.contains(&own).then_some(own));
        if wanted == are {
            return Ok(None);
        }
        database.set_groups_of(&self.name, &wanted);
        Ok(Some(change("groups", joined(&are).filter(|names| !names.is_empty()), joined(&wanted))))
    }

    fn compare_foreign(&self, is: &[String], database: Database, run: &mut Run<'_>) -> Result<Plan, Failure> {
        let at = |index: usize| is.get(index).map_or("", String::as_str);
        let gid = match &self.gid {
            Some(group) => Some(match group_id(group, &database) {
                Ok(gid) => gid.to_string(),
                Err(error) => foreign(group::KIND, group, run)?
                    .ok_or(error)?
                    .get(group::GID)
                    .cloned()
                    .unwrap_or_default(),
            }),
            None => None,
        };
        let uid = self.uid.map(|uid| uid.to_string());
        let fields = [(&uid, UID), (&gid, GID), (&self.gecos, GECOS), (&self.shell, SHELL)];
        let fits =
            fields.iter().all(|(wanted, index)| wanted.as_deref().is_none_or(|wanted| wanted == at(*index)));
        let are = database.groups_of(&self.name);
        let groups_fit =
            self.groups.as_ref().is_none_or(|groups| wanted_names(groups, self.append, &are) == are);
        if self.remove || !fits || !groups_fit {
            return Err(not_here("user", &self.name));
        }
        Ok(Plan::of(TaskStatus::Matched, Vec::new(), database))
    }

    fn unused(&self, uid: u32, database: &Database) -> Result<u32, Failure> {
        match database.passwd.name_of_id(uid) {
            Some(other) if other != self.name => Err(format!("uid {uid} belongs to the user {other}").into()),
            _ => Ok(uid),
        }
    }

    fn refuse_root(&self, database: &Database, what: &str) -> Result<(), Failure> {
        if self.name == "root" || database.passwd.id(&self.name) == Some(0) {
            return Err(format!("the user {} is root, and never {what}", self.name).into());
        }
        Ok(())
    }
}

fn home_mode(defaults: &Defaults) -> u32 {
    let by_mask = defaults.number("UMASK").map(|mask| 0o777 & !mask);
    defaults.number("HOME_MODE").map(|mode| mode & 0o7777).or(by_mask).unwrap_or(0o700)
}

/// A group's number, by name or number; the group must be in `/etc/group`.
fn group_id(group: &str, database: &Database) -> Result<u32, Failure> {
    let by_number = || group.parse().ok().filter(|gid| database.group.name_of_id(*gid).is_some());
    let gid = database.group.id(group).or_else(by_number);
    gid.ok_or_else(|| format!("there is no group {group} in /etc/group").into())
}

fn group_name(gid: u32, database: &Database) -> String {
    database.group.name_of_id(gid).map_or_else(|| gid.to_string(), str::to_owned)
}
