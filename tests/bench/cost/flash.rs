//! A file system of its own for what agent and executor store: its block device counts what reaches it.

use std::ops::{Mul, Sub};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use keros_tests::{run_ok, system_program};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// More than a job needs free.
const BYTES: u64 = 512 * 1024 * 1024;
/// Nothing is left for the kernel to write later by itself.
const MKFS: [&str; 4] = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
/// In `/sys/block/*/stat`, see Documentation/block/stat.rst of Linux.
const WRITES: usize = 4;
const WRITTEN_SECTORS: usize = 6;
const SECTOR_BYTES: f64 = 512.0;

/// Mounted until it is dropped.
#[derive(Debug)]
pub(super) struct Flash {
    device: String,
    mounts: Vec<PathBuf>,
}

/// What reached the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) writes: f64,
    pub(super) bytes: f64,
}

impl Sub for Written {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { writes: self.writes - other.writes, bytes: self.bytes - other.bytes }
    }
}

impl Mul<f64> for Written {
    type Output = Self;
    fn mul(self, times: f64) -> Self {
        Self { writes: self.writes * times, bytes: self.bytes * times }
    }
}

impl Flash {
    /// Makes an ext4 in a file of the folder, and puts a folder of it at each of these places.
    pub(super) fn mount(folder: &Path, places: &[PathBuf]) -> Result<Self> {
        let (image, at) = (folder.join("flash.img"), folder.join("flash"));
        std::fs::File::create(&image)?.set_len(BYTES)?;
        run_ok(&system_program("mkfs.ext4")?, MKFS.iter().map(AsRef::as_ref).chain([image.as_os_str()]))?;
        let losetup = system_program("losetup")?;
        let device = run_ok(&losetup, ["--find".as_ref(), "--show".as_ref(), image.as_os_str()])?;
        let mut flash = Self { device: device.trim().to_owned(), mounts: Vec::new() };
        std::fs::create_dir(&at)?;
        let none = None::<&str>;
        mount(Some(flash.device.as_str()), &at, Some("ext4"), MsFlags::MS_RELATIME, none)?;
        flash.mounts.push(at.clone());
        for (number, place) in places.iter().enumerate() {
            let inside = at.join(number.to_string());
            std::fs::DirBuilder::new().mode(0o700).create(&inside)?;
            std::fs::create_dir_all(place)?;
            mount(Some(&inside), place, none, MsFlags::MS_BIND, none)?;
            flash.mounts.push(place.clone());
        }
        Ok(flash)
    }

    /// What has reached the device since it was made; what waits in memory goes there first.
    pub(super) fn written(&self) -> Result<Written> {
        let at = self.mounts.first().context("it is mounted")?;
        run_ok(&system_program("sync")?, ["-f".as_ref(), at.as_os_str()])?;
        let name = self.device.trim_start_matches("/dev/");
        let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let field = |index: usize| -> Result<f64> {
            Ok(stat.split_whitespace().nth(index).context("a counter")?.parse()?)
        };
        Ok(Written { writes: field(WRITES)?, bytes: field(WRITTEN_SECTORS)? * SECTOR_BYTES })
    }
}

impl Drop for Flash {
    fn drop(&mut self) {
        for at in self.mounts.iter().rev() {
            let _ = umount2(at, MntFlags::MNT_DETACH);
        }
        if let Ok(losetup) = system_program("losetup") {
            let _ = run_ok(&losetup, ["--detach", &self.device]);
        }
    }
}
