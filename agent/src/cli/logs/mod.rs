//! `keros-agent logs`: what agent and executor have logged, together.
//!
//! Who may read the system's journal reads it directly. The group `keros` may not, and is not let: the journal has the lines of all
//! services. It asks the socket [`SOCKET`], behind which systemd starts this same program (`logs --serve`) as a user of no other use, that
//! may read the journal, and tells of our two programs alone. The daemon, which the network reaches, reads no journal.

mod ask;
mod request;
mod serve;
mod syslog;
mod text;

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use keros_service::journal::Entry;

pub(super) use ask::LogsError;
pub(super) use serve::serve;

use super::{Failure, print_on};
use crate::arguments::Logs;
use request::Request;

/// Where the group `keros` asks.
const SOCKET: &str = "/run/keros-logs.sock";
/// The marks of a system that has a journal, and the folders of its files.
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// Prints them.
pub(super) fn logs(what: &Logs) -> Result<(), Failure> {
    let request = Request::of(what)?;
    let mut show = |entry: &Entry| {
        let line = match what.format.json {
            true => serde_json::to_string(entry).unwrap_or_default() + "\n",
            false => text::line(entry, request.job.is_some()),
        };
        print_on(&line)
    };
    if !JOURNALS.iter().any(|folder| Path::new(folder).is_dir()) {
        return Ok(syslog::read(&request, &mut show)?);
    }
    if may_read_the_journal() {
        return Ok(ask::journal(&request, &mut show)?);
    }
    match UnixStream::connect(SOCKET) {
        Ok(stream) => Ok(ask::service(stream, &request, &mut show)?),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(LogsError::NotAllowed.into()),
        Err(error) => Err(LogsError::NoService(error).into()),
    }
}

/// Whether the file with the system's own lines can be read: by root, and by members of `systemd-journal` and `adm`.
fn may_read_the_journal() -> bool {
    let folders = JOURNALS.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut files = folders.flatten().flatten().map(|entry| entry.path().join("system.journal"));
    files.any(|file: PathBuf| std::fs::File::open(file).is_ok())
}
