//! Puts a file in place so that, after a power cut at any instant, it is old or new in full.
//!
//! Written beside the destination, given owner, attributes and mode, synced, renamed over it, the folder synced. Many files
//! can share the last three steps: `pending`.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use super::tree::{Place, is_stranger};
use super::{Actor, Attributes, Metadata};

/// Ends the name of a file in which a download is collected.
const PART: &[u8] = b".keros-part";

/// Owner, group and mode that the file shall have; all stated.
#[derive(Clone, Copy)]
pub(super) struct Owned {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Owned {
    /// What is asked for, else what the replaced file has, else what a new file gets.
    pub(super) fn choose(
        attributes: Attributes,
        old: Option<&Metadata>,
        mode_if_new: u32,
        actor: Option<Actor>,
    ) -> Self {
        let own = actor.unwrap_or_else(Actor::own);
        let uid = attributes.uid.or(old.map(|is| is.uid)).unwrap_or(own.uid);
        let gid = attributes.gid.or(old.map(|is| is.gid)).unwrap_or(own.gid);
        // Rights to act as the owner were given by, and for, the owner before.
        let kept = old.map(|is| if (is.uid, is.gid) == (uid, gid) { is.mode } else { is.mode & 0o1777 });
        Self { uid, gid, mode: attributes.mode.or(kept).unwrap_or(mode_if_new) }
    }
}

/// Makes or replaces the file at a place, durably.
pub(super) fn put(place: &Place, content: &mut dyn io::Read, owned: Owned, replaces: bool) -> io::Result<()> {
    let beside = Beside::write(place, content, owned, replaces)?;
    let result = beside.sync().and_then(|()| beside.rename(&place.folder, &place.name));
    if result.is_err() {
        beside.discard(&place.folder);
    }
    result?;
    sync_folder(&place.folder)
}

/// A file that is complete but for its name.
#[derive(Debug)]
pub(super) struct Beside {
    file: File,
    /// The name that it has in the meantime.
    pub(super) temporary: OsString,
    /// Length of its content.
    pub(super) bytes: u64,
}

impl Beside {
    /// Writes a file beside the one that it shall become.
    pub(super) fn write(
        place: &Place,
        content: &mut dyn io::Read,
        owned: Owned,
        replaces: bool,
    ) -> io::Result<Self> {
        let temporary = temporary_name(&place.name);
        let file = File::from(create_new(&place.folder, &temporary)?);
        let mut beside = Self { file, temporary, bytes: 0 };
        match beside.fill(place, content, owned, replaces) {
            Ok(bytes) => beside.bytes = bytes,
            Err(error) => {
                beside.discard(&place.folder);
                return Err(error);
            }
        }
        Ok(beside)
    }

    fn fill(
        &self,
        place: &Place,
        content: &mut dyn io::Read,
        owned: Owned,
        replaces: bool,
    ) -> io::Result<u64> {
        let bytes = io::copy(content, &mut &self.file)?;
        finish(&self.file, place, owned, replaces)?;
        Ok(bytes)
    }

