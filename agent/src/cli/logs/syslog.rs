//! Where there is no journal (KerOS 5): the lines of our programs in the file of the system's log. It has neither fields nor a form that
//! could be relied on, so lines are shown as they are.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use keros_service::journal::Entry;

use super::LogsError;
use super::ask::Take;
use super::request::Request;

/// Where BusyBox's syslogd, and others, write to.
const FILES: [&str; 2] = ["/var/log/messages", "/var/log/syslog"];
/// A longer line is passed over in pieces, bytes.
const MAX_LINE_BYTES: u64 = 8192;

/// Reads the first of the files that is there; following is left to `tail -f`.
pub(super) fn read(request: &Request, take: Take<'_>) -> Result<(), LogsError> {
    let found = FILES.iter().find(|path| std::path::Path::new(path).exists());
    let path = found.ok_or_else(|| LogsError::NoSyslog(FILES.join(" or ")))?;
    if request.follow || request.since_unix_s.is_some() || request.priority.is_some() {
        let text = format!("without a journal only --job and --lines can be had here: tail -f {path}");
        return Err(LogsError::Service(text));
    }
    let wanted = request.job.as_ref().map(|job| format!("job={job}"));
    let mut lines = std::collections::VecDeque::new();
    let mut reader = BufReader::new(File::open(path)?);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&bytes);
        let is_ours = line.contains("keros-agent") || line.contains("keros-executor");
        if is_ours && wanted.as_ref().is_none_or(|job| line.contains(job)) {
            lines.push_back(line.trim_end().to_owned());
            while request.lines.is_some_and(|count| lines.len() > count) {
                lines.pop_front();
            }
        }
    }
    for message in lines {
        if !take(&Entry { message, priority: 6, ..Entry::default() }) {
            break;
        }
    }
    Ok(())
}
