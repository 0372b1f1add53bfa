//! Clients of the local sockets that mean harm, on a real agent: a user of the group, and one without it. Meanwhile root is answered, the
//! memory stays bounded, and the watchdog is fed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod daemon;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daemon::Daemon;

const NO_PORT: u16 = 1;
const NOBODY: &str = "65534";

/// Of the unit: the agent is ended when it has more.
const MEMORY_MAX_BYTES: u64 = 32 << 20;
/// What clients may cost it at most.
const MOST_MORE_BYTES: u64 = 2 << 20;

/// What a local user can do. The first argument is the socket, the second what to do; it prints `ready` when it is at it.
const HARM: &str = r#"
import socket, sys, time
path, what = sys.argv[1], sys.argv[2]
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(path); return s
def ready():
    print("ready", flush=True)
def asks(n):
    answered = 0
    for _ in range(n):
        try:
            s = connect(); s.sendall(b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"); answered += b" 200 " in s.recv(64); s.close()
        except OSError: pass
    return answered
if what == "connects":
    connect(); ready()
elif what == "thousand":
    held = []
    for _ in range(1000):
        try: held.append(connect())
        except OSError: pass
    ready(); time.sleep(60)
elif what == "never_reads":
    held, told = [], False
    while True:
        for _ in range(8):
            try:
                s = connect(); s.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n\r\n" * 100); held.append(s)
            except OSError: pass
        if len(held) >= 8 and not told: told = True; ready()
        held = held[-8:]; time.sleep(0.2)
elif what == "flood":
    ready()
    while True: asks(100)
elif what == "slow":
    held = [connect() for _ in range(8)]
    ready()
    for byte in b"GET /v1/status HTTP/1.1\r\nX: " + b"y" * 1000:
        for s in held:
            try: s.sendall(bytes([byte]))
            except OSError: pass
        time.sleep(0.3)
"#;

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        keros_skip::skipped("only root can become somebody else");
    }
    is_root
}

/// An agent that may be reached by others, as far as its sockets let them.
fn agent(variables: &[(&str, &str)]) -> Daemon {
    let daemon = Daemon::start(NO_PORT, variables);
    for folder in ["", "run"] {
        let path = daemon.folder.path().join(folder);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711)).unwrap();
    }
    daemon
}

/// A process that ends with the test.
struct Harm(Child);

impl Drop for Harm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Begins it as nobody, in the group of the socket or not; `None` when it cannot even connect.
fn harm(daemon: &Daemon, what: &str, in_group: bool) -> Option<Harm> {
    let socket = daemon.folder.path().join("run/status.sock");
    let group =
        if in_group { std::fs::metadata(&socket).unwrap().gid().to_string() } else { NOBODY.to_owned() };
    let mut command = Command::new("/usr/bin/setpriv");
    command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={group}")).arg("--clear-groups");
    command.args(["/usr/bin/python3", "-c", HARM]).arg(&socket).arg(what);
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut harm = Harm(command.spawn().unwrap());
    let mut word = [0; 5];
    harm.0.stdout.take().unwrap().read_exact(&mut word).is_ok().then_some(harm)
}

