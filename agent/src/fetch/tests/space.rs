//! Disks that are too small, on real ones.

use std::process::Command;

use super::bundle::{Bundle, bytes};
use super::server::Server;
use super::*;

/// A file system in memory below a gateway's folder, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, mib: u64) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        keros_skip::skipped("only root can mount a small disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_bundle_that_has_no_room_is_refused_before_its_files() {
    let bundle = Bundle::of_length(3 * 1024 * 1024);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::new();
    // Two copies of the bundle, and the margin of 16 MiB.
    let Some(_disk) = SmallDisk::mount(gateway.folder.path().join("bundles"), 21) else { return };
    let (reason, detail) = refused(gateway.fetch(&bundle, &server));
    assert_eq!(reason, RefusalReason::NoSpace, "{detail}");
    assert_eq!(server.paths().len(), 2);
    assert_eq!(gateway.parts(), [] as [String; 0]);
}

#[test]
fn bundles_of_ended_jobs_make_room() {
    let bundle = Bundle::of_length(3 * 1024 * 1024);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::new();
    let Some(_disk) = SmallDisk::mount(gateway.folder.path().join("bundles"), 23) else { return };
    let old = bytes(2 * 1024 * 1024, 50);
    std::fs::create_dir_all(gateway.blobs()).unwrap();
    std::fs::write(gateway.blobs().join(Digest::of(&old).hex()), &old).unwrap();
    assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
    assert!(!gateway.has(Digest::of(&old)));
}
