//! What the agent and the executor both need from the gateway they run on. It knows nothing of MQTT, jobs or scripts.
//!
//! [`paths`] is the only place that names a path of the platform; every one is a default that a setting can replace.

mod damage;
mod disk;
mod durable;
mod identity;
mod keyring;
pub mod paths;

pub use damage::is_damaged;
pub use disk::{Disk, DiskFile, Look, Open, RealDisk};
pub use durable::{create_private_folder, sync_folder, write_atomically};
pub use identity::{Identity, IdentityError, IdentityOverride, IdentitySource};
pub use keyring::{KeyRingError, read_keyring};

/// Reads a small text file whole; `None` when it is absent, not UTF-8 or longer than `max_bytes`.
#[must_use]
pub fn read_small(path: &std::path::Path, max_bytes: u64) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    let read = file.take(max_bytes + 1).read_to_string(&mut text).ok()?;
    (read as u64 <= max_bytes).then_some(text)
}
