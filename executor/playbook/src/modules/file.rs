//! `file`: an ordinary file is there, with these attributes, or is not there.

use std::path::PathBuf;

use keros_protocol::executor::{TaskResult, TaskStatus};

use super::attributes::{AttributeFields, Wanted, drift};
use super::{Action, CheckContext, Failure, Module, Run, Scope, done, is_folder_name, refuse_folder_name};
use crate::fields::Fields;
use crate::system::{Content, FileKind};
use crate::template::Text;

#[derive(Debug)]
pub(super) struct File {
    path: Text,
    remove: Option<Text>,
    attributes: AttributeFields,
}

impl File {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let path = fields.required_text("path");
        let remove = fields.flag("remove");
        let attributes = AttributeFields::parse(fields);
        Some(Box::new(Self { path: path?, remove, attributes }))
    }
}

impl Module for File {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let remove = scope.flag(self.remove.as_ref())?.unwrap_or(false);
        let (path, wanted) = (scope.path(&self.path)?, self.attributes.prepare(scope)?);
        Ok(Box::new(Prepared { path, remove, wanted }))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

struct Prepared {
    path: PathBuf,
    remove: bool,
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
        self.refuse_directory(is.kind)?;
        if is_folder_name(&self.path) {
            return Ok(TaskResult::of(TaskStatus::Matched));
        }
        run.system.remove_file(&self.path)?;
        Ok(TaskResult::of(TaskStatus::Removed))
    }

    fn make(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let wanted = self.wanted.resolve(run.system)?;
        let Some(is) = run.system.metadata(&self.path)? else {
            refuse_folder_name(&self.path)?;
            run.system.put_file(&self.path, &Content::Bytes(b""), wanted, 0o644)?;
            return Ok(TaskResult::of(TaskStatus::Created));
        };
        self.refuse_directory(is.kind)?;
        refuse_folder_name(&self.path)?;
        let (missing, changes) = drift(wanted, &is, run.system);
        if changes.is_empty() {
            return Ok(TaskResult::of(TaskStatus::Matched));
        }
        run.system.set_attributes(&self.path, missing)?;
        Ok(done(TaskStatus::Modified, changes))
    }

    fn refuse_directory(&self, kind: FileKind) -> Result<(), Failure> {
        if kind == FileKind::Directory {
            return Err(format!("{} is a directory", self.path.display()).into());
        }
        Ok(())
    }
}
