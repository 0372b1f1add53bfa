//! Programs with another clock than the machine's: that of a gateway without a battery, or one that is ahead.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use keros_skip::skipped;

/// A script in this folder that starts a program for which it is 1970; nobody else sees that. `None`: libfaketime is not installed.
///
/// # Errors
/// When it cannot be written.
pub fn in_1970(folder: &Path, program: &Path) -> Result<Option<PathBuf>> {
    let Some(library) = libfaketime() else { return Ok(None) };
    let path = folder.join("in-1970");
    let script = format!(
        "#!/bin/sh\nLD_PRELOAD={} FAKETIME='@1970-01-01 00:10:00' FAKETIME_DONT_FAKE_MONOTONIC=1 TZ=UTC exec {} \"$@\"\n",
        library.display(),
        program.display()
    );
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(Some(path))
}

/// Adds to a command, not started yet, that its program's clock is ahead by so many seconds; only how late it is changes, not how fast
/// time goes. False: libfaketime is not installed.
pub(crate) fn ahead(command: &mut Command, ahead_s: u64) -> bool {
    let Some(library) = libfaketime() else { return false };
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", format!("+{ahead_s}"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    true
}

/// The library, if it is installed.
fn libfaketime() -> Option<&'static Path> {
    let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
    if library.exists() {
        return Some(library);
    }
    skipped("libfaketime is not installed");
    None
}
