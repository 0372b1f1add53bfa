//! What a command may cost. Cellular bytes are paid for, and a server that breaks off just before the end each time would be paid
//! for its whole bundle again with each attempt.

use std::sync::atomic::{AtomicU64, Ordering};

/// Before the bundle's size is known: manifest and config of the greatest size, some times, and the handshakes of a few hundred attempts
/// that bring nothing, 6 KiB each.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;
/// A bundle may come so many times: once, twice when its first copy is wrong, and as much over links that break where the server knows no
/// ranges.
const TIMES: u64 = 4;

/// Counts what comes from the network for one command, over all of its attempts and connections.
#[derive(Debug)]
pub(crate) struct Traffic {
    received: AtomicU64,
    most: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { received: AtomicU64::new(0), most: AtomicU64::new(LEAST_BYTES) }
    }
}

impl Traffic {
    /// The bundle has so many bytes.
    pub(super) fn is_for(&self, bundle_bytes: u64) {
        self.most.store(LEAST_BYTES + TIMES * bundle_bytes, Ordering::Relaxed);
    }

    /// So many bytes more; false when they are too many.
    pub(super) fn came(&self, bytes: usize) -> bool {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        !self.is_over()
    }

    /// Whether no more is paid for.
    pub(super) fn is_over(&self) -> bool {
        self.received_bytes() > self.most_bytes()
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}
