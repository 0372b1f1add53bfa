//! What the service manager is told: readiness, a line of status, and signs of life. Without a service manager all of it
//! does nothing. The only place that knows by which library that is done.

use std::time::Duration;

use keros_protocol::text::printable;

/// Tells systemd of the main loop's progress; there is no timer beside the loop that could go on without it.
#[derive(Debug)]
pub struct Notify {
    watchdog: Option<Duration>,
    status: String,
}

impl Notify {
    /// Asks how often the service manager wants to hear of us (sd_watchdog_enabled(3)).
    #[must_use]
    pub fn new() -> Self {
        Self { watchdog: means::watchdog(), status: String::new() }
    }

    /// The loop must come around at least this often.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval / 3)
    }

    /// The socket and the store are up.
    pub fn ready(&self) {
        send("READY", "1");
    }

    /// The loop has come around.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            send("WATCHDOG", "1");
        }
    }

    /// The line that `systemctl status` shows.
    pub fn status(&mut self, text: String) {
        if text != self.status {
            send("STATUS", &printable(&text));
            self.status = text;
        }
    }

    /// The agent ends.
    pub fn stopping(&self) {
        send("STOPPING", "1");
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

fn send(name: &str, value: &str) {
    if let Err(error) = means::send(name, value) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// By libsystemd.
#[cfg(feature = "libsystemd")]
mod means {
    use std::io;
    use std::time::Duration;

    use systemd::daemon;

    pub(super) fn watchdog() -> Option<Duration> {
        daemon::watchdog_enabled().ok().filter(|usec| *usec > 0).map(Duration::from_micros)
    }

    pub(super) fn send(name: &str, value: &str) -> io::Result<()> {
        daemon::notify([(name, value)].iter()).map(drop).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// By ourselves.
#[cfg(not(feature = "libsystemd"))]
mod means {
    use std::io;
    use std::time::Duration;

    use sd_notify::NotifyState;

    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    }

    pub(super) fn send(name: &str, value: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Custom(&format!("{name}={value}"))])
    }
}
