//! Who may cancel without the center's word. Alone in its program: it changes the user of the whole process for a moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::fs::{Permissions, set_permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use common::{Gateway, command, line, wait_for};
use keros_protocol::executor::{CancelAnswer, Event, Request};
use nix::unistd::{Uid, geteuid, seteuid};

struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn over_the_socket_only_root_cancels_without_the_centers_word() {
    if !geteuid().is_root() {
        return keros_skip::skipped("only root can be somebody else");
    }
    let gateway = Gateway::new();
    let socket = gateway.path("socket");
    let mut listen = gateway.program("listen");
    let _listener = Listener(listen.arg("--socket").arg(&socket).stderr(Stdio::null()).spawn().unwrap());
    wait_for("the socket takes connections", || UnixStream::connect(&socket).is_ok());
    // As on a gateway, where the agent's group may connect.
    set_permissions(gateway.folder.path(), Permissions::from_mode(0o755)).unwrap();
    set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let request = Request::Cancel { command_id: command(1, "").command_id, statement: None };
    let ask = |user: u32| {
        seteuid(Uid::from_raw(user)).unwrap();
        let connection = UnixStream::connect(&socket);
        seteuid(Uid::from_raw(0)).unwrap();
        let mut connection = connection.unwrap();
        connection.write_all(&line(&request)).unwrap();
        let mut answer = String::new();
        BufReader::new(connection).read_line(&mut answer).unwrap();
        serde_json::from_str::<Event>(&answer).unwrap()
    };
    assert!(matches!(ask(0), Event::CancelAnswered { answer: CancelAnswer::Unknown, .. }));
    let Event::RequestFailed { message, .. } = ask(65534) else { panic!("it was obeyed") };
    assert!(message.contains("user 65534 may not cancel"), "{message}");
}
