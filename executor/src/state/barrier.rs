//! Moments that stand for records that are gone: whatever was issued before them may have been started, so it never is.

use std::path::{Path, PathBuf};

use keros_platform::Disk;
use keros_protocol::eligibility::Refusal;
use keros_protocol::{RefusalReason, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::State;
use super::started::{Record, Started};
use crate::exit::Failure;

/// The file's content. A field that is absent is a moment that never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Moments {
    /// The record was found damaged.
    damaged_at_unix_s: UnixSeconds,
    /// The newest of the ids that were forgotten for their age was issued then.
    forgotten_until_unix_s: UnixSeconds,
}

/// May this command, whose id has no record, be started? Sets a damaged record aside and shortens one that is too long.
/// Only for the holder of the lock.
///
/// # Errors
/// The inner one is the refusal.
pub(crate) fn check(state: &State, command: Record) -> Result<Result<(), Refusal>, Failure> {
    let path = state.folder().join("refuse-issued-before");
    let disk = state.disk();
    let (mut moments, readable) = read(disk, &path)?;
    let mut started = Started::read(disk, &state.started_path())?;
    if started.damaged || !readable {
        // The clock may be wrong, but the time is not before any command that was issued.
        let newest = state.host().now_unix_s().max(started.newest_issued()).max(command.issued_at_unix_s);
        moments.damaged_at_unix_s = moments.damaged_at_unix_s.max(newest);
        write(disk, &path, moments)?;
    }
    if started.damaged {
        set_aside(disk, &state.started_path(), moments.damaged_at_unix_s)?;
    } else if let Some(until) = started.forget_older_half() {
        // The moment first: it stands for the records that are dropped then.
        moments.forgotten_until_unix_s = moments.forgotten_until_unix_s.max(until);
        write(disk, &path, moments)?;
        started.write(disk, &state.started_path())?;
    }
    Ok(judge(moments, command))
}

fn judge(moments: Moments, command: Record) -> Result<(), Refusal> {
    let issued = command.issued_at_unix_s;
    if issued <= moments.damaged_at_unix_s {
        let detail = format!(
            "the record of started commands was damaged at {}; this command was issued before that (at {issued}) and may \
             have been started already: send it again as a new update",
            moments.damaged_at_unix_s
        );
        return Err(Refusal::new(RefusalReason::JournalDamaged, detail));
    }
    if issued <= moments.forgotten_until_unix_s {
        let detail = format!(
            "the record of started commands begins at {}, and this command was issued before that (at {issued})",
            moments.forgotten_until_unix_s
        );
        return Err(Refusal::new(RefusalReason::Expired, detail));
    }
    Ok(())
}

/// The moments, and whether the file could be read. An absent file says that there were none.
fn read(disk: &dyn Disk, path: &Path) -> Result<(Moments, bool), Failure> {
    if !disk.exists(path).map_err(Failure::io(format!("look at {}", path.display())))? {
        return Ok((Moments::default(), true));
    }
    let moments = disk.read_text(path, 4096).and_then(|text| serde_json::from_str(&text).ok());
    Ok((moments.unwrap_or_default(), moments.is_some()))
}

fn write(disk: &dyn Disk, path: &Path, moments: Moments) -> Result<(), Failure> {
    let failure = Failure::io(format!("write {}", path.display()));
    match serde_json::to_string(&moments) {
        Ok(json) => disk.write_atomically(path, json.as_bytes()).map_err(failure),
        Err(error) => Err(failure(error.into())),
    }
}

/// Keeps the damaged file under another name, for whoever wants to know what happened, and begins a new one.
fn set_aside(disk: &dyn Disk, path: &Path, moment: UnixSeconds) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{moment}"));
    match disk.rename(path, &PathBuf::from(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::io(format!("set {} aside", path.display()))(error));
        }
        _ => {}
    }
    Started::create_if_absent(disk, path)
}
