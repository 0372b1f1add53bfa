//! The files of accounts, line by line: what is not touched stays as it is, comments and all.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::Failure;
use crate::system::{Attributes, Content, System};

/// One file, bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Where the members stand in a line of `/etc/group` and of `/etc/gshadow`.
const MEMBERS: usize = 3;

/// The four files. Without the shadows, passwords stand in the open files.
pub(super) struct Database {
    pub(super) passwd: Table,
    pub(super) group: Table,
    pub(super) shadow: Option<Table>,
    pub(super) gshadow: Option<Table>,
}

impl Database {
    pub(super) fn read(system: &mut dyn System) -> Result<Self, Failure> {
        let missing = |path: &str| format!("there is no {path} here: this tree has no users");
        Ok(Self {
            passwd: Table::read("/etc/passwd", system)?.ok_or_else(|| missing("/etc/passwd"))?,
            group: Table::read("/etc/group", system)?.ok_or_else(|| missing("/etc/group"))?,
            shadow: Table::read("/etc/shadow", system)?,
            gshadow: Table::read("/etc/gshadow", system)?,
        })
    }

    /// Writes what has changed. `passwd` comes last: after a power cut in between, the task finds the user as before, and does all again.
    pub(super) fn save(&mut self, system: &mut dyn System) -> Result<(), Failure> {
        let optional =
            [self.gshadow.as_mut(), Some(&mut self.group), self.shadow.as_mut(), Some(&mut self.passwd)];
        for table in optional.into_iter().flatten().filter(|table| table.is_changed) {
            let text = table.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
            // Mode and owner stay; nobody but root reads a file that has just come to be.
            let content = Content::Bytes(text.as_bytes());
            system.put_file(Path::new(table.path), &content, Attributes::default(), 0o600)?;
        }
        Ok(())
    }

    pub(super) fn add_group(&mut self, name: &str, gid: u32) {
        self.group.put(name, format!("{name}:x:{gid}:"));
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.put(name, format!("{name}:!::"));
        }
    }

    pub(super) fn remove_group(&mut self, name: &str) {
        for table in [Some(&mut self.group), self.gshadow.as_mut()].into_iter().flatten() {
            table.remove(name);
        }
    }

    /// The members of a group, beside those whose own group it is.
    pub(super) fn members(&self, group: &str) -> BTreeSet<String> {
        self.group.field(group, MEMBERS).map(names).unwrap_or_default()
    }

    pub(super) fn set_members(&mut self, group: &str, members: &BTreeSet<String>) {
        let text = members.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        for table in [Some(&mut self.group), self.gshadow.as_mut()].into_iter().flatten() {
            table.set_field(group, MEMBERS, &text);
        }
    }

    /// The groups that have this user among their members.
    pub(super) fn groups_of(&self, user: &str) -> BTreeSet<String> {
        let has = |group: &&str| self.members(group).contains(user);
        self.group.names().filter(has).map(str::to_owned).collect()
    }

    /// Puts a user into exactly these groups.
    pub(super) fn set_groups_of(&mut self, user: &str, groups: &BTreeSet<String>) {
        let all: Vec<String> = self.group.names().map(str::to_owned).collect();
        for group in all {
            let mut members = self.members(&group);
            let has_changed =
                if groups.contains(&group) { members.insert(user.to_owned()) } else { members.remove(user) };
            if has_changed {
                self.set_members(&group, &members);
            }
        }
    }

    /// Takes a user out of the lists of those who may change a group.
    pub(super) fn remove_administrator(&mut self, user: &str) {
        let Some(gshadow) = &mut self.gshadow else { return };
        let all: Vec<String> = gshadow.names().map(str::to_owned).collect();
        for group in all {
            let administrators = gshadow.field(&group, 2).map(names).unwrap_or_default();
            if administrators.contains(user) {
                let rest: Vec<&str> =
                    administrators.iter().map(String::as_str).filter(|name| *name != user).collect();
                gshadow.set_field(&group, 2, &rest.join(","));
            }
        }
    }
}

fn names(list: &str) -> BTreeSet<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// One file of lines `name:…:…`.
pub(super) struct Table {
    path: &'static str,
    lines: Vec<String>,
    is_changed: bool,
}

impl Table {
    fn read(path: &'static str, system: &mut dyn System) -> Result<Option<Self>, Failure> {
        if system.metadata(Path::new(path))?.is_none() {
            return Ok(None);
        }
        let bytes = system.read(Path::new(path), MAX_BYTES)?;
        let text =
            String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8 text: mend it by hand"))?;
        Ok(Some(Self { path, lines: text.lines().map(str::to_owned).collect(), is_changed: false }))
    }

    /// The fields of a name's line.
    pub(super) fn fields(&self, name: &str) -> Option<Vec<String>> {
        self.position(name).map(|at| self.lines[at].split(':').map(str::to_owned).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    fn field(&self, name: &str, index: usize) -> Option<&str> {
        self.lines.get(self.position(name)?)?.split(':').nth(index)
    }

    pub(super) fn set_field(&mut self, name: &str, index: usize, value: &str) {
        let Some(at) = self.position(name) else { return };
        let mut fields: Vec<&str> = self.lines[at].split(':').collect();
        fields.resize(fields.len().max(index + 1), "");
        fields[index] = value;
        self.lines[at] = fields.join(":");
        self.is_changed = true;
    }

    /// Puts a line in the place of the name's own, or at the end, before those that include a directory of the network.
    pub(super) fn put(&mut self, name: &str, line: String) {
        self.is_changed = true;
        if let Some(at) = self.position(name) {
            self.lines[at] = line;
            return;
        }
        let end = self.lines.iter().position(|line| line.starts_with(['+', '-']));
        self.lines.insert(end.unwrap_or(self.lines.len()), line);
    }

    pub(super) fn remove(&mut self, name: &str) {
        let before = self.lines.len();
        self.lines.retain(|line| name_of(line) != Some(name));
        self.is_changed |= self.lines.len() != before;
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| name_of(line))
    }

    /// The numbers in use, in the third field.
    pub(super) fn ids(&self) -> BTreeSet<u32> {
        self.column(2).filter_map(|(_, id)| id.parse().ok()).collect()
    }

    /// The name beside a number.
    pub(super) fn name_of_id(&self, id: u32) -> Option<&str> {
        self.column(2).find(|(_, text)| text.parse() == Ok(id)).map(|(name, _)| name)
    }

    /// The number beside a name.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.field(name, 2)?.parse().ok()
    }

    /// Each name with one of its fields.
    pub(super) fn column(&self, index: usize) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(move |line| Some((name_of(line)?, line.split(':').nth(index)?)))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|line| name_of(line) == Some(name))
    }
}

fn name_of(line: &str) -> Option<&str> {
    let name = line.split_once(':')?.0;
    (!name.is_empty() && !name.starts_with(['#', '+', '-'])).then_some(name)
}
