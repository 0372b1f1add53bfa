//! Decides what of an archive may be unpacked. Knows names and numbers only, and touches nothing.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::entry::{Admitted, AdmittedKind, Entry, Kind, refuse};
use crate::system::MAX_TREE_ENTRIES;

/// All names of an archive together, bytes: they are held in memory.
const MAX_NAMES_BYTES: usize = 8 * 1024 * 1024;
/// One name or target of a link, and one part of it, bytes: what Linux allows.
const MAX_NAME_BYTES: usize = 4095;
const MAX_PART_BYTES: usize = 255;
/// All content, bytes.
const MAX_TOTAL_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Content that any archive may have, bytes, and how many times its own size beyond that.
const FREE_BYTES: u64 = 16 * 1024 * 1024;
const MAX_RATIO: u64 = 250;

/// What a name is already used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its mode where the archive states it.
    Directory(Option<u32>),
    File {
        size: u64,
    },
    Link,
}

/// The names and sizes of an archive so far.
pub(super) struct Checker {
    strip: usize,
    known: HashMap<PathBuf, Known>,
    entries: usize,
    names_bytes: usize,
    total_bytes: u64,
    total_limit: u64,
}

impl Checker {
    pub(super) fn new(strip: u32) -> Self {
        let strip = usize::try_from(strip).unwrap_or(usize::MAX);
        Self { strip, known: HashMap::new(), entries: 0, names_bytes: 0, total_bytes: 0, total_limit: 0 }
    }

    /// An archive of this length begins.
    pub(super) fn begin(&mut self, archive_bytes: u64) {
        let by_ratio = archive_bytes.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES);
        self.total_limit = by_ratio.min(MAX_TOTAL_BYTES);
    }

    /// The most that may come out of the archive, bytes.
    pub(super) const fn total_limit(&self) -> u64 {
        self.total_limit
    }

    /// The mode that the archive gives a directory, if it does.
    pub(super) fn directory_mode(&self, path: &Path) -> Option<u32> {
        match self.known.get(path) {
            Some(Known::Directory(mode)) => *mode,
            _ => None,
        }
    }

    /// An entry to unpack; `None` for one that there is nothing to do about, such as the topmost directory.
    ///
    /// # Errors
    /// Why the archive must not be unpacked.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<Option<Admitted>, String> {
        let refused = |why: &str| refuse(&entry.name, why);
        self.count(entry)?;
        let parts = parts_of(&entry.name).map_err(|why| refused(&why))?;
        let parts = parts.get(self.strip..).unwrap_or_default();
        if parts.is_empty() {
            return match entry.kind {
                Kind::Directory => Ok(None),
                _ => Err(refused("`strip` leaves nothing of its name")),
            };
        }
        // A sticky directory is harmless.
        let allowed = if matches!(entry.kind, Kind::Directory) { 0o1777 } else { 0o777 };
        if entry.mode & 0o7777 & !allowed != 0 {
            return Err(refused(
                "it has set-id bits: programs that take another user's rights are not unpacked",
            ));
        }
        let (kind, known) = self.kind_of(entry, parts.len() - 1).map_err(|why| refused(&why))?;
        let path: PathBuf = parts.iter().map(|part| OsStr::from_bytes(part)).collect();
        self.add_folders_above(&path).map_err(|why| refused(&why))?;
        match (self.known.insert(path.clone(), known), known) {
            (None | Some(Known::Directory(None)), Known::Directory(_)) | (None, _) => {}
            (Some(Known::Directory(_)), Known::Directory(_)) => {}
            _ => return Err(refused("its name is there twice")),
        }
        Ok(Some(Admitted { path, kind, mode: entry.mode & 0o1777 }))
    }

    fn count(&mut self, entry: &Entry) -> Result<(), String> {
        self.entries += 1;
        if self.entries > MAX_TREE_ENTRIES {
            return Err(format!("the archive has more than {MAX_TREE_ENTRIES} entries"));
        }
        let target = match &entry.kind {
            Kind::Link(target) | Kind::HardLink(target) => target.len(),
            _ => 0,
        };
        self.names_bytes += entry.name.len() + target;
        if self.names_bytes > MAX_NAMES_BYTES {
            return Err(format!("the archive has more than {MAX_NAMES_BYTES} bytes of names"));
        }
        Ok(())
    }

    fn kind_of(&mut self, entry: &Entry, depth: usize) -> Result<(AdmittedKind, Known), String> {
        match &entry.kind {
            Kind::Directory => Ok((AdmittedKind::Directory, Known::Directory(Some(entry.mode & 0o1777)))),
            Kind::File { size } => {
                self.charge(*size)?;
                Ok((AdmittedKind::File { size: *size }, Known::File { size: *size }))
            }
            Kind::Link(target) => {
                check_target(target, depth)?;
                Ok((AdmittedKind::Link(OsStr::from_bytes(target).into()), Known::Link))
            }
            Kind::HardLink(target) => {
                let parts = parts_of(target)?;
                let parts = parts.get(self.strip..).unwrap_or_default();
                let path: PathBuf = parts.iter().map(|part| OsStr::from_bytes(part)).collect();
                let Some(Known::File { size }) = self.known.get(&path).copied() else {
                    return Err("a hard link to something that is no earlier file of the archive".to_owned());
                };
                self.charge(size)?;
                Ok((AdmittedKind::CopyOf(path), Known::File { size }))
            }
        }
    }

    fn charge(&mut self, size: u64) -> Result<(), String> {
        self.total_bytes = self.total_bytes.saturating_add(size);
        if self.total_bytes > self.total_limit {
            return Err(too_much(self.total_limit));
        }
        Ok(())
    }

    /// The directories that a name needs. Nothing else may have one of their names: a link there would lead away.
    fn add_folders_above(&mut self, path: &Path) -> Result<(), String> {
        let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        for folder in above {
            match self.known.get(folder) {
                // Then those above it are known too.
                Some(Known::Directory(_)) => return Ok(()),
                Some(_) => return Err("it lies below an entry that is no directory".to_owned()),
                None => {
                    self.names_bytes += folder.as_os_str().len();
                    if self.names_bytes > MAX_NAMES_BYTES {
                        return Err(format!("more than {MAX_NAMES_BYTES} bytes of names"));
                    }
                    self.known.insert(folder.to_owned(), Known::Directory(None));
                }
            }
        }
        Ok(())
    }
}

