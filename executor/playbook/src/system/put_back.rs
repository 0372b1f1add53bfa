//! Makes what is at a path as it was kept. Each step is at once, durable, and can be done again: what is as it was is left alone.
//!
//! No way to a path may lead over a link: the record names places, not ways to them.

use std::fs::{File, FileTimes};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, fchown, linkat, unlinkat};
use sha2::{Digest as _, Sha256};

use super::host::kind_of;
use super::replace::{self, Beside, Owned};
use super::snapshot::{Snapshot, attributes_of, snapshot_at, unsigned};
use super::tree::{Place, is_stranger};
use super::{Attributes, FileKind, HostSystem};
use crate::undo::record::{Kept, Kind, Was, bytes_of, hex};

impl HostSystem {
    /// Removes what is in the way of what was there: all where nothing was, a folder where none was, what is none where one was.
    /// Says whether there was something to do.
    ///
    /// # Errors
    /// When it cannot be removed; a folder with something in it is not.
    pub(crate) fn clear_for(&mut self, real: &Path, was: Option<&Was>) -> io::Result<bool> {
        let place = match self.real_place(real) {
            Ok(place) => place,
            // What is in the way of a folder on the way goes later, and nothing is behind it.
            Err(error) if leads_nowhere(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        replace::remove_temporary(&place);
        let _ = replace::remove_part(&place);
        let Some(is) = place.stat()?.as_ref().map(kind_of) else { return Ok(false) };
        let is_in_the_way = match was.map(|was| &was.kind) {
            None => true,
            Some(Kind::Directory) => is != FileKind::Directory,
            Some(Kind::File { content: None, .. }) => false,
            Some(_) => is == FileKind::Directory,
        };
        if !is_in_the_way || place.is_nameless() {
            return Ok(false);
        }
        if is == FileKind::Directory {
            replace::remove_temporaries_in(&place)?;
        }
        let flags = match is {
            FileKind::Directory => UnlinkatFlags::RemoveDir,
            _ => UnlinkatFlags::NoRemoveDir,
        };
        unlinkat(&place.folder, place.name.as_os_str(), flags)?;
        replace::sync_folder(&place.folder)?;
        Ok(true)
    }

    /// Makes what was there, and gives it owner, mode and attributes. Says whether there was something to do.
    ///
    /// # Errors
    /// When it cannot be made; a file is then what it was before this call.
    pub(crate) fn put_back(
        &mut self,
        real: &Path,
        was: &Was,
        content: &mut dyn FnMut(&Kept) -> io::Result<File>,
    ) -> io::Result<bool> {
        let place = self.real_place(real)?;
        let is = snapshot_at(&place)?;
        let gives_rights = is.as_ref().is_some_and(|is| gives_rights_to_others(is, was));
        if !gives_rights && is.as_ref().is_some_and(|is| is_same_but_attributes(is, was)) {
            return adjust(&place, is.as_ref(), was);
        }
        match &was.kind {
            Kind::File { content: None, .. } if gives_rights => {
                return Err(io::Error::other(
                    "it is another user's file now, which must not run with these rights",
                ));
            }
            Kind::File { content: None, .. } => {
                return Err(io::Error::other("it is gone, and only its owner and mode were kept"));
            }
            Kind::File { content: Some(kept), .. } => write(&place, was, kept, &mut content(kept)?)?,
            Kind::Directory => {
                mkdirat(&place.folder, place.name.as_os_str(), Mode::S_IRWXU)?;
                adjust(&place, None, was)?;
                replace::sync_folder(&place.folder)?;
            }
            Kind::Link { target } => replace::put_link(&place, &target.0, Some((was.uid, was.gid)))?,
            Kind::Special { file_type, device, .. } => {
                if is.is_some() {
                    unlinkat(&place.folder, place.name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
                }
                let file_type = SFlag::from_bits_truncate(*file_type);
                let device = nix::libc::dev_t::try_from(*device).map_err(io::Error::other)?;
                mknodat(&place.folder, place.name.as_os_str(), file_type, Mode::S_IRUSR, device)?;
                adjust(&place, None, was)?;
                replace::sync_folder(&place.folder)?;
            }
        }
        Ok(true)
    }

    /// Gives a file that has a name outside of the tree one in the tree again, as it had before. Says whether there was something to do.
    ///
    /// # Errors
    /// When it cannot have it; what is there stays then.
    pub(crate) fn put_back_name(&mut self, kept: &Path, real: &Path) -> io::Result<bool> {
        let place = self.real_place(real)?;
        let is = std::fs::symlink_metadata(kept)?;
        let is_there =
            |there: FileStat| (unsigned(there.st_dev), unsigned(there.st_ino)) == (is.dev(), is.ino());
        if place.stat()?.is_some_and(is_there) {
            return Ok(false);
        }
        replace::remove_temporary(&place);
        let temporary = replace::temporary_name(&place.name);
        let (here, none) = (nix::fcntl::AT_FDCWD, AtFlags::empty());
        linkat(here, kept, &place.folder, temporary.as_os_str(), none)?;
        let renamed = renameat(&place.folder, temporary.as_os_str(), &place.folder, place.name.as_os_str());
        replace::remove_temporary(&place);
        renamed?;
        replace::sync_folder(&place.folder)?;
        Ok(true)
    }
}

fn leads_nowhere(error: &io::Error) -> bool {
    let nowhere = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP].map(|errno| errno as i32);
    error.raw_os_error().is_some_and(|errno| nowhere.contains(&errno))
}

/// Whether it is the same thing with the same content.
fn is_same_but_attributes(is: &Snapshot, was: &Was) -> bool {
    match (&was.kind, &is.was.kind) {
        (Kind::File { content: None, .. }, Kind::File { .. }) => true,
        (Kind::File { content: Some(kept), .. }, Kind::File { .. }) => {
            kept.bytes == is.bytes
                && is.content.as_ref().is_some_and(|file| digest(file).is_ok_and(|d| d == kept.sha256))
        }
        (
            Kind::Special { file_type, device, .. },
            Kind::Special { file_type: is_type, device: is_device, .. },
        ) => (file_type, device) == (is_type, is_device),
        (was, is) => was == is,
    }
}

/// Whether a file of somebody else is there now, and with what was there its owner would get the rights of another user.
fn gives_rights_to_others(is: &Snapshot, was: &Was) -> bool {
    let gives_rights = was.mode & 0o6000 != 0
        || was.attributes.iter().any(|(name, _)| name.0.as_os_str() == "security.capability");
    gives_rights && is.was.uid != was.uid && is_stranger(is.was.uid)
}

fn digest(file: &File) -> io::Result<String> {
    let mut hashed = Hashed { content: file, hasher: Sha256::new() };
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(hex(&hashed.hasher.finalize()))
}

/// Gives what is there owner, attributes, mode and time where they differ; `is` is what is known of it.
fn adjust(place: &Place, is: Option<&Snapshot>, was: &Was) -> io::Result<bool> {
    let is_as_it_was = is.is_some_and(|is| {
        (is.was.mode, is.was.uid, is.was.gid) == (was.mode, was.uid, was.gid)
            && is.was.attributes == was.attributes
    });
    if let Kind::Link { .. } = was.kind {
        if !is_as_it_was {
            let (uid, gid) = (Some(was.uid.into()), Some(was.gid.into()));
            nix::unistd::fchownat(
                &place.folder,
                place.name.as_os_str(),
                uid,
                gid,
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )?;
        }
        return Ok(!is_as_it_was);
    }
    // The very file that was looked at, whatever is at the place by now.
    let file = is.and_then(|is| is.content.as_ref());
    if let (false, Some(file)) = (is_as_it_was, file) {
        replace::refuse_what_was_put_there(place, &fstat(file)?)?;
        fchown(file, Some(was.uid.into()), Some(was.gid.into()))?;
        give_attributes(file, was)?;
        fchmod(file, Mode::from_bits_truncate(was.mode))?;
    } else if !is_as_it_was {
        let (uid, gid) = (Some(was.uid), Some(was.gid));
        replace::set_attributes(place, Attributes { uid, gid, mode: None })?;
        if !matches!(was.kind, Kind::Special { .. }) {
            give_attributes(&open_to_sync(place)?, was)?;
        }
        // An access list carries mode bits of its own, so the mode is set last.
        replace::set_attributes(place, Attributes { mode: Some(was.mode), ..Attributes::default() })?;
    }
    let mut is_done = !is_as_it_was;
    if let Kind::File { content: Some(kept), .. } = &was.kind
        && is.is_some_and(|is| {
            let now = is.kept(String::new(), 0);
            (now.mtime_s, now.mtime_ns) != (kept.mtime_s, kept.mtime_ns)
        })
    {
        set_time(&open_to_sync(place)?, kept)?;
        is_done = true;
    }
    if is_done && !matches!(was.kind, Kind::Special { .. }) {
        open_to_sync(place)?.sync_all()?;
    }
    Ok(is_done)
}

fn open_to_sync(place: &Place) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(File::from(openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?))
}

/// Exactly these extended attributes.
fn give_attributes(file: &File, was: &Was) -> io::Result<()> {
    let is = attributes_of(file)?;
    for (name, _) in is.iter().filter(|(name, _)| !was.attributes.iter().any(|(kept, _)| kept == name)) {
        rustix::fs::fremovexattr(file, &name.0)?;
    }
    for (name, value) in was.attributes.iter().filter(|kept| !is.contains(kept)) {
        let value =
            bytes_of(value).ok_or_else(|| io::Error::other("an attribute of its backup is no hex"))?;
        rustix::fs::fsetxattr(file, &name.0, &value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

/// Gives a file the time of its last change of content; that of the last reading stays.
fn set_time(file: &File, kept: &Kept) -> io::Result<()> {
    let seconds = Duration::from_secs(kept.mtime_s.unsigned_abs());
    let nanoseconds = u64::try_from(kept.mtime_ns).map_err(io::Error::other)?.min(999_999_999);
    let second = match kept.mtime_s < 0 {
        true => UNIX_EPOCH.checked_sub(seconds),
        false => UNIX_EPOCH.checked_add(seconds),
    };
    let time = second.and_then(|second| second.checked_add(Duration::from_nanos(nanoseconds)));
    let time = time.ok_or_else(|| io::Error::other("there is no such time"))?;
    file.set_times(FileTimes::new().set_modified(time))
}

/// Replaces, or makes, the file at once.
fn write(place: &Place, was: &Was, kept: &Kept, content: &mut File) -> io::Result<()> {
    let mut hashed = Hashed { content, hasher: Sha256::new() };
    let owned = Owned { uid: was.uid, gid: was.gid, mode: was.mode };
    let beside = Beside::write(place, &mut hashed, owned, false)?;
    let result = finish(&beside, was, kept, &hex(&hashed.hasher.finalize()))
        .and_then(|()| beside.rename(&place.folder, &place.name));
    if result.is_err() {
        beside.discard(&place.folder);
    }
    result?;
    replace::sync_folder(&place.folder)
}

fn finish(beside: &Beside, was: &Was, kept: &Kept, digest: &str) -> io::Result<()> {
    if digest != kept.sha256 {
        return Err(io::Error::other("its backup is damaged"));
    }
    let file = beside.file();
    give_attributes(file, was)?;
    fchmod(file, Mode::from_bits_truncate(was.mode))?;
    set_time(file, kept)?;
    beside.sync()
}

/// Tells afterwards what was read.
struct Hashed<R> {
    content: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
