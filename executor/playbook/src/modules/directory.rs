//! `directory`: a directory is there, with these attributes, or is not there.

use std::path::{Path, PathBuf};

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::attributes::{AttributeFields, Wanted, drift};
use super::{Action, CheckContext, Failure, Module, Run, Scope, change, done};
use crate::fields::Fields;
use crate::system::{Attributes, FileKind, Metadata, SystemError};
use crate::template::Text;

#[derive(Debug)]
pub(super) struct Directory {
    path: Text,
    remove: Option<Text>,
    recurse: Option<Text>,
    attributes: AttributeFields,
}

impl Directory {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let path = fields.required_text("path");
        let (remove, recurse) = (fields.flag("remove"), fields.flag("recurse"));
        let attributes = AttributeFields::parse(fields);
        Some(Box::new(Self { path: path?, remove, recurse, attributes }))
    }
}

impl Module for Directory {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let remove = scope.flag(self.remove.as_ref())?.unwrap_or(false);
        let recurse = scope.flag(self.recurse.as_ref())?.unwrap_or(false);
        let (path, wanted) = (scope.path(&self.path)?, self.attributes.prepare(scope)?);
        Ok(Box::new(Prepared { path, remove, recurse, wanted }))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

struct Prepared {
    path: PathBuf,
    remove: bool,
    recurse: bool,
    wanted: Wanted,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        if self.remove { self.remove(run) } else { self.make(run) }
    }
}

impl Prepared {
    fn remove(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let Some(is) = run.system.link_metadata(&self.path)? else {
            return Ok(TaskResult::of(TaskStatus::Matched));
        };
        if is.kind != FileKind::Directory {
            return Err(format!("{} is not a directory", self.path.display()).into());
        }
        run.system.remove_directory(&self.path, self.recurse)?;
        Ok(TaskResult::of(TaskStatus::Removed))
    }

    fn make(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let wanted = self.wanted.resolve(run.system)?;
        let Some(is) = run.system.metadata(&self.path)? else {
            run.system.make_directory(&self.path, wanted)?;
            return Ok(TaskResult::of(TaskStatus::Created));
        };
        if is.kind != FileKind::Directory {
            return Err(format!("{} is not a directory", self.path.display()).into());
        }
        let (missing, mut changes) = drift(wanted, &is, run.system);
        if !changes.is_empty() {
            run.system.set_attributes(&self.path, missing)?;
        }
        if self.recurse {
            let inside = self.adjust_inside(wanted, run)?;
            if inside > 0 {
                changes.push(change("recurse", None, Some(format!("{inside} inside"))));
            }
        }
        let status = if changes.is_empty() { TaskStatus::Matched } else { TaskStatus::Modified };
        Ok(done(status, changes))
    }

    /// Sets the attributes of all that is inside and differs; links are left alone. Returns how many.
    fn adjust_inside(&self, wanted: Attributes, run: &mut Run<'_>) -> Result<usize, Failure> {
        let mut adjusted = 0;
        for entry in run.system.list_tree(&self.path)? {
            let Some(is) = own_metadata(run, &entry)? else { continue };
            let (missing, changes) = drift(wanted, &is, run.system);
            if changes.is_empty() {
                continue;
            }
            adjusted += 1;
            run.system.set_attributes(&entry, missing)?;
        }
        Ok(adjusted)
    }
}

/// What is at a path itself; `None` for a link, and for what has gone meanwhile.
fn own_metadata(run: &mut Run<'_>, path: &Path) -> Result<Option<Metadata>, SystemError> {
    Ok(run.system.link_metadata(path)?.filter(|is| is.kind != FileKind::Link))
}