/// What is said when more comes out of an archive than may.
pub(super) fn too_much(limit: u64) -> String {
    format!(
        "the archive holds more than {limit} bytes, which is too much, or too much for one of its size: \
         at most {MAX_RATIO} times that and {FREE_BYTES} more, and {MAX_TOTAL_BYTES} in all"
    )
}

/// The parts of a name that stays where it is.
fn parts_of(name: &[u8]) -> Result<Vec<&[u8]>, String> {
    if name.len() > MAX_NAME_BYTES {
        return Err("its name is too long".to_owned());
    }
    if name.first() == Some(&b'/') {
        return Err("its name begins with /".to_owned());
    }
    if name.contains(&0) {
        return Err("a NUL character in its name".to_owned());
    }
    let parts: Vec<_> =
        name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&b"..".as_slice()) {
        return Err("`..` in its name".to_owned());
    }
    if parts.iter().any(|part| part.len() > MAX_PART_BYTES) {
        return Err("a part of its name is too long".to_owned());
    }
    Ok(parts)
}

/// A link may only lead to a place below the destination. A `..` after a name could follow another link first, and so climb
/// further than it seems; at the beginning it means directories, since no entry lies below a link.
fn check_target(target: &[u8], depth: usize) -> Result<(), String> {
    if target.is_empty() || target.len() > MAX_NAME_BYTES || target.contains(&0) {
        return Err("a link that leads nowhere".to_owned());
    }
    let parts: Vec<_> =
        target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    let up = parts.iter().take_while(|part| **part == b"..").count();
    if target.first() == Some(&b'/') || up > depth || parts[up..].contains(&b"..".as_slice()) {
        return Err("a link that leads, or might lead, out of the directory".to_owned());
    }
    Ok(())
}
