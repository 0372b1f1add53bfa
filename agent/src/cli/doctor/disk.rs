//! Whether the folders that must be written can be, and for how long.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keros_platform::paths;
use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};
use nix::unistd::{Uid, User};

use super::finding::Finding;
use super::patient::{Patient, SUDO};

const MIB: u64 = 1024 * 1024;
/// A report or a command may not find room any more.
const LEAST_BYTES: u64 = MIB;
const LEAST_INODES: u64 = 16;
/// A state at its longest, and a job's backups.
const GOOD_BYTES: u64 = 32 * MIB;
const GOOD_INODES: u64 = 256;

/// The agent's folder, and the executor's where that is another disk's.
pub(super) fn disks(patient: &Patient) -> Vec<Finding> {
    let state = &patient.settings.state_folder;
    let executor = patient.at(paths::EXECUTOR_STATE_FOLDER.trim_start_matches('/'));
    let mut findings = vec![owner(patient, state).unwrap_or_else(|| room(state))];
    let device = |path: &Path| nearest(path).and_then(|path| Some(path.metadata().ok()?.dev()));
    if executor.exists() && device(&executor) != device(state) {
        findings.push(room(&executor));
    }
    findings
}

/// What is wrong with the folder itself.
fn owner(patient: &Patient, folder: &Path) -> Option<Finding> {
    let metadata = match folder.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && !patient.is_root => {
            return Some(Finding::not_checked("disk", SUDO));
        }
        Err(error) => {
            let advice = "put a folder in its place that belongs to the agent's user, or set `state_folder`";
            let says = format!("{} cannot be used", folder.display());
            return Some(Finding::failed("disk", says, advice).because(error.to_string()));
        }
    };
    let agent = patient.agent_uid()?;
    (metadata.uid() != agent).then(|| {
        let (is, should) = (name(metadata.uid()), name(agent));
        Finding::failed(
            "disk",
            format!("{} belongs to {is}, not to the agent's user {should}", folder.display()),
            format!("sudo chown -R {should}: {}, then: sudo systemctl restart keros-agent", folder.display()),
        )
    })
}

fn name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The folder, or the first one above it that is there.
fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|path| path.exists()).map(Path::to_owned)
}

fn room(folder: &Path) -> Finding {
    let seen = nearest(folder).map(|path| statvfs(&path));
    let status = match seen {
        Some(Ok(status)) => status,
        Some(Err(error)) => return Finding::not_checked("disk", format!("{}: {error}", folder.display())),
        None => return Finding::not_checked("disk", format!("{} is nowhere", folder.display())),
    };
    let at = folder.display();
    if status.flags().contains(FsFlags::ST_RDONLY) {
        return Finding::failed(
            "disk",
            format!("the disk of {at} is read-only"),
            "the kernel makes a disk read-only when it is damaged: see dmesg. Restart the gateway; if it stays so, its \
             flash must be replaced",
        );
    }
    let (bytes, inodes) = (free_bytes(&status), free_inodes(&status));
    let told = format!("{at} has room for {}", size(bytes));
    let advice = format!(
        "make room. What takes it: sudo du -xh -d 3 {}| sort -h | tail. Logs: sudo journalctl --vacuum-size=20M",
        mount_of(folder).map(|mount| format!("{mount} ")).unwrap_or_default()
    );
    let few = |least: u64| inodes.filter(|free| *free < least);
    if bytes < LEAST_BYTES {
        Finding::failed("disk", format!("the disk is full: {told}"), advice)
    } else if let Some(free) = few(LEAST_INODES) {
        Finding::failed("disk", format!("the disk of {at} takes only {free} more files"), advice)
    } else if bytes < GOOD_BYTES {
        Finding::warning("disk", told, advice)
    } else if let Some(free) = few(GOOD_INODES) {
        Finding::warning("disk", format!("the disk of {at} takes only {free} more files"), advice)
    } else {
        Finding::ok("disk", told)
    }
}

/// Where the disk of a folder is mounted: the last folder above it on the same device.
fn mount_of(folder: &Path) -> Option<String> {
    let begin = nearest(folder)?;
    let device = begin.metadata().ok()?.dev();
    let same = begin.ancestors().take_while(|path| path.metadata().is_ok_and(|m| m.dev() == device));
    same.last().map(|path| path.display().to_string())
}

// Types differ between targets: 32 bits on some.
#[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
fn free_bytes(status: &Statvfs) -> u64 {
    u64::from(status.blocks_available()).saturating_mul(status.fragment_size().into())
}

/// `None` where a file system does not count them.
#[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
fn free_inodes(status: &Statvfs) -> Option<u64> {
    (status.files() > 0).then(|| status.files_available().into())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..MIB => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / MIB),
    }
}
