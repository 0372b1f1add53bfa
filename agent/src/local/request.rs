//! What the socket asks of the main loop.

use keros_protocol::UnixSeconds;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One request. The main loop answers at once; a sender that is dropped unanswered becomes an error to the technician.
#[derive(Debug)]
pub(crate) enum LocalRequest {
    /// Send telemetry now.
    TelemetryNow {
        /// Takes the answer.
        answer: oneshot::Sender<TelemetryAnswer>,
    },
}

/// What became of the wish for telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum TelemetryAnswer {
    /// It is sent at this time, which may be now.
    Due {
        /// By the gateway's clock.
        at_unix_s: UnixSeconds,
    },
    /// It is sent as soon as there is a connection to the broker.
    WhenConnected {},
    /// The last one was sent too short a time ago.
    TooSoon {
        /// Ask again after so many seconds.
        retry_after_s: u64,
    },
}
