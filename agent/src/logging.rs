//! Where log lines go: to the journal with their fields when standard error is connected to it, else to standard error
//! as text. The level comes from the environment variable `KEROS_LOG`.

use std::os::fd::AsFd as _;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The name of the variable: `error`, `warn`, `info` (the default), `debug` or `trace`, or `off`.
const LEVEL_VARIABLE: &str = "KEROS_LOG";

/// Starts logging for the whole process; a second call does nothing.
pub(crate) fn start() {
    let given = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let level = given.parse::<LevelFilter>().ok().filter(|_| !given.is_empty());
    let filter = level.unwrap_or(LevelFilter::INFO);
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref())
        .then(|| tracing_journald::layer().ok())
        .flatten()
        .map(|layer| layer.with_field_prefix(Some("KEROS".to_owned())));
    let started = match journal {
        Some(layer) => tracing_subscriber::registry().with(layer.with_filter(filter)).try_init(),
        None => {
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
            tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()
        }
    };
    if started.is_ok() && level.is_none() && !given.is_empty() {
        tracing::warn!(
            value = given,
            "{LEVEL_VARIABLE} is off, error, warn, info, debug or trace; info is used"
        );
    }
}

/// Whether standard error is the stream that systemd made (systemd.exec(5), `$JOURNAL_STREAM`: `device:inode`). A
/// process started from the service with its output elsewhere still has the variable, so the numbers must agree.
fn is_journal(variable: Option<&str>) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else { return false };
    let Ok(status) = nix::sys::stat::fstat(std::io::stderr().as_fd()) else { return false };
    device.parse() == Ok(status.st_dev) && inode.parse() == Ok(status.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_itself_is_the_journal() {
        let status = nix::sys::stat::fstat(std::io::stderr().as_fd()).unwrap();
        let itself = format!("{}:{}", status.st_dev, status.st_ino);
        assert!(is_journal(Some(&itself)));
        let other = format!("{}:{}", status.st_dev, status.st_ino + 1);
        for text in [None, Some(""), Some("8"), Some("x:y"), Some(other.as_str())] {
            assert!(!is_journal(text), "{text:?}");
        }
    }
}
