//! The technician's sockets: HTTP/1.1 and JSON over Unix sockets, so that `curl --unix-socket` works too. Errors are problem
//! details (RFC 9457).
//!
//! `status.sock`: `GET /metrics`, `GET /v1/status`, `GET /v1/jobs`, `GET /v1/jobs/{id}`, `GET /v1/config` (the effective settings, no secrets),
//! `POST /v1/telemetry` (202 when it will be sent, 429 when it was sent too short a time ago). File modes decide who may
//! connect.
//!
//! `control.sock`, for root: `HEAD` and `PUT /v1/blobs/{digest}` (a blob of a Magic Link), `POST /v1/commands` (a signed command; 202
//! when it is taken, 200 with `refused` or `duplicate`), `POST /v1/commands/check` (what would become of it), `POST /v1/jobs/{id}/cancel` (200 when it is done or too late, 202 when the
//! executor must be asked).
//!
//! They show what the main loop publishes and pass requests on to it; they hold no state of their own and never touch jobs.

mod answer;
mod client;
mod control;
mod guests;
mod metrics;
mod peer;
mod request;
mod routes;
mod server;
mod upload;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use answer::Shown;
pub(crate) use client::{Client, ClientError};
pub(crate) use request::{
    CancelAnswer, CancelResult, CancelledJob, CommandAnswer, JudgedCommand, Judgement, LocalRequest,
    TelemetryAnswer,
};
pub(crate) use view::{ConnectionView, FetchView, JobView, JobsView, StatusView, TelemetryView};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::fetch::BlobStore;
use crate::numbers::Numbers;

/// Where the socket for reading is in the runtime folder.
pub(crate) fn socket_path(runtime_folder: &Path) -> PathBuf {
    runtime_folder.join("status.sock")
}

/// The name of root's socket.
pub(crate) const CONTROL: &str = "control.sock";

/// Where root's socket is in the runtime folder.
pub(crate) fn control_path(runtime_folder: &Path) -> PathBuf {
    runtime_folder.join(CONTROL)
}

/// Serves the status socket until it is dropped.
///
/// # Errors
/// When the socket can't be made, or another agent serves it already (`AddrInUse`).
pub(crate) async fn serve_status(
    runtime_folder: &Path,
    shown: Shown,
    requests: mpsc::Sender<LocalRequest>,
) -> io::Result<()> {
    let sources = answer::Sources { shown, requests, timeouts: server::TIMEOUTS };
    server::serve(&socket_path(runtime_folder), server::Routes::Status(sources)).await
}

/// Serves root's socket until it is dropped. Blobs of at most so many bytes go into the store.
///
/// # Errors
/// As [`serve_status`].
pub(crate) async fn serve_control(
    runtime_folder: &Path,
    store: Arc<BlobStore>,
    max_bytes: u64,
    requests: mpsc::Sender<LocalRequest>,
    numbers: Arc<Numbers>,
) -> io::Result<()> {
    let timeouts = server::TIMEOUTS;
    let turn = Arc::new(Semaphore::new(1));
    let uploads = upload::Uploads { store, turn, max_bytes, silence: timeouts.connection };
    let control = control::Control { requests, uploads, timeouts, numbers };
    server::serve(&control_path(runtime_folder), server::Routes::Control(control)).await
}
