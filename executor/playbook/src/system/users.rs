//! Names and numbers of users and groups, from the tree's own `/etc/passwd` and `/etc/group`.

use std::path::Path;

use super::{System, SystemError};

/// Greatest `/etc/passwd` or `/etc/group` that is read, bytes.
const MAX_USERS_BYTES: u64 = 4 * 1024 * 1024;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

pub(super) fn user_id(system: &mut dyn System, user: &str) -> Result<u32, SystemError> {
    id("user", user, system, USERS)
}

pub(super) fn group_id(system: &mut dyn System, group: &str) -> Result<u32, SystemError> {
    id("group", group, system, GROUPS)
}

pub(super) fn user_name(system: &mut dyn System, uid: u32) -> String {
    name_of(uid, &lines(system, USERS)).map_or_else(|| uid.to_string(), str::to_owned)
}

pub(super) fn group_name(system: &mut dyn System, gid: u32) -> String {
    name_of(gid, &lines(system, GROUPS)).map_or_else(|| gid.to_string(), str::to_owned)
}

pub(super) fn own_group(system: &mut dyn System, uid: u32) -> Result<u32, SystemError> {
    let group = own_group_of(uid, &lines(system, USERS));
    group.ok_or_else(|| SystemError::text(format!("there is no user {uid} in {USERS}")))
}

fn id(what: &str, name: &str, system: &mut dyn System, file: &str) -> Result<u32, SystemError> {
    let id = id_of(name, &lines(system, file));
    id.ok_or_else(|| SystemError::text(format!("there is no {what} {name:?} in {file}")))
}

fn lines(system: &mut dyn System, file: &str) -> String {
    let bytes = system.read(Path::new(file), MAX_USERS_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The number beside a name in lines of `name:password:number:…`. A text of digits that is no name is a number.
fn id_of(name: &str, lines: &str) -> Option<u32> {
    let by_name = entries(lines).find(|(entry, _)| *entry == name).map(|(_, id)| id);
    by_name.or_else(|| name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse().ok()).flatten())
}

/// The first name with this number.
fn name_of(id: u32, lines: &str) -> Option<&str> {
    entries(lines).find(|(_, entry)| *entry == id).map(|(name, _)| name)
}

/// The number of the own group of the user with this number, from lines of `/etc/passwd`.
fn own_group_of(uid: u32, lines: &str) -> Option<u32> {
    let mut users = lines.lines().map(|line| line.split(':').collect::<Vec<_>>());
    users.find(|fields| fields.get(2).and_then(|id| id.parse().ok()) == Some(uid))?.get(3)?.parse().ok()
}

fn entries(lines: &str) -> impl Iterator<Item = (&str, u32)> {
    lines.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\n7:x:1007:7::/:\ndaemon:x:1:1::/:\n";

    #[test]
    fn a_name_is_looked_up_before_it_counts_as_a_number() {
        assert_eq!(id_of("daemon", PASSWD), Some(1));
        assert_eq!(id_of("7", PASSWD), Some(1007));
        assert_eq!(id_of("42", PASSWD), Some(42));
        assert_eq!(id_of("nobody", PASSWD), None);
        assert_eq!(id_of("99999999999", PASSWD), None);
        assert_eq!(name_of(1, PASSWD), Some("daemon"));
        assert_eq!(name_of(2, PASSWD), None);
        assert_eq!((own_group_of(1007, PASSWD), own_group_of(2, PASSWD)), (Some(7), None));
    }
}
