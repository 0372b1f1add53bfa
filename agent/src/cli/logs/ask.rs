//! The two ways to the lines: the journal itself, and the service that reads it for the group `keros`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use keros_service::journal::{self, Entry, Reader};
use serde::{Deserialize, Serialize};

use super::request::Request;

/// A longer answer of the service is none, bytes: a message has 4 KiB, each byte at most six in JSON.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Why there are no lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    /// Neither the journal's files nor the service are for this user.
    #[error("you may not read the log")]
    NotAllowed,
    /// systemd does not listen there.
    #[error("you may not read the journal itself, and the service that reads it for you does not answer")]
    NoService(#[source] io::Error),
    /// No line of the journal names such a job.
    #[error(
        "no line is about a job whose id begins with {0:?}; `keros-agent jobs` lists those that are kept"
    )]
    NoSuchJob(String),
    /// More than one.
    #[error("{1} jobs have ids that begin with {0:?}: give more of it")]
    Ambiguous(String, usize),
    /// Where there is no journal.
    #[error("there is no journal here, and no {0}: where the system's log goes is set in its syslogd")]
    NoSyslog(String),
    /// What the service says, or that it cannot be understood.
    #[error("{0}")]
    Service(String),
    /// The journal or the socket.
    #[error("the log cannot be read")]
    Io(#[from] io::Error),
}

/// A line of the service's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// An entry.
    Entry(Entry),
    /// The end, before its time.
    Error(String),
}

/// Takes entries; `false`: nobody wants more.
pub(super) type Take<'t> = &'t mut dyn FnMut(&Entry) -> bool;

/// Reads the journal.
pub(super) fn journal(request: &Request, take: Take<'_>) -> Result<(), LogsError> {
    let known = match request.job {
        Some(_) => journal::job_ids()?,
        None => Vec::new(),
    };
    let mut reader = Reader::open(&request.query(request.job_id(&known)?))?;
    while let Some(entry) = reader.next_entry()? {
        if !take(&entry) {
            return Ok(());
        }
    }
    Ok(())
}

/// Asks the service.
pub(super) fn service(mut stream: UnixStream, request: &Request, take: Take<'_>) -> Result<(), LogsError> {
    let asked = serde_json::to_string(request).map_err(io::Error::other)?;
    stream.write_all(format!("{asked}\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_ANSWER_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match serde_json::from_slice(&line) {
            Ok(Answer::Entry(entry)) if take(&entry) => {}
            Ok(Answer::Entry(_)) => return Ok(()),
            Ok(Answer::Error(text)) => return Err(LogsError::Service(text)),
            Err(error) => return Err(LogsError::Service(format!("its answer cannot be read: {error}"))),
        }
    }
}
