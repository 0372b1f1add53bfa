//! Real jobs in real processes: once, to one true end, whatever happens to the processes around them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::path::Path;

use common::{Gateway, Session, command, line, outcome, script, shell_quoted, wait_for};
use keros_protocol::executor::{Event, Request};
use keros_protocol::{Command, Outcome, RefusalReason};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A task that leaves a mark, and one that waits until it may go on.
fn mark(gateway: &Gateway, word: &str) -> String {
    format!("echo {word} >> {}", shell_quoted(&gateway.path("marks")))
}

fn wait_for_leave(gateway: &Gateway) -> String {
    format!("while [ ! -e {} ]; do sleep 0.02; done", shell_quoted(&gateway.path("leave")))
}

fn give_leave(gateway: &Gateway) {
    std::fs::write(gateway.path("leave"), "").unwrap();
}

fn has_outcome(gateway: &Gateway, command: &Command) -> bool {
    gateway.journal(command).with_file_name("outcome.json").exists()
}

fn is_started(event: &Event, number: u32) -> bool {
    matches!(event, Event::TaskStarted { task, .. } if task.number == number)
}

/// Reads events until task `number` has begun.
fn until_started(session: &mut Session, number: u32) {
    while let Some(event) = session.next() {
        if is_started(&event, number) {
            return;
        }
    }
    panic!("the session ended before task {number}");
}

#[test]
fn a_script_runs_and_its_events_are_told_once_more_when_asked() {
    let gateway = Gateway::new();
    let command = command(1, &script(&[mark(&gateway, "one"), mark(&gateway, "two")]));
    let events = gateway.run(&command);
    let Outcome::Succeeded { summary, .. } = outcome(&events) else { panic!("{events:#?}") };
    assert_eq!(summary.executed, 2);
    assert_eq!(gateway.text("marks"), "one\ntwo\n");
    assert_eq!(gateway.attach(command.command_id), events);
    assert_eq!(gateway.run(&command), events);
    assert_eq!(gateway.text("marks"), "one\ntwo\n");
}

#[test]
fn the_same_command_from_many_processes_at_once_runs_once() {
    let gateway = Gateway::new();
    let command =
        command(1, &script(&[mark(&gateway, "one"), wait_for_leave(&gateway), mark(&gateway, "two")]));
    let sessions: Vec<Session> = (0..6).map(|_| gateway.begin(&command)).collect();
    wait_for("the job has begun", || gateway.text("marks") == "one\n");
    give_leave(&gateway);
    let told: Vec<Vec<Event>> = sessions.into_iter().map(Session::events).collect();
    for events in &told {
        assert!(matches!(outcome(events), Outcome::Succeeded { .. }), "{events:#?}");
        assert_eq!(*events, told[0]);
    }
    assert_eq!(gateway.text("marks"), "one\ntwo\n");
}

#[test]
fn a_second_job_is_told_to_wait_and_status_names_the_first() {
    let gateway = Gateway::new();
    let first = command(1, &script(&[wait_for_leave(&gateway)]));
    let mut session = gateway.begin(&first);
    until_started(&mut session, 1);
    let second = command(2, &script(&[mark(&gateway, "second")]));
    let events = gateway.run(&second);
    let [Event::RequestFailed { message, .. }] = &events[..] else { panic!("{events:#?}") };
    assert!(message.contains("another job is running") && message.contains(&first.command_id.to_string()));
    let status = gateway.session(&line(&Request::Status {})).events();
    assert!(matches!(&status[..], [Event::Status { running: Some(id), .. }] if *id == first.command_id));
    give_leave(&gateway);
    assert!(matches!(outcome(&session.events()), Outcome::Succeeded { .. }));
    assert!(matches!(outcome(&gateway.run(&second)), Outcome::Succeeded { .. }));
}

#[test]
fn a_runner_killed_in_any_task_leaves_an_interruption_at_that_task() {
    for number in 1..=3u32 {
        let gateway = Gateway::new();
        let mut tasks: Vec<String> = (1..=3).map(|n| mark(&gateway, &n.to_string())).collect();
        tasks.insert(number as usize - 1, wait_for_leave(&gateway));
        let command = command(1, &script(&tasks));
        let mut session = gateway.begin(&command);
        until_started(&mut session, number);
        session.kill();

        let events = gateway.run(&command);
        let Outcome::Interrupted { interruption } = outcome(&events) else { panic!("{events:#?}") };
        assert_eq!(interruption.task.as_ref().map(|task| task.number), Some(number));
        assert_eq!(interruption.summary.total(), number - 1);
        assert_eq!(gateway.attach(command.command_id), events);
        // What it left running is gone: nothing happens any more, even when it may.
        let before = gateway.text("marks");
        assert_eq!(before.lines().count(), number as usize - 1);
        assert!(!is_waiting(&gateway.path("leave")));
        give_leave(&gateway);
        let next = common::command(2, &script(&[mark(&gateway, "next")]));
        assert!(matches!(outcome(&gateway.run(&next)), Outcome::Succeeded { .. }));
        assert_eq!(gateway.text("marks"), format!("{before}next\n"));
    }
}

