//! Waiting on a condition, with a limit and a word about what was still missing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Long enough for a loaded machine; a test that waits this long has failed.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Errors
/// After [`LIMIT`], with `what` and the last reason for there being none.
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_within(LIMIT, what, ask)
}

/// The same with another limit, where more is known of how long it may take.
///
/// # Errors
/// After the limit, with `what` and the last reason for there being none.
pub fn wait_within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if begin.elapsed() > limit => bail!("still missing after {limit:?}: {what}"),
            Err(error) if begin.elapsed() > limit => {
                return Err(error).with_context(|| format!("still missing after {limit:?}: {what}"));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
