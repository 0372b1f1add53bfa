//! Room for what jobs put aside to be undone: bounded for one job and for all together; the oldest goes first.

use std::io;
use std::path::Path;

use keros_platform::{Disk, Open};
use keros_protocol::RefusalReason;
use keros_protocol::eligibility::Refusal;

use super::{KEPT_FREE_BYTES, State};
use crate::exit::Failure;
use crate::settings::BoundSettings;

/// Makes room for a job that may put so much aside; `None`: it changes nothing. Only for the holder of the lock, when every job has its end.
///
/// # Errors
/// The inner one is the refusal.
pub(crate) fn make_room(
    state: &State,
    bounds: &BoundSettings,
    wanted: Option<u64>,
) -> Result<Result<(), Refusal>, Failure> {
    let Some(wanted) = wanted else { return Ok(Ok(())) };
    if wanted > bounds.backup_bytes() {
        let detail = format!(
            "to undo this job {wanted} bytes would have to be put aside, at most {} are allowed: split it, or raise \
             --backup-mib of the executor",
            bounds.backup_bytes()
        );
        return Ok(Err(Refusal::new(RefusalReason::NoSpace, detail)));
    }
    let disk = state.disk();
    let mut kept = Vec::new();
    for job in state.jobs()? {
        let bytes = size(disk, &job.backup_folder()).map_err(Failure::io("measure the backups"))?;
        kept.push((job, bytes));
    }
    let mut total: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
    let has_room = |total: u64| {
        let free = state.host().free_bytes(state.folder()).unwrap_or(u64::MAX);
        total.saturating_add(wanted) <= bounds.backups_bytes()
            && free >= wanted.saturating_add(KEPT_FREE_BYTES)
    };
    for (job, bytes) in kept.into_iter().filter(|(_, bytes)| *bytes > 0) {
        if has_room(total) {
            break;
        }
        job.forget_backup()?;
        total = total.saturating_sub(bytes);
    }
    if has_room(total) {
        return Ok(Ok(()));
    }
    let detail = format!(
        "to undo this job {wanted} bytes may have to be put aside, and {KEPT_FREE_BYTES} more stay free; the disk of {} \
         has no such room",
        state.folder().display()
    );
    Ok(Err(Refusal::new(RefusalReason::NoSpace, detail)))
}

/// Bytes of a folder of files; 0 when it is absent.
fn size(disk: &dyn Disk, folder: &Path) -> io::Result<u64> {
    let names = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names?,
    };
    let mut bytes = 0_u64;
    for name in names {
        let path = folder.join(name);
        let length = match disk.look_at(&path) {
            Ok(found) if found.is_folder => size(disk, &path)?,
            Ok(_) => disk.open(&path, Open::Read)?.length()?,
            Err(_) => 0,
        };
        bytes = bytes.saturating_add(length);
    }
    Ok(bytes)
}
