//! How far an attempt has come, and who is told.

use std::time::{Duration, Instant};

use keros_protocol::CommandId;
use tokio::sync::mpsc;

use super::{FetchEvent, FetchWhat};

/// The loop hears of bytes no more often than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a bundle that are on the disk, of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) have: u64,
    pub(crate) all: u64,
}

/// An attempt's own.
pub(super) struct Progress {
    bytes: Bytes,
    told_at: Option<Instant>,
    command_id: CommandId,
    attempt: u64,
    events: mpsc::Sender<FetchEvent>,
}

impl Progress {
    pub(super) fn new(command_id: CommandId, attempt: u64, events: mpsc::Sender<FetchEvent>) -> Self {
        Self { bytes: Bytes::default(), told_at: None, command_id, attempt, events }
    }

    pub(super) const fn bytes(&self) -> Bytes {
        self.bytes
    }

    /// The bundle's size is known, and what there is of it.
    pub(super) fn begin(&mut self, have: u64, all: u64) {
        self.bytes = Bytes { have, all };
        self.tell();
    }

    pub(super) fn came(&mut self, bytes: u64) {
        self.bytes.have += bytes;
        self.tell();
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.bytes.have = self.bytes.have.saturating_sub(bytes);
    }

    /// A loop that has other things to do hears of it the next time.
    fn tell(&mut self) {
        if self.told_at.is_none_or(|at| at.elapsed() >= INTERVAL) {
            let what = FetchWhat::Progress(self.bytes);
            let _ =
                self.events.try_send(FetchEvent { command_id: self.command_id, attempt: self.attempt, what });
            self.told_at = Some(Instant::now());
        }
    }
}
