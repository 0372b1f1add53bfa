//! Names and numbers of users and groups, from the tree's own `/etc/passwd` and `/etc/group`.

use nix::sys::stat::FileStat;

pub(super) const USERS_FILE: &str = "/etc/passwd";
pub(super) const GROUPS_FILE: &str = "/etc/group";

/// The two files as they were last read.
#[derive(Debug, Default)]
pub(super) struct UserFiles {
    pub(super) users: Kept,
    pub(super) groups: Kept,
}

impl UserFiles {
    pub(super) fn of(&mut self, path: &str) -> &mut Kept {
        if path == GROUPS_FILE { &mut self.groups } else { &mut self.users }
    }
}

/// A file as it was last read.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) stamp: Option<Stamp>,
    pub(super) lines: String,
}

/// What changes when a file's content does: device, inode, size, times of content and inode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp([i128; 7]);

impl Stamp {
    pub(super) fn of(stat: &FileStat) -> Self {
        Self([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size.into(),
            stat.st_mtime.into(),
            stat.st_mtime_nsec.into(),
            stat.st_ctime.into(),
            stat.st_ctime_nsec.into(),
        ])
    }
}

/// The number beside a name in lines of `name:password:number:…`. A text of digits that is no name is a number.
pub(super) fn id_of(name: &str, lines: &str) -> Option<u32> {
    let by_name = entries(lines).find(|(entry, _)| *entry == name).map(|(_, id)| id);
    by_name.or_else(|| name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse().ok()).flatten())
}

/// The first name with this number.
pub(super) fn name_of(id: u32, lines: &str) -> Option<&str> {
    entries(lines).find(|(_, entry)| *entry == id).map(|(name, _)| name)
}

/// The number of the own group of the user with this number, from lines of `/etc/passwd`.
pub(super) fn own_group_of(uid: u32, lines: &str) -> Option<u32> {
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