/// How long root waits for `keros-agent status`.
fn root_is_answered(daemon: &Daemon) -> Duration {
    let begin = Instant::now();
    let output = daemon.ask(&["status", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begin.elapsed()
}

/// What it has of its own: the program's pages are shared with the other tests' agents, which come and go.
fn own_bytes(daemon: &Daemon) -> u64 {
    memory_bytes(daemon, "Pss_Anon:")
}

fn memory_bytes(daemon: &Daemon, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.process.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

fn lines_about_nobody(daemon: &Daemon) -> usize {
    let log = std::fs::read_to_string(daemon.folder.path().join("log")).unwrap();
    log.lines().filter(|line| line.contains(&format!("user {NOBODY}"))).count()
}

#[test]
fn a_user_without_the_group_is_kept_out() {
    if !is_root() {
        return;
    }
    let daemon = agent(&[]);
    assert!(harm(&daemon, "connects", true).is_some(), "the group is let in");
    assert!(harm(&daemon, "connects", false).is_none(), "nobody else is");
}

#[test]
fn whatever_a_user_of_the_group_does_root_is_answered_and_memory_is_bounded() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    notify.set_nonblocking(true).unwrap();
    let address = folder.path().join("notify").display().to_string();
    let daemon = agent(&[("NOTIFY_SOCKET", &address), ("WATCHDOG_USEC", "2000000")]);
    root_is_answered(&daemon);
    let before = own_bytes(&daemon);
    for what in ["thousand", "never_reads", "flood", "slow"] {
        let _harm = harm(&daemon, what, true).unwrap();
        fed(&notify);
        let mut slowest = Duration::ZERO;
        for _ in 0..5 {
            slowest = slowest.max(root_is_answered(&daemon));
        }
        let during = own_bytes(&daemon);
        let all = memory_bytes(&daemon, "Pss:");
        println!("{what}: root waits {slowest:?} at most, own memory {before} -> {during} bytes, PSS {all}");
        assert!(slowest < Duration::from_secs(10), "{what}: {slowest:?}");
        assert!(
            during < MEMORY_MAX_BYTES && during < before + MOST_MORE_BYTES,
            "{what}: {before} -> {during}"
        );
        let limit = Instant::now() + Duration::from_secs(20);
        while fed(&notify) == 0 {
            assert!(Instant::now() < limit, "{what}: the watchdog is not fed");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let lines = lines_about_nobody(&daemon);
    assert!((1..80).contains(&lines), "{lines} lines in the log");
}

/// How often the watchdog was fed since this was last asked.
fn fed(notify: &UnixDatagram) -> usize {
    let mut buffer = [0; 4096];
    let mut count = 0;
    while let Ok(length) = notify.recv(&mut buffer) {
        count += usize::from(buffer[..length].windows(10).any(|part| part == b"WATCHDOG=1"));
    }
    count
}

/// Name, socket, what is sent, and the statuses that may come back; an empty one: the agent just leaves.
type Case<'a> = (&'a str, &'a str, Vec<&'a [u8]>, &'a [&'a str]);

/// Sends it, and gives what comes back; the agent may leave before it has read all.
fn exchange(socket: &Path, pieces: &[&[u8]]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_of_ten_mebibytes_and_nonsense_are_answered_or_dropped() {
    let daemon = agent(&[]);
    let before = own_bytes(&daemon);
    let long = vec![b'x'; 10 << 20];
    let chunk = [format!("{:x}\r\n", long.len()).as_bytes(), &long, b"\r\n0\r\n\r\n"].concat();
    let begin: &[u8] = b"POST /v1/telemetry HTTP/1.1\r\nHost: a\r\n";
    let cases: [Case<'_>; 23] = [
        ("headers", "status", vec![b"GET /v1/status HTTP/1.1\r\nX: ", &*long], &["431", "400", ""]),
        ("path", "status", vec![b"GET /", &*long], &["414", "431", "400", ""]),
        ("body", "status", vec![begin, b"Content-Length: 10485760\r\n\r\n", &long], &["413"]),
        ("chunked", "status", vec![begin, b"Transfer-Encoding: chunked\r\n\r\n", &chunk], &["202"]),
        ("command", "control", vec![b"POST /v1/commands HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk], &["413"]),
        ("half-close", "status", vec![b"GET /v1/status HTTP/1.1\r\nHo"], &["", "400"]),
        ("half-closed whole", "status", vec![b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"], &["200"]),
        ("nothing", "status", vec![], &[""]),
        ("garbage", "status", vec![b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"], &["400", ""]),
        ("HTTP/2", "status", vec![b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"], &["400", "505", ""]),
        ("pipelined", "status", vec![b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/jobs HTTP/1.1\r\nHost: a\r\n\r\n"], &["200"]),
        ("smuggled", "status", vec![begin, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/jobs HTTP/1.1\r\n\r\n"], &["202", "400"]),
        ("dots", "status", vec![b"GET /v1/jobs/../config HTTP/1.1\r\nHost: a\r\n\r\n"], &["404"]),
        ("encoded", "status", vec![b"GET /v1/%6aobs HTTP/1.1\r\nHost: a\r\n\r\n"], &["404"]),
        ("encoded dots", "status", vec![b"GET /v1/jobs/%2e%2e%2fconfig HTTP/1.1\r\nHost: a\r\n\r\n"], &["400"]),
        ("NUL", "status", vec![b"GET /v1/jobs/\x00 HTTP/1.1\r\nHost: a\r\n\r\n"], &["400", ""]),
        ("encoded NUL", "status", vec![b"GET /v1/jobs%00 HTTP/1.1\r\nHost: a\r\n\r\n"], &["404"]),
        ("absolute", "status", vec![b"GET http://elsewhere/v1/status HTTP/1.1\r\nHost: a\r\n\r\n"], &["200"]),
        ("unknown method", "status", vec![b"BREW /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"], &["405"]),
        ("CONNECT", "status", vec![b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"], &["404", "400", "405"]),
        ("upgrade", "status", vec![b"GET /v1/status HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"], &["200"]),
        ("dots to a blob", "control", vec![b"PUT /v1/blobs/../../etc/passwd HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"], &["404"]),
        ("dots to a job", "control", vec![b"POST /v1/jobs/../cancel HTTP/1.1\r\nHost: a\r\n\r\n"], &["400"]),
    ];
    for (name, socket, pieces, statuses) in cases {
        let socket = daemon.folder.path().join(format!("run/{socket}.sock"));
        // Many times where it must be answered: whether the agent sees the end of the request first is chance.
        let answers: Vec<_> =
            (0..if statuses.contains(&"") { 1 } else { 5 }).map(|_| exchange(&socket, &pieces)).collect();
        let answer = answers.iter().min_by_key(|answer| answer.len()).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(statuses.contains(&status), "{name}: {}", &answer[..answer.len().min(300)]);
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{name}: one request a connection: {answer}");
    }
    let after = own_bytes(&daemon);
    println!("own memory {before} -> {after} bytes");
    assert!(after < before + MOST_MORE_BYTES, "{before} -> {after}");
    root_is_answered(&daemon);
}
