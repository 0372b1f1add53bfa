//! What somebody who has taken over the agent, or a machine in a bad state, must not bring about. Real processes on a scratch tree.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::io::Write as _;
use std::process::Stdio;

use common::{Gateway, Session, command, line, outcome, script, wait_for};
use keros_protocol::executor::{Event, Request};
use keros_protocol::{Command, Job, Outcome};

fn gateway() -> Gateway {
    let gateway = Gateway::new();
    std::fs::write(gateway.path("root/etc/conf"), "old\n").unwrap();
    gateway.boot("first");
    gateway
}

fn with_window(window_s: u32) -> Command {
    let task = "!template { content: \"new\\n\", dest: /etc/conf }";
    let mut command = command(1, &format!("- name: test\n  groups: [all]\n  tasks:\n    - {task}\n"));
    command.options.confirm_window_s = window_s;
    command
}

fn nonce(session: &mut Session) -> String {
    loop {
        match session.next() {
            Some(Event::Confirming { nonce, .. }) => return nonce,
            Some(_) => {}
            None => panic!("the session ended before"),
        }
    }
}

/// The center has signed both: that it was heard of, and that it does not want the job.
#[test]
fn a_statement_that_cancels_the_job_does_not_confirm_it() {
    for is_lost in [false, true] {
        let gateway = gateway();
        let command = with_window(600);
        let mut session = gateway.begin(&command);
        let nonce = nonce(&mut session);
        if is_lost {
            session.kill();
        }
        let statement = gateway.statement(&[command.command_id], &[&nonce]);
        let answer = gateway.answer(&Request::Confirm { command_id: command.command_id, statement });
        assert!(matches!(answer, Event::ConfirmAnswered { accepted: false, .. }), "{answer:?}");
        let events = gateway.attach(command.command_id);
        assert!(matches!(outcome(&events), Outcome::RolledBack { complete: true, .. }), "{events:#?}");
        assert_eq!(gateway.text("root/etc/conf"), "old\n");
    }
}

/// Nobody knows then whether it had a window; without one, a gateway that it has cut off stays so.
#[test]
fn a_job_whose_command_is_damaged_has_a_window() {
    let gateway = gateway();
    let mut command = with_window(600);
    let Job::JetPorch { script, .. } = &mut command.job else { unreachable!() };
    script.push_str("    - !shell { cmd: 'touch there; while [ -e there ]; do sleep 0.02; done' }\n");
    let mut session = gateway.begin(&command);
    wait_for("the task has begun", || gateway.path("root/there").exists());
    session.kill();
    std::fs::write(gateway.journal(&command).with_file_name("command.json"), "{").unwrap();
    let mut next = gateway.session(&line(&Request::Attach { command_id: command.command_id }));
    nonce(&mut next);
    next.kill();
}

/// A runner whose messages nobody takes any more goes on.
#[test]
fn a_closed_standard_error_does_not_end_a_session() {
    let gateway = gateway();
    let command = with_window(0);
    let mut statement = gateway.statement(&[], &[]);
    statement.payload.clear();
    let (_, closed) = {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        ((), writer)
    };
    let mut program = gateway.program("session");
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(closed);
    let mut child = program.spawn().unwrap();
    let request =
        Request::Run { envelope: gateway.envelope(&command), statement: Some(statement), bundle: None };
    child.stdin.take().unwrap().write_all(&line(&request)).unwrap();
    let output = child.stdout.take().map(std::io::BufReader::new);
    let events = Session { child, output }.events();
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
}

/// Else nobody could say what runs, and a third command would wait for nothing.
#[test]
fn what_runs_is_known_also_when_another_job_was_settled_just_before() {
    let gateway = gateway();
    let wait = || script(&["touch there; while [ -e there ]; do sleep 0.02; done".to_owned()]);
    let (first, second) = (command(1, &wait()), command(2, &wait()));
    let there = gateway.path("root/there");
    let begin = |command: &Command| {
        let session = gateway.begin(command);
        wait_for("the task has begun", || there.exists());
        session
    };
    begin(&first).kill();
    std::fs::remove_file(&there).unwrap();
    let session = begin(&second);
    let status = gateway.answer(&Request::Status {});
    assert!(
        matches!(status, Event::Status { running: Some(id), .. } if id == second.command_id),
        "{status:?}"
    );
    std::fs::remove_file(&there).unwrap();
    assert!(matches!(outcome(&session.events()), Outcome::Succeeded { .. }));
}
