//! What the program says to requests, good and bad, on its standard streams and on its socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};

use common::{EXECUTOR, Gateway, command, line, outcome, script, shell_quoted, wait_for};
use keros_protocol::executor::{Event, Request};
use keros_protocol::limits::MAX_EXECUTOR_LINE_BYTES;
use keros_protocol::{CommandId, Outcome, RefusalReason};

#[test]
fn bad_requests_are_answered_and_have_their_exit_code() {
    let gateway = Gateway::new();
    let oversized = vec![b'x'; MAX_EXECUTOR_LINE_BYTES + 100_000];
    let run =
        line(&Request::Run { envelope: gateway.envelope(&command(1, "x")), statement: None, bundle: None });
    let deep = format!("{{\"request\":\"run\",\"envelope\":{}", "[".repeat(100_000));
    let bad: [(&[u8], i32); 7] = [
        (b"", 65),
        (b"not JSON\n", 65),
        (b"{\"request\":\"dance\"}\n", 65),
        (b"{\"request\":\"attach\",\"command_id\":5}\n", 65),
        (deep.as_bytes(), 65),
        (&run[..run.len() / 2], 65),
        (&oversized, 65),
    ];
    for (bytes, code) in bad {
        let mut session = gateway.session(bytes);
        let event = session.next();
        assert!(
            matches!(&event, Some(Event::RequestFailed { message, .. }) if !message.is_empty()),
            "{event:?}"
        );
        assert_eq!(session.next(), None);
        assert_eq!(session.exit_code(), code);
    }
    let unknown = Request::Attach { command_id: CommandId(uuid::Uuid::from_u128(9)) };
    assert_eq!(gateway.session(&line(&unknown)).exit_code(), 66);
    assert_eq!(std::fs::read_dir(gateway.path("state/jobs")).unwrap().count(), 0);
}

#[test]
fn status_says_that_nothing_runs() {
    let gateway = Gateway::new();
    let events = gateway.session(&line(&Request::Status {})).events();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    assert_eq!(events, [Event::Status { version, running: None }]);
}

#[test]
fn a_state_folder_that_is_a_link_is_not_used() {
    let gateway = Gateway::new();
    std::os::unix::fs::symlink(gateway.path("root"), gateway.path("state")).unwrap();
    assert_eq!(gateway.session(&line(&Request::Status {})).exit_code(), 77);
}

#[test]
fn keys_that_others_can_write_order_nothing() {
    let gateway = Gateway::new();
    let key = gateway.path("trust/command-a.pem");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o666)).unwrap();
    let events = gateway.run(&command(1, "x"));
    let Outcome::Refused { reason, detail } = outcome(&events) else { panic!("{events:?}") };
    assert_eq!(*reason, RefusalReason::BadSignature);
    assert!(detail.contains("can be written by others"), "{detail}");
}

#[test]
fn a_script_that_cannot_be_read_is_refused_with_its_place() {
    let gateway = Gateway::new();
    let events =
        gateway.run(&command(1, "- name: x\n  groups: [all]\n  tasks:\n    - !nonsense\n      a: 1\n"));
    let Outcome::Refused { detail, .. } = outcome(&events) else { panic!("{events:?}") };
    assert!(detail.starts_with("script:"), "{detail}");
    assert_eq!(std::fs::read_dir(gateway.path("state/jobs")).unwrap().count(), 0);
}

#[test]
fn a_person_is_helped() {
    let run = |arguments: &[&str]| Program::new(EXECUTOR).args(arguments).output().unwrap();
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    assert_eq!(
        run(&["--version"]).stdout,
        format!("keros-executor {}\n", env!("CARGO_PKG_VERSION")).into_bytes()
    );
    assert_eq!(run(&["sesion"]).status.code(), Some(64));
    assert!(String::from_utf8(run(&["completions", "bash"]).stdout).unwrap().contains("keros-executor"));
}

struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn listen(gateway: &Gateway, socket: &Path) -> Listener {
    let child = gateway.program("listen").arg("--socket").arg(socket).stderr(Stdio::null()).spawn().unwrap();
    let listener = Listener(child);
    wait_for("the socket takes connections", || UnixStream::connect(socket).is_ok());
    listener
}

#[test]
fn the_socket_serves_sessions() {
    let gateway = Gateway::new();
    let socket = gateway.path("socket");
    let _listener = listen(&gateway, &socket);
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    for _ in 0..40 {
        let mut connection = UnixStream::connect(&socket).unwrap();
        connection.write_all(&line(&Request::Status {})).unwrap();
        let mut answer = String::new();
        BufReader::new(connection).read_line(&mut answer).unwrap();
        assert!(answer.contains("\"event\":\"status\""), "{answer}");
    }
}

/// The exit code of a listener that has to give up.
fn gives_up(gateway: &Gateway, socket: &Path) -> Option<i32> {
    let child = gateway.program("listen").arg("--socket").arg(socket).stderr(Stdio::null()).spawn().unwrap();
    let mut listener = Listener(child);
    let mut status = None;
    wait_for("the listener gives up", || {
        status = listener.0.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

#[test]
fn a_live_socket_is_left_alone_and_a_stale_one_is_replaced() {
    let gateway = Gateway::new();
    let socket = gateway.path("socket");
    drop(UnixListener::bind(&socket).unwrap());
    // A process that another test is just starting has this one's descriptors until its exec.
    wait_for("nobody holds the stale socket", || UnixStream::connect(&socket).is_err());
    let listener = listen(&gateway, &socket);
    assert_eq!(gives_up(&gateway, &socket), Some(75));
    drop(listener);
    let foreign = gateway.path("foreign");
    let _foreign = UnixListener::bind(&foreign).unwrap();
    assert_eq!(gives_up(&gateway, &foreign), Some(75));
    let _listener = listen(&gateway, &socket);
}

#[test]
fn a_job_outlives_the_listener() {
    let gateway = Gateway::new();
    let socket = gateway.path("socket");
    let listener = listen(&gateway, &socket);
    let leave = gateway.path("leave");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", shell_quoted(&leave));
    let request = Request::Run {
        envelope: gateway.envelope(&command(1, &script(&[wait]))),
        statement: None,
        bundle: None,
    };
    let mut connection = UnixStream::connect(&socket).unwrap();
    connection.write_all(&line(&request)).unwrap();
    let mut events = BufReader::new(connection).lines().map(|line| line.unwrap());
    assert!(events.any(|event| event.contains("\"event\":\"task_started\"")));
    drop(listener);
    std::fs::write(&leave, "").unwrap();
    let last = events.last().unwrap();
    assert!(last.contains("\"status\":\"succeeded\""), "{last}");
}
