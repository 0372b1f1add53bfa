//! What the executor needs of the machine besides its disk: clocks and processes. A trait, so that tests can let time
//! jump and power fail.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use keros_protocol::UnixSeconds;

use crate::clock;
use crate::stragglers::Runner;

/// The machine under the executor.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// The time by which expiry is judged.
    fn now_unix_s(&self) -> UnixSeconds;

    /// Milliseconds since the boot, also while suspended. It never goes back.
    fn boottime_ms(&self) -> u64;

    /// Waits until something comes on `wake`, at most this long. Nothing may ever come.
    fn wait(&self, wake: &Receiver<()>, at_most: Duration);

    /// Waits this long.
    fn sleep(&self, time: Duration);

    /// This process, as it is written down with the job that it runs.
    fn this_process(&self) -> Runner;

    /// Ends what a runner that is gone left running.
    fn end_stragglers(&self, runner: &Runner);
}

/// The machine itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RealHost;

impl Host for RealHost {
    fn now_unix_s(&self) -> UnixSeconds {
        clock::now_unix_s()
    }

    fn boottime_ms(&self) -> u64 {
        clock::boottime_ms()
    }

    fn wait(&self, wake: &Receiver<()>, at_most: Duration) {
        if wake.recv_timeout(at_most) == Err(RecvTimeoutError::Disconnected) {
            self.sleep(at_most);
        }
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn this_process(&self) -> Runner {
        Runner::this_process()
    }

    fn end_stragglers(&self, runner: &Runner) {
        runner.end_stragglers();
    }
}
