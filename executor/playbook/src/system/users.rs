//! Names and numbers of users and groups, from the tree's own `/etc/passwd` and `/etc/group`, and the lock on those files.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::libc;
use nix::sys::stat::Mode;

use super::tree::Place;

/// What `lckpwdf` of the C library locks, and with it every tool that changes users.
pub(super) const LOCK_FILE: &str = "/etc/.pwd.lock";
/// Between two attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock; it is held until the file is dropped.
pub(super) fn lock(place: &Place, until: Instant) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file =
        File::from(openat(&place.folder, place.name.as_os_str(), flags, Mode::from_bits_truncate(0o600))?);
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    loop {
        match fcntl(&file, FcntlArg::F_SETLK(&whole)) {
            Ok(_) => return Ok(file),
            Err(Errno::EACCES | Errno::EAGAIN) if Instant::now() < until => std::thread::sleep(LOCK_PAUSE),
            Err(Errno::EACCES | Errno::EAGAIN) => {
                return Err(io::Error::other(
                    "another program is changing users and does not come to an end",
                ));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

use std::path::Path;

use nix::sys::stat::FileStat;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::{Actor, System, SystemError};

/// Has this thread make and look at files as a user from here on, who is in these further groups.
pub(super) fn become_thread(user: Actor, groups: &[rustix::process::Gid]) -> Result<(), SystemError> {
    let refused = || SystemError::text(format!("cannot act as user {}: is this run by root?", user.uid));
    // Not the C library's call, which is for all threads. Who is not root has no other groups than these.
    if Uid::effective().is_root() {
        rustix::thread::set_thread_groups(groups).map_err(|_| refused())?;
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    // The group first: the user may not be allowed to change it. Each call gives what was before, so it is asked twice.
    setfsgid(gid);
    setfsuid(uid);
    if setfsuid(uid) != uid || setfsgid(gid) != gid {
        return Err(refused());
    }
    Ok(())
}

/// Greatest `/etc/passwd` or `/etc/group` that is read, bytes.
pub(super) const MAX_USERS_BYTES: u64 = 4 * 1024 * 1024;

pub(super) const USERS: &str = "/etc/passwd";
pub(super) const GROUPS: &str = "/etc/group";

pub(super) fn user_id(system: &mut dyn System, user: &str) -> Result<u32, SystemError> {
    user_id_in(user, &lines(system, USERS))
}

pub(super) fn group_id(system: &mut dyn System, group: &str) -> Result<u32, SystemError> {
    group_id_in(group, &lines(system, GROUPS))
}

pub(super) fn user_name(system: &mut dyn System, uid: u32) -> String {
    name_in(uid, &lines(system, USERS))
}

pub(super) fn group_name(system: &mut dyn System, gid: u32) -> String {
    name_in(gid, &lines(system, GROUPS))
}

pub(super) fn own_group(system: &mut dyn System, uid: u32) -> Result<u32, SystemError> {
    let user = user(system, uid).map(|user| user.gid);
    user.ok_or_else(|| SystemError::text(format!("there is no user {uid} in {USERS}")))
}

/// The user with this number.
pub(super) fn user(system: &mut dyn System, uid: u32) -> Option<User> {
    user_of(uid, &lines(system, USERS))
}

pub(super) fn user_id_in(user: &str, lines: &str) -> Result<u32, SystemError> {
    let id = id_of(user, lines);
    id.ok_or_else(|| SystemError::text(format!("there is no user {user:?} in {USERS}")))
}

pub(super) fn group_id_in(group: &str, lines: &str) -> Result<u32, SystemError> {
    let id = id_of(group, lines);
    id.ok_or_else(|| SystemError::text(format!("there is no group {group:?} in {GROUPS}")))
}

/// The name that goes with a number, or the number where there is none.
pub(super) fn name_in(id: u32, lines: &str) -> String {
    name_of(id, lines).map_or_else(|| id.to_string(), str::to_owned)
}

fn lines(system: &mut dyn System, file: &str) -> String {
    let bytes = system.read(Path::new(file), MAX_USERS_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The two files as they were last read.
#[derive(Debug, Default)]
pub(super) struct UserFiles {
    pub(super) users: Kept,
    pub(super) groups: Kept,
}

impl UserFiles {
    pub(super) fn of(&mut self, path: &str) -> &mut Kept {
        if path == GROUPS { &mut self.groups } else { &mut self.users }
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
fn id_of(name: &str, lines: &str) -> Option<u32> {
    let by_name = entries(lines).find(|(entry, _)| *entry == name).map(|(_, id)| id);
    by_name
        .or_else(|| name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse().ok()).flatten())
        // To the kernel this number means "leave it as it is".
        .filter(|id| *id != u32::MAX)
}

/// The first name with this number.
fn name_of(id: u32, lines: &str) -> Option<&str> {
    entries(lines).find(|(_, entry)| *entry == id).map(|(name, _)| name)
}

/// What a user's programs need to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    name: String,
    /// The number of the user's own group.
    gid: u32,
    home: String,
}

impl User {
    /// Variables of the environment that tell who runs a program.
    pub(super) fn environment(&self) -> [(&'static str, &str); 3] {
        [("USER", &self.name), ("LOGNAME", &self.name), ("HOME", &self.home)]
    }
}

/// The user with this number, from lines of `/etc/passwd`.
fn user_of(uid: u32, lines: &str) -> Option<User> {
    lines.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, gid, _, home, ..] = fields.as_slice() else { return None };
        let (id, gid): (u32, u32) = (id.parse().ok()?, gid.parse().ok()?);
        (id == uid).then(|| User { name: (*name).to_owned(), gid, home: (*home).to_owned() })
    })
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
        let daemon = user_of(1, PASSWD).unwrap();
        assert_eq!((daemon.environment()[1], daemon.gid), (("LOGNAME", "daemon"), 1));
        assert_eq!(user_of(2, PASSWD), None);
    }
}
