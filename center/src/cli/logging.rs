//! What `serve` and the demo's center write to standard error.

use std::io::IsTerminal as _;
use std::str::FromStr as _;

use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How much is logged: `error`, `warn`, `info`, `debug`, `trace`.
const VARIABLE: &str = "KEROS_CENTER_LOG";

/// Logs to standard error from now on.
pub(super) fn start() {
    let level = std::env::var(VARIABLE).ok().and_then(|text| Level::from_str(&text).ok());
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter(level))).try_init();
}

/// Logs to a file from now on.
pub(crate) fn start_in(file: std::fs::File) {
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::sync::Mutex::new(file));
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter(None))).try_init();
}

/// Libraries only say what is wrong, unless more is asked for.
fn filter(level: Option<Level>) -> Targets {
    let own = level.unwrap_or(Level::INFO);
    Targets::new()
        .with_default(level.filter(|level| *level >= Level::DEBUG).unwrap_or(Level::WARN))
        .with_target("keros_center", own)
}
