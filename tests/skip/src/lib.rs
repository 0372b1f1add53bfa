//! How a test says that a part it needs is missing.

/// Set where all parts must be there (`.ci/run` sets it): a test that has to be skipped fails then.
pub const NO_SKIP: &str = "KEROS_NO_SKIP";

/// Says why a test is skipped; the test returns then.
///
/// # Panics
/// Where [`NO_SKIP`] is set.
#[allow(clippy::panic, reason = "only tests call it, and this is how a test fails")]
pub fn skipped(why: &str) {
    assert!(std::env::var_os(NO_SKIP).is_none(), "a test would be skipped, and {NO_SKIP} is set: {why}");
    println!("skipped: {why}");
}
