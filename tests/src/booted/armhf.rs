//! The root file system for ARM 7, whose programs the kernel hands to qemu's user emulation.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{PACKAGES, extract, fetch};
use crate::{run_ok, system_program};

/// Where Debian's emulator says for which files it is.
const EMULATOR: &str = "/usr/lib/binfmt.d/qemu-arm.conf";
/// Where the kernel is told.
const KERNEL: &str = "/proc/sys/fs/binfmt_misc";

pub(super) fn unpack(root: &Path) -> Result<()> {
    register()?;
    // Of the plain archive alone: that of security updates is not always whole for this architecture.
    let archive = fetch(
        "bookworm-armhf",
        &["--variant=apt", "--architectures=armhf", PACKAGES, "bookworm"],
        &["deb http://deb.debian.org/debian bookworm main"],
    )?;
    extract(&archive, root)?;
    without_credentials(root)
}

/// Tells the kernel of the emulator, where the system's own start has not done it.
fn register() -> Result<()> {
    let kernel = Path::new(KERNEL);
    if !kernel.join("register").exists() {
        run_ok(&system_program("mount")?, ["-t", "binfmt_misc", "binfmt_misc", KERNEL])
            .context("this kernel cannot be told of emulators: mount binfmt_misc outside of the container")?;
    }
    if kernel.join("qemu-arm").exists() {
        return Ok(());
    }
    let line =
        std::fs::read(EMULATOR).with_context(|| format!("{EMULATOR}: is qemu-user-static installed?"))?;
    std::fs::write(kernel.join("register"), line).context("telling the kernel of the emulator")
}

/// Units that load credentials do not start under the emulation.
fn without_credentials(root: &Path) -> Result<()> {
    let units = root.join("usr/lib/systemd/system");
    for unit in std::fs::read_dir(&units)? {
        let unit = unit?;
        let text = std::fs::read_to_string(unit.path()).unwrap_or_default();
        if !text.lines().any(|line| line.starts_with("LoadCredential=")) {
            continue;
        }
        let folder = root.join("etc/systemd/system").join(unit.file_name()).with_extension("service.d");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("emulated.conf"), "[Service]\nLoadCredential=\n")?;
    }
    Ok(())
}
