//! A package in a file: where it lies, what its name says, and how a tool gets to see it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::super::copy::find_source;
use super::super::{Failure, Run, Scope, change, done};
use super::{KIND, Manager, Order, installed};
use crate::system::{Attributes, Content, FileKind};
use crate::template::Text;

/// A package, bytes: it is read whole where a dry run only models that it is there.
const MAX_PACKAGE_BYTES: u64 = 64 * 1024 * 1024;
/// Where a package of the script's folder is laid while a tool works inside of a tree; nobody but root can put a link there.
const LAID_IN: &str = "/var/cache/keros-package";

/// Where a package lies.
#[derive(Debug)]
pub(super) enum Archive {
    /// In the script's own `files/`.
    Script(PathBuf),
    /// On the machine, below its root.
    Machine(PathBuf),
}

impl Archive {
    pub(super) fn prepare(src: &Text, scope: &Scope<'_>) -> Result<Self, String> {
        match scope.text(src)? {
            name if name.starts_with('/') => Ok(Self::Machine(name.into())),
            name => find_source(&name, "files", scope.folder).map(Self::Script),
        }
    }

    pub(super) fn path(&self) -> &Path {
        let (Self::Script(path) | Self::Machine(path)) = self;
        path
    }

    /// Refuses what is no file.
    pub(super) fn check(&self, run: &mut Run<'_>) -> Result<(), Failure> {
        if let Self::Machine(path) = self {
            let is = run.system.metadata(path)?.filter(|is| is.kind == FileKind::File);
            is.ok_or_else(|| format!("field (src): no such file: {}", path.display()))?;
        }
        Ok(())
    }

    pub(super) fn read(&self, run: &mut Run<'_>) -> Result<Vec<u8>, Failure> {
        let path = match self {
            Self::Machine(path) => return Ok(run.system.read(path, MAX_PACKAGE_BYTES)?),
            Self::Script(path) => path,
        };
        let mut bytes = Vec::new();
        let reading = |error| format!("cannot read {}: {error}", path.display());
        File::open(path)
            .map_err(reading)?
            .take(MAX_PACKAGE_BYTES)
            .read_to_end(&mut bytes)
            .map_err(reading)?;
        Ok(bytes)
    }

    /// Has a tool work on the package, by a path that it sees: one of the script's folder is laid into the tree for that time.
    fn with_path(
        &self,
        run: &mut Run<'_>,
        work: impl FnOnce(&str, &mut Run<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let path = self.path();
        let is_seen = match self {
            Self::Machine(_) => true,
            Self::Script(_) => {
                let content = Content::File(path);
                run.system.metadata(path)?.is_some() && run.system.holds(path, &content)?
            }
        };
        if is_seen {
            return work(text_of(path)?, run);
        }
        let folder = Path::new(LAID_IN);
        let laid = folder.join(path.file_name().unwrap_or_default());
        run.system.make_directory(folder, Attributes { mode: Some(0o700), ..Attributes::default() })?;
        run.system.put_file(&laid, &Content::File(path), Attributes::default(), 0o600)?;
        let result = text_of(&laid).and_then(|path| work(path, run));
        run.system.remove_directory(folder, true)?;
        result
    }

    /// Installs the package where another version, or none, is installed.
    pub(super) fn place(
        &self,
        manager: &dyn Manager,
        (name, version): (&str, &str),
        run: &mut Run<'_>,
        work: impl FnOnce(&str, &mut Run<'_>) -> Result<(), Failure>,
    ) -> Result<TaskResult, Failure> {
        let before = installed(manager, name, run)?.filter(|is| is.is_whole).map(|is| is.version);
        if before.as_deref().is_some_and(|before| manager.fits(before, version)) {
            return Ok(TaskResult::of(TaskStatus::Matched));
        }
        manager.tell_upcoming(name, Order::File, run)?;
        if run.dry_run {
            run.imagined.set(KIND, name, version);
        } else {
            self.with_path(run, work)?;
        }
        let status = if before.is_some() { TaskStatus::Modified } else { TaskStatus::Created };
        Ok(done(status, vec![change("version", before, Some(version.to_owned()))]))
    }
}

fn text_of(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| format!("field (src): {} is not UTF-8 text", path.display()).into())
}