#[test]
fn another_job_begins_only_when_a_lost_one_is_settled() {
    let gateway = Gateway::new();
    let lost = command(1, &script(&[wait_for_leave(&gateway)]));
    let mut session = gateway.begin(&lost);
    until_started(&mut session, 1);
    wait_for("the task's program runs", || is_waiting(&gateway.path("leave")));
    session.kill();
    assert!(is_waiting(&gateway.path("leave")), "it outlives the runner");
    let next = command(2, &script(&[mark(&gateway, "next")]));
    assert!(matches!(outcome(&gateway.run(&next)), Outcome::Succeeded { .. }));
    assert!(has_outcome(&gateway, &lost) && !is_waiting(&gateway.path("leave")));
    assert!(matches!(outcome(&gateway.attach(lost.command_id)), Outcome::Interrupted { .. }));
}

/// Whether a shell runs that waits for this file.
fn is_waiting(leave: &Path) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(&format!("-e {}", shell_quoted(leave))))
}

#[test]
fn runners_killed_at_any_moment_end_in_one_true_outcome() {
    for moment in 0..12u32 {
        let gateway = Gateway::new();
        let tasks: Vec<String> = (1..=4).map(|n| mark(&gateway, &n.to_string())).collect();
        let command = command(1, &script(&tasks));
        let mut session = gateway.begin(&command);
        std::thread::sleep(std::time::Duration::from_millis(u64::from(moment) * 3));
        session.kill();
        let started = gateway.path(&format!("state/jobs/{}", command.command_id)).exists();
        let events = gateway.run(&command);
        let marks = gateway.text("marks").lines().count();
        match outcome(&events) {
            Outcome::Succeeded { .. } => assert_eq!(marks, 4),
            Outcome::Interrupted { interruption } => {
                assert!(started, "moment {moment}");
                let under_way = interruption.task.as_ref().map_or(0, |task| task.number as usize);
                let most = under_way.saturating_sub(1)..=under_way;
                assert!(most.contains(&marks), "moment {moment}: {marks} marks, {interruption}");
            }
            other => panic!("moment {moment}: {other:?}"),
        }
        assert_eq!(gateway.attach(command.command_id), events, "moment {moment}");
    }
}

#[test]
fn a_job_goes_on_when_nobody_reads_any_more() {
    let gateway = Gateway::new();
    let command = command(1, &script(&[wait_for_leave(&gateway), mark(&gateway, "done")]));
    let mut session = gateway.begin(&command);
    until_started(&mut session, 1);
    drop(session.output.take());
    give_leave(&gateway);
    assert_eq!(session.exit_code(), 0);
    assert_eq!(gateway.text("marks"), "done\n");
    assert!(matches!(outcome(&gateway.attach(command.command_id)), Outcome::Succeeded { .. }));
}

#[test]
fn a_reader_that_does_not_read_blocks_no_job() {
    let gateway = Gateway::new();
    // Far more than a pipe holds.
    let noise = "head -c 60000 /dev/zero | tr '\\0' x".to_owned();
    let mut tasks = vec![noise; 8];
    tasks.push(mark(&gateway, "done"));
    let command = command(1, &script(&tasks));
    let session = gateway.begin(&command);
    wait_for("the job has ended unread", || has_outcome(&gateway, &command));
    assert_eq!(gateway.text("marks"), "done\n");
    // And another job is not held up by it.
    let next = common::command(2, &script(&[mark(&gateway, "next")]));
    assert!(matches!(outcome(&gateway.run(&next)), Outcome::Succeeded { .. }));
    assert!(
        matches!(outcome(&session.events()), Outcome::Succeeded { .. }),
        "a late reader still hears all of it"
    );
}

#[test]
fn a_follower_sees_the_job_to_its_end() {
    let gateway = Gateway::new();
    let command = command(1, &script(&[wait_for_leave(&gateway), mark(&gateway, "done")]));
    let mut session = gateway.begin(&command);
    until_started(&mut session, 1);
    let mut follower = gateway.session(&line(&Request::Attach { command_id: command.command_id }));
    until_started(&mut follower, 1);
    give_leave(&gateway);
    assert!(matches!(outcome(&follower.events()), Outcome::Succeeded { .. }));
    assert!(matches!(outcome(&session.events()), Outcome::Succeeded { .. }));
}

