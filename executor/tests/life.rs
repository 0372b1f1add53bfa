//! What becomes of a job after its tasks: confirmed, undone, cancelled, rebooted, whatever happens to its process. Real
//! processes on a scratch tree.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::path::PathBuf;

use common::{Gateway, Session, command, line, outcome, shell_quoted, wait_for};
use keros_protocol::executor::{CancelAnswer, Event, Request};
use keros_protocol::{Command, Outcome};

/// A gateway with one file that jobs change.
fn gateway() -> Gateway {
    let gateway = Gateway::new();
    std::fs::write(gateway.path("root/etc/conf"), "old\n").unwrap();
    gateway.boot("first");
    gateway
}

fn file_script(tasks: &[&str]) -> String {
    let tasks: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
    format!("- name: test\n  groups: [all]\n  tasks:\n{tasks}")
}

const WRITE: &str = "!template { content: \"new\\n\", dest: /etc/conf }";

fn with_window(number: u16, window_s: u32, tasks: &[&str]) -> Command {
    let mut command = command(number, &file_script(tasks));
    command.options.confirm_window_s = window_s;
    command
}

/// A shell task that waits until it may go on.
fn wait_task(gateway: &Gateway) -> String {
    let leave = shell_quoted(&gateway.path("leave"));
    format!(
        "!shell {{ cmd: \"touch {}; while [ ! -e {leave} ]; do sleep 0.02; done\" }}",
        shell_quoted(&gateway.path("there"))
    )
}

/// These tasks, and then so many that a runner has time to hear of a cancellation.
fn in_the_midst_of<'a>(tasks: &[&'a str]) -> Vec<&'a str> {
    let mut tasks = tasks.to_vec();
    tasks.extend(["!shell { cmd: 'sleep 0.05' }"; 400]);
    tasks
}

fn give_leave(gateway: &Gateway) {
    std::fs::write(gateway.path("leave"), "").unwrap();
}

/// Events up to the first that is wanted.
fn until(session: &mut Session, wanted: impl Fn(&Event) -> bool) -> Event {
    let mut seen = Vec::new();
    while let Some(event) = session.next() {
        if wanted(&event) {
            return event;
        }
        seen.push(event);
    }
    panic!("the session ended before: {seen:#?}");
}

fn is_confirming(event: &Event) -> bool {
    matches!(event, Event::Confirming { .. })
}

fn nonce_of(event: &Event) -> String {
    match event {
        Event::Confirming { nonce, .. } | Event::Undone { nonce: Some(nonce), .. } => nonce.clone(),
        other => panic!("{other:?}"),
    }
}

fn attach(gateway: &Gateway, command: &Command) -> Session {
    gateway.session(&line(&Request::Attach { command_id: command.command_id }))
}

fn conf(gateway: &Gateway) -> String {
    gateway.text("root/etc/conf")
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

fn file_of(gateway: &Gateway, command: &Command, name: &str) -> PathBuf {
    gateway.journal(command).with_file_name(name)
}

fn is_accepted(event: &Event) -> bool {
    matches!(event, Event::ConfirmAnswered { accepted: true, .. })
}

fn answer(event: &Event) -> CancelAnswer {
    let Event::CancelAnswered { answer, .. } = event else { panic!("{event:?}") };
    *answer
}

fn rolled_back(events: &[Event]) -> (String, bool) {
    let Outcome::RolledBack { reason, complete, .. } = outcome(events) else { panic!("{events:#?}") };
    (reason.clone(), *complete)
}

#[test]
fn a_job_that_is_confirmed_in_time_stays() {
    let gateway = gateway();
    let command = with_window(1, 600, &[WRITE]);
    let mut session = gateway.begin(&command);
    let nonce = nonce_of(&until(&mut session, is_confirming));
    assert!(!is_accepted(&gateway.confirm(&command, "another")));
    assert!(is_accepted(&gateway.confirm(&command, &nonce)));
    let events = session.events();
    assert!(matches!(events[0], Event::Confirmed {}), "{events:?}");
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }));
    assert_eq!(conf(&gateway), "new\n");
    assert!(!is_accepted(&gateway.confirm(&command, &nonce)), "it has ended");
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::TooLate);
}

#[test]
fn a_job_that_nobody_confirms_is_undone() {
    let gateway = gateway();
    let command = with_window(1, 1, &[WRITE]);
    let events = gateway.run(&command);
    assert_eq!(rolled_back(&events), ("not confirmed within 1 s".to_owned(), true));
    assert_eq!(conf(&gateway), "old\n");
    assert!(count(&events, |event| matches!(event, Event::UndoStep { error: None, .. })) >= 1, "{events:#?}");
    assert_eq!(gateway.attach(command.command_id), events);
}

