//! Centers that answer as none should, over real TLS: each attempt ends within its limits, says why, and nothing is written.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use keros_machine::TimeJudge;
use keros_protocol::enroll::{EnrolLine, EnrolToken, HostPort, Issued, paths};
use keros_protocol::{Eui, SigningKey};
use nix::unistd::geteuid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ask::{Center, Limits};
use super::{EnrolError, Wanted, enroll};
use crate::clock::{BUILT_AT_UNIX_S, Clock, SharedTime};
use crate::fetch::tests::secure::Pki;
use crate::fetch::tests::server::{Stream, say};

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const SHORT: Limits = Limits { patience: Duration::from_millis(1500), whole: Duration::from_secs(3) };
/// Beyond the limits, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

type Reply = dyn Fn(&mut dyn Stream) -> io::Result<()> + Send + Sync;

/// An entrance that answers so, and the line that leads to it.
fn entrance(pki: &Pki, reply: Box<Reply>) -> EnrolLine {
    let server = pki.answering(move |_, stream, _| {
        reply(stream)?;
        // The connection is the client's to end: one that is ended with something unread in it may take the answer along.
        stream.flush()
    });
    line(pki, server.address.port())
}

fn line(pki: &Pki, port: u16) -> EnrolLine {
    let authority = CertificateDer::from_pem_file(pki.path("ca.pem")).unwrap();
    EnrolLine {
        eui: EUI,
        entrance: HostPort::new("localhost", port).unwrap(),
        pin: Sha256::digest(&authority).into(),
        token: EnrolToken::from_bytes([7; 16]),
        issued_at_unix_s: BUILT_AT_UNIX_S,
    }
}

/// Asks for a place within short limits.
fn ask(line: &EnrolLine) -> Result<Issued, EnrolError> {
    let time = SharedTime::new(Clock::new(), TimeJudge::new(line.issued_at_unix_s));
    Center::pinned_within(&line.entrance, line.pin, &time, SHORT).post(paths::ISSUE, &json!({"eui": EUI}))
}

/// Asks, and sees it fail in time; what is said.
fn failed(line: &EnrolLine) -> String {
    let begun = Instant::now();
    let error = ask(line).unwrap_err();
    assert!(begun.elapsed() < SHORT.whole + SLACK, "{:?} for {error}", begun.elapsed());
    format!("{error}. {}", error.advice())
}

/// Writes on and on, so many bytes at once, until the other side has had enough.
fn endless(stream: &mut dyn Stream, begin: &str, piece: &[u8], pause: Duration) -> io::Result<()> {
    stream.write_all(begin.as_bytes())?;
    loop {
        stream.write_all(piece)?;
        stream.flush()?;
        std::thread::sleep(pause);
    }
}

