//! What the service manager is told: readiness, a line of status, and signs of life. Without a service manager all of it
//! does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells systemd of the main loop's progress; there is no timer beside the loop that could go on without it.
pub(crate) struct Notify {
    watchdog: Option<Duration>,
    status: String,
}

impl Notify {
    /// Reads `WATCHDOG_USEC`, which the service manager sets (sd_watchdog_enabled(3)).
    pub(crate) fn new() -> Self {
        let own = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let for_us = own("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = own("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0).map(Duration::from_micros);
        Self { watchdog, status: String::new() }
    }

    /// The loop must come around at least this often.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval / 3)
    }

    /// The socket and the store are up.
    pub(crate) fn ready(&self) {
        send(NotifyState::Ready);
    }

    /// The loop has come around.
    pub(crate) fn alive(&self) {
        if self.watchdog.is_some() {
            send(NotifyState::Watchdog);
        }
    }

    /// The line that `systemctl status` shows.
    pub(crate) fn status(&mut self, text: String) {
        if text != self.status {
            send(NotifyState::Status(&text));
            self.status = text;
        }
    }

    /// The agent ends.
    pub(crate) fn stopping(&self) {
        send(NotifyState::Stopping);
    }
}

fn send(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
