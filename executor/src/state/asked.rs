//! What is asked of a job's runner while it runs: files in the job's folder, where only root can write. A session verifies a
//! request and leaves it here; the runner looks again and again, and verifies by itself.

use std::io;
use std::path::PathBuf;

use keros_protocol::Envelope;
use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::life::CancelledBy;
use crate::statement::Verifier;

/// More than any of the files has.
const MAX_BYTES: u64 = keros_protocol::limits::MAX_EXECUTOR_LINE_BYTES as u64;

/// The content of `cancel.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Cancellation {
    by: CancelledBy,
    /// The center's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement: Option<Envelope>,
}

/// Reads what is asked of one job.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    job: Job,
    verifier: Verifier,
    /// A file that was believed is not verified again.
    cancelled: Option<CancelledBy>,
    confirmed: Option<(Vec<u8>, Vec<String>)>,
}

impl Asked {
    pub(crate) const fn of(job: Job, verifier: Verifier) -> Self {
        Self { job, verifier, cancelled: None, confirmed: None }
    }

    /// Who has asked for the job's end.
    pub(crate) fn cancelled(&mut self) -> Option<CancelledBy> {
        if self.cancelled.is_none() {
            self.cancelled = self.read_cancellation();
        }
        self.cancelled
    }

    /// The tasks have obeyed: who asks again means something else.
    pub(crate) fn forget_cancellation(&mut self) {
        // Where it stays, the center's means nothing more, and root's undoes the job.
        let _ = self.job.disk().remove_file(&cancel_path(&self.job));
        self.cancelled = None;
    }

    /// The nonces that the center has signed last.
    pub(crate) fn signed_nonces(&mut self) -> &[String] {
        let content = self.job.disk().read(&confirm_path(&self.job), MAX_BYTES).unwrap_or_default();
        if self.confirmed.as_ref().is_none_or(|(seen, _)| *seen != content) {
            let envelope = serde_json::from_slice(&content).ok();
            let statement = envelope.and_then(|envelope| self.verifier.verify(&envelope).ok());
            self.confirmed = statement.map(|statement| (content, statement.nonces));
        }
        self.confirmed.as_ref().map_or(&[], |(_, nonces)| nonces)
    }

    fn read_cancellation(&self) -> Option<CancelledBy> {
        let content = self.job.disk().read(&cancel_path(&self.job), MAX_BYTES).ok()?;
        let cancellation: Cancellation = serde_json::from_slice(&content).ok()?;
        if cancellation.by == CancelledBy::Center {
            let statement = self.verifier.verify(&cancellation.statement?).ok()?;
            if !statement.cancels(self.job.id()) {
                return None;
            }
        }
        Some(cancellation.by)
    }
}

/// Leaves a cancellation for the runner. Whoever calls it has verified it.
pub(crate) fn leave_cancellation(job: &Job, by: CancelledBy, statement: Option<Envelope>) -> io::Result<()> {
    let json = serde_json::to_vec(&Cancellation { by, statement })?;
    job.disk().write_atomically(&cancel_path(job), &json)
}

/// Leaves a confirmation for the runner.
pub(crate) fn leave_confirmation(job: &Job, statement: &Envelope) -> io::Result<()> {
    job.disk().write_atomically(&confirm_path(job), &serde_json::to_vec(statement)?)
}

fn cancel_path(job: &Job) -> PathBuf {
    job.file("cancel.json")
}

fn confirm_path(job: &Job) -> PathBuf {
    job.file("confirm.json")
}
