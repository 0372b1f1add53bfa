//! Compares what an archive holds with what is in the directory, and writes what differs.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::check::Checker;
use super::entry::{Admitted, AdmittedKind};
use crate::modules::attributes::drift;
use crate::system::{Attributes, Content, FileKind, Metadata, Stream, System, SystemError};

/// Of directories that no entry describes.
const FOLDER_MODE: u32 = 0o755;

/// What is to be done about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// There is nothing yet.
    Missing,
    Content,
    /// Only owner, group or mode.
    Attributes(Attributes),
}

/// What differs, and how much.
pub(super) struct Comparison<'d> {
    dest: &'d Path,
    has_dest: bool,
    /// Owner and group are for all that is made; the mode is for files.
    wanted: Attributes,
    differences: HashMap<PathBuf, Difference>,
    /// Directories below the destination that are there, and through which no link leads.
    safe_folders: HashSet<PathBuf>,
    pub(super) created: usize,
    pub(super) modified: usize,
    pub(super) matched: usize,
}

impl<'d> Comparison<'d> {
    pub(super) fn new(dest: &'d Path, has_dest: bool, wanted: Attributes) -> Self {
        Self {
            dest,
            has_dest,
            wanted,
            differences: HashMap::new(),
            safe_folders: HashSet::new(),
            created: 0,
            modified: 0,
            matched: 0,
        }
    }

    /// There is nothing to write.
    pub(super) fn is_equal(&self) -> bool {
        self.has_dest && self.differences.is_empty()
    }

    /// Looks at one entry's place; changes nothing.
    pub(super) fn compare(
        &mut self,
        entry: &Admitted,
        content: &mut dyn Read,
        system: &mut dyn System,
    ) -> Result<(), SystemError> {
        let difference = if self.has_folders_above(&entry.path, system)? {
            self.difference(entry, content, system)?
        } else {
            Some(Difference::Missing)
        };
        match difference {
            None => self.matched += 1,
            Some(Difference::Missing) => self.created += 1,
            Some(_) => self.modified += 1,
        }
        if let Some(difference) = difference {
            self.differences.insert(entry.path.clone(), difference);
        }
        Ok(())
    }

    /// Whether all directories above an entry are there. A link among them would lead elsewhere, so it is refused.
    fn has_folders_above(&mut self, path: &Path, system: &mut dyn System) -> Result<bool, SystemError> {
        if !self.has_dest {
            return Ok(false);
        }
        for folder in folders_above(path) {
            if self.safe_folders.contains(folder) {
                continue;
            }
            if !is_folder(&self.dest.join(folder), system)? {
                return Ok(false);
            }
            self.safe_folders.insert(folder.to_owned());
        }
        Ok(true)
    }

    fn difference(
        &self,
        entry: &Admitted,
        content: &mut dyn Read,
        system: &mut dyn System,
    ) -> Result<Option<Difference>, SystemError> {
        let path = self.dest.join(&entry.path);
        let Some(is) = system.link_metadata(&path)? else { return Ok(Some(Difference::Missing)) };
        match (&entry.kind, is.kind) {
            // One that is there is left as it is: it may belong to others too.
            (AdmittedKind::Directory, FileKind::Directory) => Ok(None),
            (AdmittedKind::Directory, _) => Err(in_the_way(&path, "no directory")),
            (_, FileKind::Directory) => Err(in_the_way(&path, "a directory")),
            (_, FileKind::Other) => Err(in_the_way(&path, "a device, socket or pipe")),
            (AdmittedKind::Link(target), FileKind::Link) => {
                let same = system.read_link(&path)?.as_ref() == Some(target);
                Ok(if same { None } else { Some(Difference::Content) })
            }
            (AdmittedKind::File { size }, FileKind::File) => {
                let stream = Stream::new(content, *size);
                let same = system.holds(&path, &Content::Stream(&stream))?;
                Ok(if same { self.attributes_differ(entry, &is, system) } else { Some(Difference::Content) })
            }
            (AdmittedKind::CopyOf(first), FileKind::File) => {
                let first_differs =
                    matches!(self.differences.get(first), Some(Difference::Missing | Difference::Content));
                let same =
                    !first_differs && system.holds(&path, &Content::Machine(&self.dest.join(first)))?;
                Ok(if same { self.attributes_differ(entry, &is, system) } else { Some(Difference::Content) })
            }
            _ => Ok(Some(Difference::Content)),
        }
    }

    fn attributes_differ(
        &self,
        entry: &Admitted,
        is: &Metadata,
        system: &mut dyn System,
    ) -> Option<Difference> {
        let (missing, changes) = drift(self.file_attributes(entry), is, system);
        if changes.is_empty() { None } else { Some(Difference::Attributes(missing)) }
    }

    fn file_attributes(&self, entry: &Admitted) -> Attributes {
        Attributes { mode: self.wanted.mode.or(Some(entry.mode)), ..self.wanted }
    }

    /// Writes one entry, if it differed.
    pub(super) fn write(
        &self,
        entry: &Admitted,
        content: &mut dyn Read,
        checked: &Checker,
        system: &mut dyn System,
    ) -> Result<(), SystemError> {
        let Some(difference) = self.differences.get(&entry.path) else { return Ok(()) };
        for folder in folders_above(&entry.path) {
            self.make_folder(folder, checked, system)?;
        }
        let (path, attributes) = (self.dest.join(&entry.path), self.file_attributes(entry));
        if let Difference::Attributes(missing) = difference {
            return system.set_attributes(&path, *missing);
        }
        let is_file = matches!(entry.kind, AdmittedKind::File { .. } | AdmittedKind::CopyOf(_));
        if is_file && system.link_metadata(&path)?.is_some_and(|is| is.kind == FileKind::Link) {
            // To write to it would change what it leads to.
            system.remove_file(&path)?;
        }
        match &entry.kind {
            AdmittedKind::Directory => self.make_folder(&entry.path, checked, system),
            AdmittedKind::Link(target) => system.make_link(&path, target),
            AdmittedKind::File { size } => {
                let stream = Stream::new(content, *size);
                system.put_file(&path, &Content::Stream(&stream), attributes, entry.mode)
            }
            AdmittedKind::CopyOf(first) => {
                let first = self.dest.join(first);
                system.put_file(&path, &Content::Machine(&first), attributes, entry.mode)
            }
        }
    }

    fn make_folder(
        &self,
        folder: &Path,
        checked: &Checker,
        system: &mut dyn System,
    ) -> Result<(), SystemError> {
        let path = self.dest.join(folder);
        if self.safe_folders.contains(folder) || is_folder(&path, system)? {
            return Ok(());
        }
        let mode = checked.directory_mode(folder).unwrap_or(FOLDER_MODE);
        system.make_directory(&path, Attributes { mode: Some(mode), ..self.wanted })
    }
}

/// The directories above a path, from the top.
fn folders_above(path: &Path) -> Vec<&Path> {
    let mut above: Vec<_> = path.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty()).collect();
    above.reverse();
    above
}

/// Whether a directory is there; false: nothing is.
fn is_folder(path: &Path, system: &mut dyn System) -> Result<bool, SystemError> {
    match system.link_metadata(path)?.map(|is| is.kind) {
        None => Ok(false),
        Some(FileKind::Directory) => Ok(true),
        Some(FileKind::Link) => Err(in_the_way(path, "a link, and nothing is unpacked through one")),
        Some(_) => Err(in_the_way(path, "no directory")),
    }
}

fn in_the_way(path: &Path, what: &str) -> SystemError {
    SystemError::text(format!("{} is in the way: it is {what}", path.display()))
}
