//! Where a job goes on after the reboot that one of its tasks asked for: kept before that is recorded, together with the digest
//! of the command, so that nothing else is run than what was verified when the job began.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::state::job::Job;
use crate::state::lines;

/// Variables that tasks saved, output of 64 KiB each among them.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// More than the longest command.
const MAX_COMMAND_BYTES: u64 = keros_protocol::limits::MAX_ENVELOPE_BYTES as u64 + 4096;

/// The content of the file; its first member is a checksum over the rest.
#[derive(Serialize, Deserialize)]
struct Kept {
    command_sha256: String,
    resume: Value,
}

/// Keeps it.
pub(crate) fn keep(job: &Job, resume: &str) -> io::Result<()> {
    let kept = Kept { command_sha256: command_digest(job)?, resume: serde_json::from_str(resume)? };
    job.disk().write_atomically(&path(job), &lines::encode(&serde_json::to_string(&kept)?))
}

/// What was kept; `None` when it is not as it was written, or the command is not.
pub(crate) fn find(job: &Job) -> Option<String> {
    let line = job.disk().read(&path(job), MAX_BYTES).ok()?;
    let kept: Kept = serde_json::from_str(&lines::decode(line.strip_suffix(b"\n")?)?).ok()?;
    (kept.command_sha256 == command_digest(job).ok()?).then(|| kept.resume.to_string())
}

fn command_digest(job: &Job) -> io::Result<String> {
    let command = job.disk().read(&job.file("command.json"), MAX_COMMAND_BYTES)?;
    Ok(Sha256::digest(command).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn path(job: &Job) -> PathBuf {
    job.file("resume.json")
}
