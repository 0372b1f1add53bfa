//! Whether a time source disciplines the clock.
//!
//! The kernel's own answer (`adjtimex`, flag `STA_UNSYNC`) can't be had without unsafe code; the file that
//! systemd-timesyncd keeps while it is synchronised says the same on KerOS 6. Without it the clock counts as
//! unsynchronised, which is the careful answer.

use std::path::Path;

/// systemd-timesyncd touches it at each synchronisation; /run is empty after a boot.
const TIMESYNC_FILE: &str = "run/systemd/timesync/synchronized";

/// Whether a time source has set the clock since boot.
pub(super) fn is_synchronised(root: &Path) -> bool {
    root.join(TIMESYNC_FILE).exists()
}
