//! The technician's socket: HTTP/1.1 and JSON over a Unix socket, so that `curl --unix-socket` works too.
//!
//! `GET /v1/status`, `GET /v1/jobs`, `GET /v1/jobs/{id}`, `GET /v1/config` (the effective settings, no secrets),
//! `POST /v1/telemetry` (202 when it will be sent, 429 when it was sent too short a time ago). Errors are problem details
//! (RFC 9457).
//!
//! It shows what the main loop publishes and passes requests on to it; it holds no state of its own and never touches
//! jobs. File modes decide who may connect.

mod answer;
mod client;
mod request;
mod server;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use client::{Client, ClientError};
pub(crate) use request::{LocalRequest, TelemetryAnswer};
pub(crate) use server::serve;
pub(crate) use view::{ConnectionView, FetchView, JobView, JobsView, StatusView, TelemetryView};

use std::path::{Path, PathBuf};

/// Where the socket is in the runtime folder.
pub(crate) fn socket_path(runtime_folder: &Path) -> PathBuf {
    runtime_folder.join("status.sock")
}
