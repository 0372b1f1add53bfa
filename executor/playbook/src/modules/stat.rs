//! `stat`: what is at a path, saved as a variable.

use std::path::PathBuf;

use keros_protocol::executor::{TaskResult, TaskStatus};
use serde_json::json;

use super::attributes::shown_mode;
use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;
use crate::system::FileKind;
use crate::template::Text;

#[derive(Debug)]
pub(super) struct Stat {
    path: Text,
    save: Text,
}

impl Stat {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let (path, save) = (fields.required_text("path"), fields.required_text("save"));
        Some(Box::new(Self { path: path?, save: save? }))
    }
}

impl Module for Stat {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        Ok(Box::new(Prepared { path: scope.path(&self.path)?, save: scope.word(&self.save)? }))
    }

    fn saves(&self, scope: &Scope<'_>) -> Vec<String> {
        scope.word(&self.save).into_iter().collect()
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

struct Prepared {
    path: PathBuf,
    save: String,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let found = run.system.metadata(&self.path)?;
        let value = json!({
            "exists": found.is_some(),
            "is_dir": found.is_some_and(|is| is.kind == FileKind::Directory),
            "mode": found.map(|is| shown_mode(is.mode)),
            "owner": found.map(|is| run.system.user_name(is.uid)),
            "group": found.map(|is| run.system.group_name(is.gid)),
        });
        run.variables.store(&self.save, value)?;
        Ok(TaskResult::of(TaskStatus::Passive))
    }
}
