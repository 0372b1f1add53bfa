//! `group`: a group is there, with this number and these members, or is not there.

use super::rules::check_number;
use super::{
    Action, BTreeSet, CheckContext, Database, Failure, Fields, Module, Plan, Rule, Run, Scope, TaskResult,
    TaskStatus, Text, change, defaults, foreign, joined, list, not_here, plan_and_do, prepare_list,
    wanted_names,
};

/// The kind for `getent`, and of what a dry run imagines.
pub(super) const KIND: &str = "group";
/// Where the number stands in a line of `/etc/group`.
pub(super) const GID: usize = 2;

#[derive(Debug)]
pub(in super::super) struct Group {
    group: Text,
    gid: Option<Text>,
    users: Option<Vec<Text>>,
    append: Option<Text>,
    system: Option<Text>,
    remove: Option<Text>,
}

impl Group {
    pub(in super::super) fn parse(
        fields: &mut Fields<'_, '_>,
        _: &CheckContext<'_>,
    ) -> Option<Box<dyn Module>> {
        let (group, gid) = (fields.required_text("group"), fields.number("gid"));
        fields.checked(group.as_ref(), |name| Rule::Name.check("group", name));
        let users = list("users", Rule::Name, fields);
        let (append, system, remove) = (fields.flag("append"), fields.flag("system"), fields.flag("remove"));
        Some(Box::new(Self { group: group?, gid, users, append, system, remove }))
    }
}

impl Module for Group {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        Ok(Box::new(Prepared {
            name: Rule::Name.of(&self.group, scope)?,
            gid: check_number("gid", scope.number(self.gid.as_ref())?)?,
            users: prepare_list(self.users.as_ref(), scope)?,
            append: scope.flag(self.append.as_ref())?.unwrap_or(false),
            system: scope.flag(self.system.as_ref())?.unwrap_or(false),
            remove: scope.flag(self.remove.as_ref())?.unwrap_or(false),
        }))
    }
}

struct Prepared {
    name: String,
    gid: Option<u32>,
    users: Option<BTreeSet<String>>,
    append: bool,
    system: bool,
    remove: bool,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        plan_and_do((KIND, &self.name), run, |run| self.plan(run))
    }
}

impl Prepared {
    fn plan(&self, run: &mut Run<'_>) -> Result<Plan, Failure> {
        let database = Database::read(run.system)?;
        if !database.group.has(&self.name)
            && let Some(fields) = foreign(KIND, &self.name, run)?
        {
            return self.compare_foreign(&fields, database);
        }
        match (database.group.has(&self.name), self.remove) {
            (true, true) => self.plan_removal(database),
            (false, true) => Ok(Plan::of(TaskStatus::Matched, Vec::new(), database)),
            (true, false) => self.plan_changes(database, run),
            (false, false) => self.plan_creation(database, run),
        }
    }

    fn plan_removal(&self, mut database: Database) -> Result<Plan, Failure> {
        let gid = database.group.id(&self.name);
        let mut users = database.passwd.column(3);
        if let Some((user, _)) = users.find(|(_, text)| gid.is_some() && text.parse().ok() == gid) {
            return Err(format!("the group {} is the own group of the user {user}", self.name).into());
        }
        drop(users);
        database.remove_group(&self.name);
        Ok(Plan::of(TaskStatus::Removed, Vec::new(), database))
    }

    fn plan_creation(&self, mut database: Database, run: &mut Run<'_>) -> Result<Plan, Failure> {
        let gid = match self.gid {
            Some(gid) => self.unused(gid, &database)?,
            None => {
                let defaults = defaults::Defaults::read(run.system)?;
                defaults.free(defaults::Numbers::Groups, self.system, &database.group.ids(), None)?
            }
        };
        database.add_group(&self.name, gid);
        let mut changes = vec![change("gid", None, Some(gid.to_string()))];
        if let Some(users) = self.users.as_ref().filter(|users| !users.is_empty()) {
            self.check_users(&database, run)?;
            database.set_members(&self.name, users);
            changes.push(change("users", None, joined(users)));
        }
        Ok(Plan::of(TaskStatus::Created, changes, database))
    }

    fn plan_changes(&self, mut database: Database, run: &mut Run<'_>) -> Result<Plan, Failure> {
        let mut changes = Vec::new();
        let is = database.group.id(&self.name);
        if let Some(gid) = self.gid.filter(|gid| is != Some(*gid)) {
            self.unused(gid, &database)?;
            // The users whose own group it is go along.
            let own: Vec<String> = database
                .passwd
                .column(3)
                .filter(|(_, text)| is.is_some() && text.parse().ok() == is)
                .map(|(user, _)| user.to_owned())
                .collect();
            database.group.set_field(&self.name, GID, &gid.to_string());
            own.iter().for_each(|user| database.passwd.set_field(user, 3, &gid.to_string()));
            changes.push(change("gid", is.map(|gid| gid.to_string()), Some(gid.to_string())));
        }
        let are = database.members(&self.name);
        if let Some(users) = self.users.as_ref().map(|users| wanted_names(users, self.append, &are))
            && users != are
        {
            self.check_users(&database, run)?;
            database.set_members(&self.name, &users);
            changes.push(change("users", joined(&are), joined(&users)));
        }
        Ok(Plan::kept_or_modified(changes, database))
    }

    fn compare_foreign(&self, fields: &[String], database: Database) -> Result<Plan, Failure> {
        let gid_fits =
            self.gid.is_none_or(|gid| fields.get(GID).and_then(|text| text.parse().ok()) == Some(gid));
        let are: BTreeSet<String> =
            fields.get(3).into_iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
        let are = are.into_iter().filter(|name| !name.is_empty()).collect();
        let users_fit = self.users.as_ref().is_none_or(|users| wanted_names(users, self.append, &are) == are);
        if self.remove || !gid_fits || !users_fit {
            return Err(not_here("group", &self.name));
        }
        Ok(Plan::of(TaskStatus::Matched, Vec::new(), database))
    }

    fn unused(&self, gid: u32, database: &Database) -> Result<u32, Failure> {
        match database.group.name_of_id(gid) {
            Some(other) if other != self.name => {
                Err(format!("gid {gid} belongs to the group {other}").into())
            }
            _ => Ok(gid),
        }
    }

    fn check_users(&self, database: &Database, run: &mut Run<'_>) -> Result<(), Failure> {
        for user in self.users.iter().flatten() {
            if !database.passwd.has(user) && foreign(super::user::KIND, user, run)?.is_none() {
                return Err(format!("field (users): there is no user {user}").into());
            }
        }
        Ok(())
    }
}
