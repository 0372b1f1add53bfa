//! What is counted from the start of the agent on, for `/metrics`. Any task adds; nothing is decided by it, and nothing is stored.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Once more.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// It was counted elsewhere.
    pub(crate) fn set(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Connections to the broker that came up.
    pub(crate) connections: Counter,
    /// Attempts that failed, and connections that ended.
    pub(crate) connections_lost: Counter,
    /// Telemetry messages handed to the broker.
    pub(crate) telemetry_sent: Counter,
    /// Telemetry messages that the center has answered.
    pub(crate) telemetry_answered: Counter,
    /// When it last did, in milliseconds of the monotonic clock; 0: never.
    pub(crate) telemetry_answered_ms: Counter,
    /// Bytes that came from the network for Magic Links.
    pub(crate) fetched_bytes: Counter,
    /// Requests on the local sockets that were answered, refusals included.
    pub(crate) local_requests: Counter,
    /// Local clients that were turned away: they may not use `control.sock`.
    pub(crate) not_root: Counter,
    /// They were too slow.
    pub(crate) too_slow: Counter,
    /// Their user had too many connections open.
    pub(crate) too_many: Counter,
    /// Their user asked too often.
    pub(crate) too_often: Counter,
}
