//! What a virtual machine boots: Debian's kernel for clouds, a small memory file system that finds the disk and the network,
//! and a disk image made from a folder. Packages are fetched once and kept in the build folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{project_root, run_ok, system_program};

/// Kernel and memory file system, made once.
const FOLDER: &str = "target/booted/kernel-nft";
/// What the kernel's package leaves to modules, and the machine needs before it has its disk.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_net", "nf_tables"];
/// The gateway's address, and its host's, in qemu's own network.
const ADDRESS: &str = "10.0.2.15/24";
const ROUTER: &str = "10.0.2.2";
/// Room for Debian, our programs and a job.
const IMAGE_SIZE: &str = "700M";

/// A kernel and its memory file system.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) kernel: PathBuf,
    pub(super) memory: PathBuf,
}

/// Fetches the kernel when it is not there yet.
pub(super) fn kernel() -> Result<Kernel> {
    let folder = project_root().join(FOLDER);
    let found = Kernel { kernel: folder.join("vmlinuz"), memory: folder.join("memory.cpio.gz") };
    if found.memory.exists() {
        return Ok(found);
    }
    fs::create_dir_all(&folder)?;
    let work = tempfile::tempdir_in(&folder)?;
    let release = unpack_package(work.path())?;
    let package = work.path().join("package");
    let memory = work.path().join("memory.cpio.gz");
    make_memory(work.path(), &package, &release, &memory)?;
    fs::rename(package.join(format!("boot/vmlinuz-{release}")), &found.kernel)?;
    fs::rename(memory, &found.memory)?;
    Ok(found)
}

/// Gives the kernel's release; its files lie in `package` then.
fn unpack_package(work: &Path) -> Result<String> {
    let depends = run_ok(&system_program("apt-cache")?, ["depends", "linux-image-cloud-amd64"])?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name =
        name.context("linux-image-cloud-amd64 depends on the newest kernel: is `apt-get update` due?")?;
    let mut fetch = Command::new(system_program("apt-get")?);
    let fetched = fetch.args(["download", "-qq", name]).current_dir(work).output()?;
    ensure!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let mut files = fs::read_dir(work)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = files.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.context("apt-get has put the package here")?;
    let to = work.join("package");
    run_ok(&system_program("dpkg-deb")?, ["-x".as_ref(), package.as_os_str(), to.as_os_str()])?;
    Ok(name.trim_start_matches("linux-image-").to_owned())
}

fn make_memory(work: &Path, package: &Path, release: &str, to: &Path) -> Result<()> {
    let busybox = system_program("busybox")?;
    run_ok(&busybox, ["depmod".as_ref(), "-b".as_ref(), package.as_os_str(), release.as_ref()])?;
    let tree = work.join("memory");
    let lib = tree.join("lib/modules").join(release);
    for folder in ["bin", "dev", "proc", "sys", "root"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy(&busybox, tree.join("bin/busybox"))?;
    let from = package.join("lib/modules").join(release);
    let index = fs::read_to_string(from.join("modules.dep"))?;
    for line in index.lines() {
        let (module, needs) = line.split_once(':').unwrap_or((line, ""));
        let wanted = |name: &&str| module.ends_with(&format!("/{name}.ko"));
        if MODULES.iter().any(wanted) {
            for file in std::iter::once(module).chain(needs.split_whitespace()) {
                let place = lib.join(file);
                fs::create_dir_all(place.parent().context("a folder")?)?;
                fs::copy(from.join(file), place)?;
            }
        }
    }
    run_ok(&busybox, ["depmod".as_ref(), "-b".as_ref(), tree.as_os_str(), release.as_ref()])?;
    let init = format!(
        "#!/bin/busybox sh\n\
         export PATH=/bin\n\
         /bin/busybox --install -s /bin\n\
         mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev\n\
         for module in {}; do modprobe $module; done\n\
         ip link set lo up; ip link set eth0 up; ip addr add {ADDRESS} dev eth0; ip route add default via {ROUTER}\n\
         until [ -b /dev/vda ]; do usleep 10000; done\n\
         mount -t ext4 /dev/vda /root || exec sh\n\
         umount /proc /sys\n\
         mount --move /dev /root/dev\n\
         exec switch_root /root /sbin/init\n",
        MODULES.join(" ")
    );
    fs::write(tree.join("init"), init)?;
    fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755))?;
    let pack = "cd \"$1\" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 > \"$2\"";
    let arguments = ["-c".as_ref(), pack.as_ref(), "pack".as_ref(), tree.as_os_str(), to.as_os_str()];
    run_ok(&system_program("sh")?, arguments)?;
    Ok(())
}

/// Makes a file with an ext4 file system of what is in a folder.
pub(super) fn make(folder: &Path, image: &Path) -> Result<()> {
    let options = ["-q", "-F", "-t", "ext4", "-d"].map(std::ffi::OsStr::new);
    let arguments = options.into_iter().chain([folder.as_os_str(), image.as_os_str(), IMAGE_SIZE.as_ref()]);
    run_ok(&system_program("mke2fs")?, arguments).map(drop)
}
