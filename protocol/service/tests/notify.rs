//! What the service manager hears, at a socket that the test holds. Both builds say the same.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use keros_service::Notify;

/// Set for the process that speaks: a program's environment cannot be changed while it runs.
const SPEAKER: &str = "KEROS_TEST_SPEAKER";

/// Not a test by itself: what the process does that the other test starts.
#[test]
fn speaker() {
    if std::env::var_os(SPEAKER).is_none() {
        return;
    }
    let mut notify = Notify::new();
    assert_eq!(notify.interval(), Some(Duration::from_secs(40)), "a third of what systemd waits for");
    notify.ready();
    notify.status("connected\x1b[2J\0".to_owned());
    notify.status("connected\x1b[2J\0".to_owned());
    notify.alive();
    notify.stopping();
}

#[test]
fn readiness_status_and_watchdog_reach_the_service_manager() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut speaker = Command::new(std::env::current_exe().unwrap());
    speaker.args(["--exact", "speaker"]).env(SPEAKER, "1").env("NOTIFY_SOCKET", &path);
    let ended = speaker.env("WATCHDOG_USEC", "120000000").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let mut bytes = [0; 4096];
    let heard: Vec<String> = (0..4)
        .map(|_| {
            let length = socket.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned()
        })
        .collect();
    assert_eq!(heard, ["READY=1", "STATUS=connected\\u{1b}[2J\\u{0}", "WATCHDOG=1", "STOPPING=1"]);
}

#[test]
fn without_a_service_manager_nothing_happens() {
    let notify = Notify::new();
    assert_eq!(notify.interval(), None);
    notify.ready();
    notify.stopping();
}