#[test]
fn a_job_that_changes_nothing_or_is_a_dry_run_has_no_window() {
    let gateway = gateway();
    let mut dry = with_window(1, 600, &[WRITE]);
    dry.options.dry_run = true;
    assert!(matches!(outcome(&gateway.run(&dry)), Outcome::Succeeded { dry_run: true, .. }));
    let same = with_window(2, 600, &["!template { content: \"old\\n\", dest: /etc/conf }"]);
    assert!(matches!(outcome(&gateway.run(&same)), Outcome::Succeeded { .. }));
}

#[test]
fn a_failed_job_that_changed_something_waits_as_well() {
    let gateway = gateway();
    let command = with_window(1, 600, &[WRITE, "!fail { msg: no }"]);
    let mut session = gateway.begin(&command);
    let confirming = until(&mut session, is_confirming);
    let Event::Confirming { outcome: pending, .. } = &confirming else { unreachable!() };
    assert!(matches!(**pending, Outcome::Failed { .. }), "{pending:?}");
    assert!(is_accepted(&gateway.confirm(&command, &nonce_of(&confirming))));
    assert!(matches!(outcome(&session.events()), Outcome::Failed { task: Some(_), .. }));
}

#[test]
fn a_lost_runner_in_the_window_is_followed_by_the_next_session_and_the_time_goes_on() {
    let gateway = gateway();
    let command = with_window(1, 4, &[WRITE]);
    let mut first = gateway.begin(&command);
    let nonce = nonce_of(&until(&mut first, is_confirming));
    first.kill();
    // One session takes over, and goes on when its peer leaves.
    let mut second = attach(&gateway, &command);
    assert_eq!(nonce_of(&until(&mut second, is_confirming)), nonce, "the same window");
    let mut third = attach(&gateway, &command);
    until(&mut third, is_confirming);
    drop(second.output.take());
    let events = third.events();
    assert_eq!(rolled_back(&events).0, "not confirmed within 4 s");
    assert_eq!(conf(&gateway), "old\n");
    second.child.wait().unwrap();
}

#[test]
fn a_confirmation_for_a_lost_runner_is_carried_out_by_its_session() {
    let gateway = gateway();
    let command = with_window(1, 600, &[WRITE]);
    let mut session = gateway.begin(&command);
    let nonce = nonce_of(&until(&mut session, is_confirming));
    session.kill();
    assert!(is_accepted(&gateway.confirm(&command, &nonce)));
    assert!(matches!(outcome(&gateway.attach(command.command_id)), Outcome::Succeeded { .. }));
    assert_eq!(conf(&gateway), "new\n");
}

#[test]
fn a_boot_renews_the_window_once_and_the_second_ends_it() {
    let gateway = gateway();
    let command = with_window(1, 600, &[WRITE]);
    let mut session = gateway.begin(&command);
    let first = nonce_of(&until(&mut session, is_confirming));
    session.kill();
    gateway.boot("second");
    let mut session = attach(&gateway, &command);
    until(&mut session, is_confirming);
    let renewed = until(&mut session, is_confirming);
    assert!(matches!(&renewed, Event::Confirming { renewed: true, boot_id, .. } if boot_id == "second"));
    assert_ne!(nonce_of(&renewed), first);
    assert!(!is_accepted(&gateway.confirm(&command, &first)), "the old nonce is no answer to the new one");
    session.kill();
    gateway.boot("third");
    gateway.told("settle", &[]);
    let events = gateway.attach(command.command_id);
    assert!(rolled_back(&events).0.contains("booted twice"), "{events:#?}");
    assert_eq!(conf(&gateway), "old\n");
}

#[test]
fn a_cancelled_job_stops_after_the_task_under_way() {
    let gateway = gateway();
    let wait = wait_task(&gateway);
    let command = with_window(1, 0, &in_the_midst_of(&[WRITE, &wait]));
    let session = gateway.begin(&command);
    wait_for("the task waits", || gateway.path("there").exists());
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::Stopping);
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::Stopping, "asked again");
    give_leave(&gateway);
    let events = session.events();
    let Outcome::Cancelled { task: Some(task), summary, .. } = outcome(&events) else {
        panic!("{events:#?}")
    };
    assert_eq!(task.number, summary.total(), "the task under way came to its end");
    assert_eq!(summary.failed, 0);
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::TooLate);
}

