//! How full the file systems on real devices are, from `/proc/mounts` (fstab(5)) and statvfs.

use std::collections::BTreeSet;
use std::path::Path;

use keros_protocol::{Disk, limits};

use super::percent;

/// File systems that are told of; a gateway has three to five.
const MAX_DISKS: usize = 16;

/// Always full by nature: they are images, not room.
const READ_ONLY_TYPES: [&str; 3] = ["squashfs", "iso9660", "erofs"];

/// Size and use of each real file system, one entry a device, in the order of mounting.
pub(super) fn usage(root: &Path, mounts: &str) -> Vec<Disk> {
    let mut devices = BTreeSet::new();
    let mut disks = Vec::new();
    for (device, mount) in mounts.lines().filter_map(real_mount) {
        if disks.len() < MAX_DISKS
            && !devices.contains(device)
            && let Some(disk) = measure(root, &mount)
        {
            devices.insert(device);
            disks.push(disk);
        }
    }
    disks
}

/// Device and mount point of a line, when the device is real: a block device, or flash under UBI.
fn real_mount(line: &str) -> Option<(&str, String)> {
    let mut fields = line.split(' ');
    let (device, mount, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let is_real = device.starts_with("/dev/") || device.starts_with("ubi");
    (is_real && !READ_ONLY_TYPES.contains(&kind)).then(|| (device, unescape(mount)))
}

fn measure(root: &Path, mount: &str) -> Option<Disk> {
    let path = root.join(mount.trim_start_matches('/'));
    let status = nix::sys::statvfs::statvfs(&path).ok()?;
    // Types differ between targets: 32 bits on some.
    #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
    let (blocks, free, available): (u64, u64, u64) =
        (status.blocks().into(), status.blocks_free().into(), status.blocks_available().into());
    #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
    let block_bytes: u64 = status.fragment_size().into();
    let used = blocks.saturating_sub(free);
    Some(Disk {
        mount: limits::shorten(mount, 256),
        size_bytes: blocks.saturating_mul(block_bytes),
        used_percent: percent(used, used.saturating_add(available))?,
    })
}

/// Blanks, tabs, line ends and backslashes of a path are written as three octal digits.
fn unescape(field: &str) -> String {
    let mut text = Vec::with_capacity(field.len());
    let mut bytes = field.as_bytes();
    while let [first, rest @ ..] = bytes {
        let octal = match bytes {
            [b'\\', digits @ ..] if digits.len() >= 3 => {
                std::str::from_utf8(&digits[..3]).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok())
            }
            _ => None,
        };
        text.push(octal.unwrap_or(*first));
        bytes = if octal.is_some() { &rest[3..] } else { rest };
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::tests::root;

    const MOUNTS: &str = "\
proc /proc proc rw,relatime 0 0
/dev/root / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw,nosuid 0 0
/dev/mmcblk3p4 /user\\040data ext4 rw 0 0
/dev/mmcblk3p4 /user/again ext4 rw 0 0
/dev/loop0 /rom squashfs ro 0 0
overlay /overlay overlay rw 0 0
ubi0:rootfs /flash ubifs rw 0 0
/dev/gone /gone ext4 rw 0 0
broken
";

    #[test]
    fn real_devices_are_told_of_once() {
        let root = root(&[("user data/x", ""), ("user/again/x", ""), ("rom/x", ""), ("flash/x", "")]);
        let disks = usage(root.path(), MOUNTS);
        let mounts: Vec<&str> = disks.iter().map(|disk| disk.mount.as_str()).collect();
        assert_eq!(mounts, ["/", "/user data", "/flash"]);
        assert!(disks.iter().all(|disk| disk.size_bytes > 0 && (0.0..=100.0).contains(&disk.used_percent)));
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\04"), r"/a\04");
        assert_eq!(unescape(r"\"), r"\");
        assert_eq!(unescape(r"\999"), r"\999");
    }
}