#[test]
fn a_follower_that_nobody_hears_ends() {
    let gateway = Gateway::new();
    let command = command(1, &script(&[wait_for_leave(&gateway)]));
    let mut session = gateway.begin(&command);
    until_started(&mut session, 1);
    let mut follower = gateway.session(&line(&Request::Attach { command_id: command.command_id }));
    until_started(&mut follower, 1);
    assert_eq!(follower.exit_code(), 0, "although the job is silent");
    give_leave(&gateway);
    assert!(matches!(outcome(&session.events()), Outcome::Succeeded { .. }));
}

#[test]
fn a_follower_settles_when_the_runner_is_lost() {
    let gateway = Gateway::new();
    let command = command(1, &script(&[wait_for_leave(&gateway)]));
    let mut session = gateway.begin(&command);
    until_started(&mut session, 1);
    let followers: Vec<Session> = (0..3)
        .map(|_| {
            let mut follower = gateway.session(&line(&Request::Attach { command_id: command.command_id }));
            until_started(&mut follower, 1);
            follower
        })
        .collect();
    session.kill();
    for follower in followers {
        assert!(matches!(outcome(&follower.events()), Outcome::Interrupted { .. }));
    }
}

#[test]
fn a_runner_that_is_asked_to_end_is_an_interruption() {
    let gateway = Gateway::new();
    let command = command(1, &script(&[wait_for_leave(&gateway), mark(&gateway, "never")]));
    let mut session = gateway.begin(&command);
    until_started(&mut session, 1);
    kill(Pid::from_raw(session.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    session.child.wait().unwrap();
    assert!(matches!(outcome(&gateway.attach(command.command_id)), Outcome::Interrupted { .. }));
    give_leave(&gateway);
    assert_eq!(gateway.text("marks"), "");
}

#[test]
fn a_failure_names_task_exit_code_and_output() {
    let gateway = Gateway::new();
    let command = command(1, &script(&["true".to_owned(), "echo why; exit 3".to_owned()]));
    let events = gateway.run(&command);
    let Outcome::Failed { task: Some(task), exit_code, output: Some(output), .. } = outcome(&events) else {
        panic!("{events:#?}")
    };
    assert_eq!((task.number, *exit_code, output.head.trim()), (2, Some(3), "why"));
}

#[test]
fn a_script_with_too_much_is_refused_before_it_is_begun() {
    let gateway = Gateway::new();
    let many = script(&vec!["true".to_owned(); 100_000]);
    let refused = |script: &str| {
        let events = gateway.run(&command(1, script));
        let Outcome::Refused { reason, .. } = outcome(&events) else { panic!("{events:#?}") };
        *reason
    };
    // A command line beyond the limit does not even reach the script's check.
    let vec = gateway
        .session(&line(&Request::Run {
            envelope: gateway.envelope(&command(1, &many)),
            statement: None,
            bundle: None,
        }))
        .events();
    assert!(matches!(&vec[..], [Event::RequestFailed { .. }]), "{vec:?}");
    assert_eq!(refused(&"x".repeat(300 * 1024)), RefusalReason::TooLarge);
    assert_eq!(refused("- name: x\n\tgroups: [all]\n"), RefusalReason::Unparsable);
    assert!(!gateway.journal(&command(1, "")).exists());
}

#[test]
fn a_person_reads_what_happened() {
    let gateway = Gateway::new();
    gateway.run(&command(1, &script(&["echo 'hello there'".to_owned()])));
    let show = |arguments: &[&str]| {
        let mut program = std::process::Command::new(common::EXECUTOR);
        let output =
            program.args(arguments).arg("--state-folder").arg(gateway.path("state")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let id = command(1, "").command_id.to_string();
    assert_eq!(show(&["jobs"]), format!("{id}  succeeded\n"));
    let story = show(&["job", &id[..8]]);
    for part in [
        &id,
        "Kind     jetporch",
        "   1/1  shell  (shell)",
        "executed in ",
        "| hello there",
        "Outcome  succeeded",
    ] {
        assert!(story.contains(part), "{part:?} is missing in\n{story}");
    }
    let events: Vec<Event> =
        show(&["job", &id, "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events, gateway.attach(command(1, "").command_id));
}

#[test]
fn the_next_job_may_be_asked_for_as_soon_as_the_end_is_heard() {
    let gateway = Gateway::new();
    for number in 0..10 {
        let mut session = gateway.begin(&command(number, &script(&["true".to_owned()])));
        while !matches!(session.next().unwrap(), Event::Ended { outcome: Outcome::Succeeded { .. } }) {}
    }
}