#[test]
fn a_task_that_goes_on_for_too_long_after_the_cancellation_is_ended() {
    let mut gateway = gateway();
    gateway.options = vec!["--cancel-grace-s".to_owned(), "1".to_owned()];
    let wait = wait_task(&gateway);
    let command = with_window(1, 0, &[&wait]);
    let session = gateway.begin(&command);
    wait_for("the task waits", || gateway.path("there").exists());
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::Stopping);
    let events = session.events();
    assert!(matches!(outcome(&events), Outcome::Cancelled { task: Some(_), .. }), "{events:#?}");
}

#[test]
fn a_cancelled_job_that_changed_something_is_confirmed_as_cancelled() {
    let gateway = gateway();
    let wait = wait_task(&gateway);
    let command = with_window(1, 600, &in_the_midst_of(&[WRITE, &wait]));
    let mut session = gateway.begin(&command);
    wait_for("the task waits", || gateway.path("there").exists());
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::Stopping);
    give_leave(&gateway);
    let nonce = nonce_of(&until(&mut session, is_confirming));
    assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::Stopping, "it says so with each statement");
    assert!(is_accepted(&gateway.confirm(&command, &nonce)));
    assert!(matches!(outcome(&session.events()), Outcome::Cancelled { .. }));
    assert_eq!(conf(&gateway), "new\n");
}

#[test]
fn root_that_cancels_again_in_the_window_of_a_cancelled_job_undoes_it() {
    let gateway = gateway();
    let wait = wait_task(&gateway);
    let command = with_window(1, 600, &in_the_midst_of(&[WRITE, &wait]));
    let id = command.command_id.to_string();
    let mut session = gateway.begin(&command);
    wait_for("the task waits", || gateway.path("there").exists());
    assert!(gateway.told("cancel", &[&id]).contains("stops after the task under way"));
    give_leave(&gateway);
    until(&mut session, is_confirming);
    wait_for("the cancellation is obeyed", || !file_of(&gateway, &command, "cancel.json").exists());
    assert!(gateway.told("cancel", &[&id]).contains("is being undone"));
    assert_eq!(rolled_back(&session.events()).0, "cancelled on the gateway");
    assert_eq!(conf(&gateway), "old\n");
}

#[test]
fn a_cancellation_in_the_window_undoes_the_job_at_once_with_its_runner_or_without() {
    for is_lost in [false, true] {
        let gateway = gateway();
        let command = with_window(1, 600, &[WRITE]);
        let mut session = gateway.begin(&command);
        until(&mut session, is_confirming);
        if is_lost {
            session.kill();
        }
        assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::RollingBack);
        assert_eq!(rolled_back(&gateway.attach(command.command_id)), ("cancelled".to_owned(), true));
        assert_eq!(conf(&gateway), "old\n");
        assert_eq!(answer(&gateway.cancel(&command)), CancelAnswer::TooLate);
        session.events();
    }
}

#[test]
fn a_cancellation_must_be_the_centers_and_name_the_command() {
    let gateway = gateway();
    let wait = wait_task(&gateway);
    let mut tasks = in_the_midst_of(&[&wait]);
    // Long enough for a runner that looks four times a second.
    tasks.truncate(20);
    let command = with_window(1, 0, &tasks);
    let session = gateway.begin(&command);
    wait_for("the task waits", || gateway.path("there").exists());
    let ask = |statement| {
        gateway.answer(&Request::Cancel { command_id: command.command_id, statement: Some(statement) })
    };
    let other = common::command(2, "").command_id;
    let Event::RequestFailed { message, .. } = ask(gateway.statement(&[other], &[])) else { panic!() };
    assert!(message.contains("does not cancel"), "{message}");
    let mut forged = gateway.statement(&[command.command_id], &[]);
    forged.signatures[0].keyid = gateway.key.public().id();
    assert!(matches!(ask(forged), Event::RequestFailed { .. }));
    assert!(!file_of(&gateway, &command, "cancel.json").exists());
    // A file that no root has written there is verified by the runner as well.
    std::fs::write(file_of(&gateway, &command, "cancel.json"), "{\"by\":\"center\"}").unwrap();
    give_leave(&gateway);
    assert!(matches!(outcome(&session.events()), Outcome::Succeeded { .. }));
    let unknown = Request::Cancel { command_id: other, statement: Some(gateway.statement(&[other], &[])) };
    assert_eq!(answer(&gateway.answer(&unknown)), CancelAnswer::Unknown);
}