    /// Asks the kernel to begin writing to the disk, without waiting. Only [`Beside::sync`] tells whether it was written.
    pub(super) fn start_writing(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// The file, to give it more than owner and mode before it gets its name.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Makes content, owner, mode and attributes durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it the name that it was written for.
    pub(super) fn rename(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        Ok(renameat(folder, self.temporary.as_os_str(), folder, name)?)
    }

    /// Removes it.
    pub(super) fn discard(&self, folder: &OwnedFd) {
        let _ = unlinkat(folder, self.temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
    }
}

/// Makes a link, or puts it in the place of a file or link; with this owner and group where they are stated.
pub(super) fn put_link(place: &Place, target: &std::path::Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let temporary = temporary_name(&place.name);
    let make = || nix::unistd::symlinkat(target, &place.folder, temporary.as_os_str());
    match make() {
        Err(Errno::EEXIST) => {
            unlinkat(&place.folder, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            make()?;
        }
        other => other?,
    }
    let temporary = temporary.as_os_str();
    let given = owner.map_or(Ok(()), |(uid, gid)| {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        nix::unistd::fchownat(&place.folder, temporary, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
    });
    let renamed =
        given.and_then(|()| renameat(&place.folder, temporary, &place.folder, place.name.as_os_str()));
    if renamed.is_err() {
        let _ = unlinkat(&place.folder, temporary, UnlinkatFlags::NoRemoveDir);
    }
    renamed?;
    sync_folder(&place.folder)
}

const TEMPORARY_SUFFIX: &[u8] = b".keros-new";

/// A name that only this program uses, the same each time, so that what a power cut left behind is found and replaced.
pub(super) fn temporary_name(name: &OsStr) -> OsString {
    name_beside(name, TEMPORARY_SUFFIX)
}

/// Removes a temporary that was left behind.
pub(super) fn remove_temporary(place: &Place) {
    let name = temporary_name(&place.name);
    let _ = unlinkat(&place.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
}

/// Removes those that were left behind in a folder.
pub(super) fn remove_temporaries_in(place: &Place) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut folder = Dir::openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?;
    let names: Vec<OsString> = folder
        .iter()
        .map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()))
        .collect::<io::Result<_>>()?;
    for name in names.iter().filter(|name| is_temporary(name)) {
        unlinkat(&folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
    }
    Ok(())
}

/// Whether a name looks like one.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().ends_with(TEMPORARY_SUFFIX)
}

fn name_beside(name: &OsStr, ending: &[u8]) -> OsString {
    let mut bytes = b".".to_vec();
    bytes.extend(name.as_bytes().iter().take(230));
    bytes.extend(ending);
    OsString::from_vec(bytes)
}

/// Gives a file beside the destination all but its content.
fn finish(file: &File, place: &Place, owned: Owned, replaces: bool) -> io::Result<()> {
    give(file, owned)?;
    if replaces {
        copy_extended_attributes(place, file, owned.uid);
        // An access list carries mode bits of its own, so the mode is set last.
        fchmod(file, Mode::from_bits_truncate(owned.mode))?;
    }
    Ok(())
}

/// Opens the file beside a place in which a download is collected; makes it where there is none.
pub(super) fn open_part(place: &Place, owner: u32) -> io::Result<File> {
    if let Some(old) = existing_part(place, owner)? {
        return Ok(old);
    }
    match remove_part(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let name = name_beside(&place.name, PART);
    Ok(File::from(openat(&place.folder, name.as_os_str(), flags, Mode::from_bits_truncate(0o600))?))
}

/// What is collected already. A file that somebody else could have made is not used: he could write to it after its digest was
/// compared.
fn existing_part(place: &Place, owner: u32) -> io::Result<Option<File>> {
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let name = name_beside(&place.name, PART);
    let Ok(part) = openat(&place.folder, name.as_os_str(), flags, Mode::empty()) else { return Ok(None) };
    let is = nix::sys::stat::fstat(&part)?;
    let is_file = SFlag::from_bits_truncate(is.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let is_own = is_file && is.st_uid == owner && is.st_nlink == 1 && is.st_mode & 0o077 == 0;
    Ok(is_own.then(|| File::from(part)))
}

/// Puts the collected file in its place.
pub(super) fn put_part(place: &Place, owner: u32, owned: Owned, replaces: bool) -> io::Result<()> {
    let part = existing_part(place, owner)?.ok_or(io::ErrorKind::NotFound)?;
    finish(&part, place, owned, replaces)?;
    part.sync_all()?;
    let name = name_beside(&place.name, PART);
    renameat(&place.folder, name.as_os_str(), &place.folder, place.name.as_os_str())?;
    sync_folder(&place.folder)
}

pub(super) fn remove_part(place: &Place) -> io::Result<()> {
    let name = name_beside(&place.name, PART);
    Ok(unlinkat(&place.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?)
}

fn create_new(folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o600);
    match openat(folder, name, flags, mode) {
        Err(Errno::EEXIST) => {
            unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?;
            Ok(openat(folder, name, flags, mode)?)
        }
        other => Ok(other?),
    }
}

/// Owner first: changing it takes set-id bits away.
fn give(file: &File, owned: Owned) -> io::Result<()> {
    let now = nix::sys::stat::fstat(file)?;
    if now.st_uid != owned.uid || now.st_gid != owned.gid {
        fchown(file, Some(Uid::from_raw(owned.uid)), Some(Gid::from_raw(owned.gid)))?;
    }
    Ok(fchmod(file, Mode::from_bits_truncate(owned.mode))?)
}

/// Copies what can be copied; a file system without extended attributes has none to lose. Those of a user who is not
/// its owner any more stay behind: an access list among them would let him read on.
fn copy_extended_attributes(place: &Place, new: &File, owner: u32) {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(old) = openat(&place.folder, place.name.as_os_str(), flags, Mode::empty()) else { return };
    if !nix::sys::stat::fstat(&old).is_ok_and(|is| is.st_uid == owner || !is_stranger(is.st_uid)) {
        return;
    }
    let mut names = [0_u8; 4096];
    let Ok(length) = rustix::fs::flistxattr(&old, &mut names) else { return };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 64 * 1024];
        if let Ok(size) = rustix::fs::fgetxattr(&old, name, &mut value[..]) {
            let _ = rustix::fs::fsetxattr(new, name, &value[..size], rustix::fs::XattrFlags::empty());
        }
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    File::from(openat(folder.as_fd(), ".", flags, Mode::empty())?).sync_all()
}

/// Sets what is asked for and differs; the place is no link.
pub(super) fn set_attributes(place: &Place, attributes: Attributes) -> io::Result<()> {
    if attributes == Attributes::default() {
        return Ok(());
    }
    // Opened without reading it, so that nobody who may write to the folder can put something else there in between.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?;
    refuse_what_was_put_there(place, &nix::sys::stat::fstat(&file)?)?;
    let (uid, gid) = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
    if uid.is_some() || gid.is_some() {
        nix::unistd::fchownat(&file, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
    }
    if let Some(mode) = attributes.mode {
        // `fchmod` does not take such a descriptor: /proc is the only way.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(())
}

/// A link, or a file that has further names, in a folder where others may put names: not every kernel keeps them from giving one more
/// name to a file of root.
fn refuse_what_was_put_there(place: &Place, is: &FileStat) -> io::Result<()> {
    let kind = SFlag::from_bits_truncate(is.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        return Err(Errno::ELOOP.into());
    }
    let folder = nix::sys::stat::fstat(&place.folder)?;
    let is_of_others = is_stranger(folder.st_uid) || folder.st_mode & 0o022 != 0;
    let is_theirs = is_stranger(folder.st_uid) && is.st_uid == folder.st_uid;
    if kind == SFlag::S_IFREG && is.st_nlink > 1 && is_of_others && !is_theirs {
        return Err(io::Error::other(
            "it has another name too, and others than root may write to its folder",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::system::tree::{LastLink, walk};

    /// Whoever can write to the folder may put a link there after it was looked at.
    #[test]
    fn a_link_put_there_in_between_does_not_pass_the_mode_on() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        std::fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        symlink("victim", folder.path().join("file")).unwrap();
        let place = walk(folder.path(), std::path::Path::new("file"), LastLink::Keep).unwrap();
        let result = set_attributes(&place, Attributes { mode: Some(0o666), ..Attributes::default() });
        assert_eq!(victim.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(result.is_err());
    }
}