#[test]
fn an_answer_without_end_or_measure_is_given_up() {
    let Some(pki) = Pki::new(300) else { return };
    let head = "HTTP/1.1 200 OK\r\n";
    let drop = Duration::from_millis(20);
    let cases: Vec<(&str, Box<Reply>)> = vec![
        ("cannot reach", Box::new(move |s| endless(s, "", b"H", drop))),
        ("cannot reach", Box::new(move |s| endless(s, head, b"x", drop))),
        ("cannot reach", Box::new(move |s| endless(s, head, b"X-A: b\r\n", Duration::ZERO))),
        (
            "cannot reach",
            Box::new(move |s| endless(s, &format!("{head}Content-Length: 60000\r\n\r\n"), b" ", drop)),
        ),
        (
            "more than 65536 bytes",
            Box::new(move |s| endless(s, &format!("{head}\r\n"), &[b' '; 4096], Duration::ZERO)),
        ),
        ("more than 65536 bytes", Box::new(|s| say(s, "200 OK", "", &vec![b'['; 1 << 20]))),
        (
            "more than 65536 bytes",
            Box::new(move |s| {
                let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
                endless(s, &chunked, format!("1000\r\n{}\r\n", " ".repeat(4096)).as_bytes(), Duration::ZERO)
            }),
        ),
        (
            "cannot reach",
            Box::new(|_| {
                std::thread::sleep(SHORT.whole * 2);
                Ok(())
            }),
        ),
    ];
    for (number, (words, reply)) in cases.into_iter().enumerate() {
        let said = failed(&entrance(&pki, reply));
        assert!(said.contains(words), "case {number}: {said}");
    }
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    let Some(pki) = Pki::new(300) else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let line = line(&pki, listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            // Nothing; then a record of 16 KiB, byte by byte.
            let record = [&[22, 3, 3, 0x40, 0][..], &[2; 0x4000]].concat();
            std::thread::spawn(move || {
                for byte in record {
                    std::thread::sleep(Duration::from_millis(if number == 0 { 60_000 } else { 20 }));
                    if io::Write::write_all(&mut stream, &[byte]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    for _ in 0..2 {
        let said = failed(&line);
        assert!(said.contains("cannot reach") && said.contains("same line again"), "{said}");
    }
}

#[test]
fn a_gateway_whose_clock_is_behind_judges_by_the_time_of_the_line() {
    // As far behind as none without a battery is; the certificate of a day is good by its clock, and over by the line.
    let later = 1_800_000_000;
    assert!(crate::clock::wall_clock() < later);
    for (days, words) in [(400, "it is 404"), (1, "expired")] {
        let Some(pki) = Pki::new(days) else { return };
        let line = entrance(&pki, Box::new(|stream| say(stream, "404 Not Found", "", b"")));
        let said = failed(&EnrolLine { issued_at_unix_s: later, ..line });
        assert!(said.contains(words), "{days} days: {said}");
    }
}

/// All that a gateway can be told, and would take.
fn good(pki: &Pki) -> Value {
    let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public().to_pem();
    json!({
        "eui": EUI, "time_unix_s": 1, "broker": {"host": "localhost", "port": 1}, "topic_prefix": "keros",
        "authorities": [std::fs::read_to_string(pki.path("ca.pem")).unwrap()],
        "login": {"kind": "password", "password": "secret"},
        "command_keys": [key], "statement_keys": [key],
    })
}

/// Every file and folder below, with what is in it.
fn all_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path.clone()),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_a_gateway_cannot_use_is_refused_and_nothing_is_written() {
    if !geteuid().is_root() {
        return keros_skip::skipped("only root can enrol a gateway");
    }
    let Some(pki) = Pki::new(300) else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let trust = folder.path().join("trust").display().to_string();
    std::fs::write(&config, format!("identity: {{eui: \"{EUI}\"}}\ntrust_folder: {trust}\n")).unwrap();

    let text = "the center's answer cannot be used";
    let with = |name: &str, value: Value| {
        let mut answer = good(&pki);
        answer[name] = value;
        ("200 OK", answer.to_string(), text)
    };
    let refusal = |status, reason: &str, words| {
        (status, json!({"reason": reason, "detail": "\u{1b}[2Jno"}).to_string(), words)
    };
    let cases = [
        ("200 OK", String::new(), text),
        ("200 OK", "null".to_owned(), text),
        ("200 OK", "[".repeat(60_000), text),
        ("204 No Content", String::new(), text),
        ("302 Found", String::new(), "it is 302"),
        ("500 Internal Server Error", "<html>".to_owned(), "it is 500"),
        refusal("403 Forbidden", "expired", "the center refuses"),
        refusal("418 I'm a teapot", "from_the_future", "the center refuses"),
        with("eui", json!("7076FF0000000001")),
        with("eui", json!(7)),
        with("time_unix_s", json!(-1)),
        with("broker", json!({"host": "a\nb: c", "port": 1})),
        with("broker", json!({"host": "../../etc", "port": 1})),
        with("broker", json!({"host": "localhost", "port": 70_000})),
        with("topic_prefix", json!("a/#")),
        with("topic_prefix", json!("a\"\nbroker: {")),
        with("authorities", json!([])),
        with("authorities", json!(["../../etc/shadow"])),
        with("login", json!({"kind": "password", "password": "a\nb"})),
        with("login", json!({"kind": "nothing"})),
        with(
            "login",
            json!({"kind": "certificate", "certificate": std::fs::read_to_string(pki.path("ca.pem")).unwrap()}),
        ),
        with("command_keys", json!([])),
        with("command_keys", json!(["-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"])),
        with("statement_keys", json!("x".repeat(60_000))),
        // All of it is good, but nobody is at the broker that it names.
        ("200 OK", good(&pki).to_string(), "was tried and does not work"),
    ];
    for (status, body, words) in cases {
        let shown = format!("{status}, {}", body.get(..120).unwrap_or(&body));
        let line = entrance(&pki, Box::new(move |stream| say(stream, status, "", body.as_bytes())));
        let wanted =
            Wanted { line, config: Some(&config), may_replace: &|_| false, no_restart: true, tell: &|_| {} };
        let error = enroll(&wanted).unwrap_err();
        assert!(error.to_string().contains(words), "{shown}: {error}");
        // The key that was made here is for the next attempt.
        let pending = format!("tls/pending-{}.key", &wanted.line.token.digest()[..16]);
        assert_eq!(all_below(folder.path()), ["config.yaml", "tls/lock", &pending], "{shown}");
    }
}

/// An agent that says this of its jobs, once.
fn agent_with(folder: &Path, outcome: Value) -> String {
    let listener = std::os::unix::net::UnixListener::bind(folder.join("status.sock")).unwrap();
    let job = json!({
        "command_id": "0192f0ab-1234-7000-8000-000000000000", "update_id": null, "kind": "jetporch",
        "received_at_unix_s": 1, "changed_at_unix_s": 1, "outcome": outcome,
    });
    let body = json!({"open_jobs": [job], "ended_jobs": []}).to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            io::Read::read_exact(&mut stream, &mut byte).unwrap();
            asked.extend(byte);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let _ = io::Write::write_all(&mut stream, (head + &body).as_bytes());
    });
    folder.display().to_string()
}

#[test]
fn nobody_enrols_while_a_job_may_still_bring_the_former_keys_back() {
    if !geteuid().is_root() {
        return keros_skip::skipped("only root can enrol a gateway");
    }
    let Some(pki) = Pki::new(300) else { return };
    for (outcome, words) in [
        (
            json!({"status": "running", "task": null}),
            "job 0192f0ab-1234-7000-8000-000000000000 has not ended",
        ),
        (json!({"status": "accepted"}), "it is 404"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let runtime = agent_with(folder.path(), outcome);
        let config = folder.path().join("config.yaml");
        let text = format!(
            "identity: {{eui: \"{EUI}\"}}\nruntime_folder: {runtime}\ntrust_folder: {runtime}/trust\n"
        );
        std::fs::write(&config, text).unwrap();
        let line = entrance(&pki, Box::new(|stream| say(stream, "404 Not Found", "", b"")));
        let wanted =
            Wanted { line, config: Some(&config), may_replace: &|_| false, no_restart: true, tell: &|_| {} };
        let error = enroll(&wanted).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