#[test]
fn a_runner_lost_in_a_task_of_a_job_with_a_window_is_undone_when_nobody_confirms_the_interruption() {
    let gateway = gateway();
    let wait = wait_task(&gateway);
    let command = with_window(1, 1, &[WRITE, &wait]);
    let mut session = gateway.begin(&command);
    wait_for("the task waits", || gateway.path("there").exists());
    session.kill();
    let settled = gateway.told("settle", &["--json"]);
    assert!(settled.contains("\"status\":\"rolled_back\""), "{settled}");
    let events = gateway.attach(command.command_id);
    let confirming = events.iter().find(|event| is_confirming(event)).unwrap();
    let Event::Confirming { outcome: pending, .. } = confirming else { unreachable!() };
    assert!(matches!(**pending, Outcome::Interrupted { .. }), "{pending:?}");
    assert_eq!(conf(&gateway), "old\n");
    // The shell task cannot be undone, and a tree cannot reboot.
    assert!(!rolled_back(&events).1);
    assert_eq!(count(&events, |event| matches!(event, Event::Rebooting { .. })), 0);
}

#[test]
fn what_cannot_be_undone_makes_the_gateway_reboot_once() {
    let mut gateway = gateway();
    let mark = gateway.path("reboots");
    let program = gateway.path("reboot");
    std::fs::write(&program, format!("#!/bin/sh\necho x >> {}\n", shell_quoted(&mark))).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    gateway.options = ["--reboot-grace-s", "1", "--reboot-patience-s", "600", "--reboot-command"]
        .map(str::to_owned)
        .to_vec();
    gateway.options.push(program.display().to_string());
    let command = with_window(1, 1, &[WRITE, "!shell { cmd: 'true' }"]);
    let mut session = gateway.begin(&command);
    until(&mut session, |event| matches!(event, Event::Rebooting { .. }));
    wait_for("the reboot is asked for", || mark.exists());
    assert_eq!(conf(&gateway), "old\n");
    session.kill();
    gateway.boot("second");
    let events = gateway.attach(command.command_id);
    let Outcome::RolledBack { complete: false, remains, .. } = outcome(&events) else {
        panic!("{events:#?}")
    };
    assert!(remains.iter().any(|text| text.contains("shell")), "{remains:?}");
    assert_eq!(gateway.text("reboots"), "x\n");
}

#[test]
fn the_center_that_is_heard_of_after_the_undoing_spares_the_reboot() {
    let mut gateway = gateway();
    gateway.options = ["--reboot-command", "/nonexistent/reboot"].map(str::to_owned).to_vec();
    let command = with_window(1, 1, &[WRITE, "!shell { cmd: 'true' }"]);
    let mut session = gateway.begin(&command);
    let nonce = nonce_of(&until(&mut session, |event| matches!(event, Event::Undone { .. })));
    assert!(is_accepted(&gateway.confirm(&command, &nonce)));
    let events = session.events();
    assert!(!rolled_back(&events).1);
    assert_eq!(count(&events, |event| matches!(event, Event::Rebooting { .. })), 0);
}

#[test]
fn a_job_goes_on_after_its_reboot_and_only_after_it() {
    let mut gateway = gateway();
    gateway.options = ["--reboot-command", "true", "--resume-after-s", "0", "--reboot-patience-s", "600"]
        .map(str::to_owned)
        .to_vec();
    let command = with_window(1, 0, &[WRITE, "!reboot {}", "!template { content: x, dest: /etc/later }"]);
    let mut session = gateway.begin(&command);
    until(&mut session, |event| matches!(event, Event::PartEnded { .. }));
    session.kill();
    // The process is gone, the boot is the same: the job waits for its reboot.
    let mut waiting = attach(&gateway, &command);
    until(&mut waiting, |event| matches!(event, Event::PartEnded { .. }));
    wait_for("the session has taken the job over", || {
        let status = gateway.answer(&Request::Status {});
        matches!(status, Event::Status { running: Some(_), .. })
    });
    assert!(!gateway.path("root/etc/later").exists());
    waiting.kill();
    gateway.boot("second");
    let settled = gateway.told("settle", &[]);
    assert!(settled.contains("succeeded"), "{settled}");
    let events = gateway.attach(command.command_id);
    assert_eq!(
        count(&events, |event| matches!(event, Event::Resumed { boot_id, .. } if boot_id == "second")),
        1
    );
    let Outcome::Succeeded { summary, .. } = outcome(&events) else { panic!("{events:#?}") };
    assert_eq!(summary.total(), 3);
    assert!(gateway.path("root/etc/later").exists());
}

