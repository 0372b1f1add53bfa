//! Owner, group and mode of what git made.

use std::path::Path;

use keros_protocol::executor::Change;

use super::super::attributes::{Wanted, drift};
use super::super::{Failure, Run, change};
use super::is_gits;
use crate::system::FileKind;

/// Sets the attributes of the folder and all in it that differs. Links are left alone, and so is `.git`: whoever owns it decides what
/// the next run of git starts as root.
pub(super) fn adjust(repository: &Path, wanted: &Wanted, run: &mut Run<'_>) -> Result<Vec<Change>, Failure> {
    let wanted = wanted.resolve(run.system)?;
    if wanted == crate::system::Attributes::default() {
        return Ok(Vec::new());
    }
    let mut changes = Vec::new();
    let mut inside = 0_usize;
    let entries = run.system.list_tree(repository)?;
    for path in [repository.to_owned()].into_iter().chain(entries).filter(|path| !is_gits(repository, path)) {
        let Some(is) = run.system.link_metadata(&path)?.filter(|is| is.kind != FileKind::Link) else {
            continue;
        };
        let (missing, differences) = drift(wanted, &is, run.system);
        if differences.is_empty() {
            continue;
        }
        if path == repository {
            changes = differences;
        } else {
            inside += 1;
        }
        run.system.set_attributes(&path, missing)?;
    }
    if inside > 0 {
        changes.push(change("attributes", None, Some(format!("{inside} inside"))));
    }
    Ok(changes)
}
