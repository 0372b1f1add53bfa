//! The home of a user: made from `/etc/skel`, or removed when that harms nobody else.

use std::path::{Path, PathBuf};

use super::super::Failure;
use super::database::Database;
use crate::system::{Attributes, Content, FileKind, System};

const SKELETON: &str = "/etc/skel";
/// Where a user's home stands in a line of `/etc/passwd`.
pub(super) const HOME: usize = 5;

/// What is to be done beside the files of accounts.
pub(super) enum HomeWork {
    None,
    Make { path: PathBuf, uid: u32, gid: u32, mode: u32 },
    Remove(PathBuf),
}

impl HomeWork {
    pub(super) fn carry_out(self, system: &mut dyn System) -> Result<(), Failure> {
        match self {
            Self::None => Ok(()),
            Self::Remove(path) => Ok(system.remove_directory(&path, true)?),
            Self::Make { path, uid, gid, mode } => {
                // One that is there is somebody's: it is left as it is.
                if system.metadata(&path)?.is_some() {
                    return Ok(());
                }
                let owned = |mode| Attributes { uid: Some(uid), gid: Some(gid), mode: Some(mode) };
                system.make_directory(&path, owned(mode))?;
                fill(&path, owned, system)
            }
        }
    }

    /// The removal of a user's home.
    ///
    /// # Errors
    /// When it is not plainly the user's own alone.
    pub(super) fn removal(user: &str, database: &Database, system: &mut dyn System) -> Result<Self, Failure> {
        let fields = database.passwd.fields(user).unwrap_or_default();
        let (Some(home), Some(uid)) = (fields.get(HOME), database.passwd.id(user)) else {
            return Ok(Self::None);
        };
        let refuse = |why: &str| {
            let message = format!("the home {home:?} of {user} is not removed: {why} (leave out `cleanup`)");
            Err(message.into())
        };
        if !is_clean(home) {
            return refuse("it is no plain path");
        }
        let path = Path::new(home);
        let mut others = database.passwd.column(HOME).filter(|(name, _)| *name != user);
        if let Some((other, _)) = others.find(|(_, other)| Path::new(other).starts_with(path)) {
            return refuse(&format!("the home of {other} is there too"));
        }
        let Some(is) = system.link_metadata(path)? else { return Ok(Self::None) };
        if is.kind != FileKind::Directory {
            return refuse("it is no directory");
        }
        if is.uid != uid {
            return refuse("it belongs to another user");
        }
        Ok(Self::Remove(path.to_owned()))
    }
}

/// An absolute path below the root, with nothing in it that leads elsewhere.
pub(super) fn is_clean(path: &str) -> bool {
    let Some(parts) = path.strip_prefix('/') else { return false };
    parts.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn fill(home: &Path, owned: impl Fn(u32) -> Attributes, system: &mut dyn System) -> Result<(), Failure> {
    if system.metadata(Path::new(SKELETON))?.is_none() {
        return Ok(());
    }
    // What lies deeper comes later in the list.
    for entry in system.list_tree(Path::new(SKELETON))? {
        let Some(is) = system.link_metadata(&entry)? else { continue };
        let to = home.join(entry.strip_prefix(SKELETON).unwrap_or(&entry));
        match is.kind {
            FileKind::Directory => system.make_directory(&to, owned(is.mode))?,
            FileKind::File => system.put_file(&to, &Content::Machine(&entry), owned(is.mode), is.mode)?,
            FileKind::Link => {
                if let Some(target) = system.read_link(&entry)? {
                    system.make_link(&to, &target)?;
                }
            }
            FileKind::Other => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_may_be_removed_has_a_plain_path() {
        for path in ["/home/bob", "/srv/x"] {
            assert!(is_clean(path), "{path}");
        }
        for path in ["", "/", "//", "home", "/home/", "/home/../etc", "/./home", "/home//bob"] {
            assert!(!is_clean(path), "{path}");
        }
    }
}
