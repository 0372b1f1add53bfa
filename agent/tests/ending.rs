//! How the daemon lives and ends under a service manager: signs of life, and an end at once, whatever the broker does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests may")]

mod daemon;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use daemon::Daemon;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(20);

/// Asks until it holds.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "still missing: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How long the daemon takes to end after SIGTERM; it must end well.
fn end(daemon: &mut Daemon) -> Duration {
    let begin = Instant::now();
    kill(Pid::from_raw(daemon.process.id() as i32), Signal::SIGTERM).unwrap();
    wait_for("the end of the daemon", || daemon.process.try_wait().unwrap().is_some());
    assert!(daemon.process.wait().unwrap().success());
    begin.elapsed()
}

fn is_connected(daemon: &Daemon) -> bool {
    let output = daemon.ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    status["connection"]["state"] == "connected"
}

/// Lets an MQTT 5 client in and takes its subscription; from then on it neither reads nor writes.
fn let_in(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 512];
    let mut welcomed = false;
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the client went away");
        seen.extend_from_slice(&chunk[..read]);
        if !welcomed {
            // CONNACK: no session, success, no properties.
            stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
            welcomed = true;
        }
        // SUBSCRIBE with a length of one byte; then its packet identifier.
        if let Some(at) = seen.iter().position(|byte| *byte == 0x82)
            && seen.len() > at + 4
        {
            stream.write_all(&[0x90, 4, seen[at + 2], seen[at + 3], 0, 1]).unwrap();
            return;
        }
    }
}

#[test]
fn the_daemon_ends_at_once_when_its_broker_is_half_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut daemon = Daemon::start(listener.local_addr().unwrap().port(), &[]);
    let (mut stream, _) = listener.accept().unwrap();
    let_in(&mut stream);
    wait_for("the connection", || is_connected(&daemon));
    let took = end(&mut daemon);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_daemon_ends_at_once_while_it_connects() {
    // Nobody accepts, nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut daemon = Daemon::start(listener.local_addr().unwrap().port(), &[]);
    let took = end(&mut daemon);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_watchdog_is_fed_by_the_loop_and_the_end_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let read = move || {
        let mut message = [0; 4096];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    let mut daemon = Daemon::start(1, &variables);
    let (mut ready, mut alive) = (false, 0);
    while alive < 10 {
        match read().as_str() {
            "READY=1" => ready = true,
            "WATCHDOG=1" => alive += 1,
            _ => {}
        }
    }
    assert!(ready, "ten signs of life before it was ready");
    let pid = Pid::from_raw(daemon.process.id() as i32);
    kill(pid, Signal::SIGTERM).unwrap();
    while read() != "STOPPING=1" {}
    wait_for("the end of the daemon", || daemon.process.try_wait().unwrap().is_some());
}