#[test]
fn a_reboot_that_never_comes_is_asked_for_thrice_and_ends_the_job_by_name() {
    let mut gateway = gateway();
    gateway.options = ["--reboot-command", "true", "--reboot-patience-s", "0"].map(str::to_owned).to_vec();
    let command = with_window(1, 0, &["!reboot {}", WRITE]);
    let events = gateway.run(&command);
    let Outcome::Failed { task: Some(task), message, .. } = outcome(&events) else { panic!("{events:#?}") };
    assert_eq!(task.number, 1);
    assert!(message.contains("asked for 3 times"), "{message}");
    assert_eq!(count(&events, |event| matches!(event, Event::PartEnded { .. })), 3);
    assert_eq!(conf(&gateway), "old\n");
}

#[test]
fn the_next_command_waits_for_a_window_and_carries_it_on_when_its_runner_is_lost() {
    let gateway = gateway();
    let first = with_window(1, 3, &[WRITE]);
    let mut session = gateway.begin(&first);
    until(&mut session, is_confirming);
    session.kill();
    let second = with_window(2, 0, &["!echo { msg: x }"]);
    let busy = gateway.begin(&second);
    let mut busy = busy;
    assert!(
        matches!(busy.next(), Some(Event::RequestFailed { message, .. }) if message.contains("another job"))
    );
    assert!(busy.next().is_none(), "the peer is let go at once");
    assert!(busy.child.try_wait().unwrap().is_none(), "while the process goes on");
    busy.child.wait().unwrap();
    assert_eq!(conf(&gateway), "old\n");
    assert!(matches!(outcome(&gateway.run(&second)), Outcome::Succeeded { .. }));
}

#[test]
fn a_person_reads_where_a_job_stands() {
    let gateway = gateway();
    let state = gateway.path("state").display().to_string();
    let show = |arguments: &[&str]| {
        let mut program = std::process::Command::new(common::EXECUTOR);
        let output = program.args(arguments).args(["--state-folder", &state]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let command = with_window(1, 600, &[WRITE, "!shell { cmd: 'true' }"]);
    let id = command.command_id.to_string();
    let mut session = gateway.begin(&command);
    until(&mut session, is_confirming);
    let told = show(&["jobs"]);
    assert!(told.contains("succeeded, to be confirmed within") && !told.contains("gone"), "{told}");
    let told = show(&["jobs", "--json"]);
    assert!(told.contains("\"standing\":\"confirming\"") && told.contains("\"left_s\":"), "{told}");
    session.kill();
    assert!(show(&["jobs"]).contains("its process is gone"));
    let told = gateway.told("cancel", &[&id]);
    assert!(told.contains("is being undone"), "{told}");
    let told = show(&["job", &id]);
    for part in [
        "Window   600 s",
        "Undoing  cancelled on the gateway",
        "put back /etc/conf",
        "Undone   but for:",
        "(partial)",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    assert!(gateway.told("cancel", &[&id, "--json"]).contains("\"answer\":\"too_late\""));
    let undo = gateway.program("undo").arg(&id).output().unwrap();
    assert_eq!(undo.status.code(), Some(65), "it was undone already");
}

/// A listener, ended with the test.
struct Listener(std::process::Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn where_there_is_no_systemd_the_listener_finishes_what_is_owed() {
    let gateway = gateway();
    let command = with_window(1, 1, &[WRITE]);
    let mut session = gateway.begin(&command);
    until(&mut session, is_confirming);
    session.kill();
    let mut listen = gateway.program("listen");
    listen.arg("--socket").arg(gateway.path("socket")).stderr(std::process::Stdio::null());
    let listener = Listener(listen.spawn().unwrap());
    let outcome = file_of(&gateway, &command, "outcome.json");
    wait_for("the job is undone", || outcome.exists());
    assert_eq!(conf(&gateway), "old\n");
    drop(listener);
}

#[test]
fn nothing_owed_is_nothing_done() {
    let gateway = gateway();
    assert_eq!(gateway.told("settle", &["--json"]), "");
    gateway.run(&with_window(1, 0, &[WRITE]));
    assert_eq!(gateway.told("settle", &["--json"]), "");
}

#[test]
fn a_job_that_has_ended_is_undone_on_demand_once() {
    let gateway = gateway();
    let command = with_window(1, 0, &[WRITE]);
    let events = gateway.run(&command);
    assert_eq!(conf(&gateway), "new\n");
    let id = command.command_id.to_string();
    let told = gateway.told("undo", &[&id]);
    assert!(told.contains("/etc/conf") && told.contains("All of it is undone"), "{told}");
    assert_eq!(conf(&gateway), "old\n");
    assert_eq!(gateway.attach(command.command_id), events, "its outcome stays what it was");
    let again = gateway.program("undo").arg(&id).output().unwrap();
    assert_eq!(again.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&again.stderr).contains("undone already"));
}
