//! A small file system in memory, which can be full or read-only.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// What a folder has room for.
const SIZE: u64 = 40 * 1024 * 1024;
const PAGE: u64 = 4096;
/// The file that takes all the room.
const FILLER: &str = "filler";

/// Mounted on a folder until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Makes the folder, and mounts it.
    ///
    /// # Errors
    /// Without root.
    pub fn mount(at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let options = format!("size={SIZE},mode=0700");
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .context("mounting a tmpfs")?;
        Ok(Self { at: at.to_owned() })
    }

    /// Leaves this many pages of room.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn fill(&self, room_pages: u64) -> Result<()> {
        let free = nix::sys::statvfs::statvfs(&self.at)?;
        let pages = (free.blocks_available() * free.fragment_size() / PAGE).saturating_sub(room_pages);
        match std::fs::write(self.at.join(FILLER), vec![1; usize::try_from(pages * PAGE)?]) {
            // Somebody else has taken the room meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            result => Ok(result?),
        }
    }

    /// A shell's command that does the same.
    #[must_use]
    pub fn fill_command(&self, room_pages: u64) -> String {
        let at = self.at.display();
        let count = format!("$(($(stat -f -c %a {at}) - {room_pages}))");
        format!("dd if=/dev/zero of={at}/{FILLER} bs={PAGE} count={count} 2>/dev/null || true")
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.at.join(FILLER))?)
    }

    /// Lets nobody write, or everybody again.
    ///
    /// # Errors
    /// When it is mounted no more.
    pub fn set_read_only(&self, read_only: bool) -> Result<()> {
        let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        let none = None::<&str>;
        Ok(mount(none, &self.at, none, MsFlags::MS_REMOUNT | flags, none)?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}
