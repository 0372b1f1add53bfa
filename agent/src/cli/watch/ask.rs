//! Asks the agent on a thread of its own: one that hangs must not hold up the keys.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::ASK_EVERY;
use crate::local::{Client, ClientError, StatusView};

pub(super) type Answer = Result<StatusView, ClientError>;

/// The agent's answers, one after the other.
pub(super) struct Answers {
    receiver: Receiver<Answer>,
}

impl Answers {
    /// Begins to ask. With `quiet`, the signals that end a screen are left to the thread that draws it.
    pub(super) fn begin(client: Client, quiet: bool) -> Self {
        let (sender, receiver) = sync_channel(1);
        std::thread::spawn(move || {
            if quiet {
                super::terminal::leave_signals();
            }
            ask(&client, &sender);
        });
        Self { receiver }
    }

    /// The next one, if it is there.
    pub(super) fn take(&self) -> Option<Answer> {
        self.receiver.try_recv().ok()
    }

    /// The next one, if it comes in this time.
    pub(super) fn wait(&self, limit: Duration) -> Option<Answer> {
        self.receiver.recv_timeout(limit).ok()
    }
}

fn ask(client: &Client, sender: &SyncSender<Answer>) {
    loop {
        std::thread::sleep(ASK_EVERY);
        if sender.send(client.get("/v1/status")).is_err() {
            return;
        }
    }
}
