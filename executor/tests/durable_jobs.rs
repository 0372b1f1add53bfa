//! Jobs whose tasks become durable together: in which order journal and files reach the disk, and what a killed job tells.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use common::{EXECUTOR, Gateway, command, line, outcome};
use keros_protocol::executor::{Event, Request};
use keros_protocol::{Command, Outcome};

/// Tasks of a group, and after each group one that runs a program.
const GROUP: usize = 20;
/// The record of what is put aside.
const STEPS: &str = "/steps.jsonl>";

fn content(letter: char) -> String {
    letter.to_string().repeat(8192)
}

/// Groups of files of 8 KiB of one letter, each group with a shell task behind it. Task n writes `/f{n}`.
fn script(groups: usize, letter: char) -> String {
    let mut script =
        format!("- name: p\n  groups: [all]\n  vars: {{ text: {} }}\n  tasks:\n", content(letter));
    for number in 1..=groups * (GROUP + 1) {
        script += &match number % (GROUP + 1) {
            0 => "    - !shell { cmd: 'true' }\n".to_owned(),
            _ => format!("    - !template {{ content: '{{{{ text }}}}', dest: /f{number} }}\n"),
        };
    }
    script
}

/// The system calls of a job that matter here, one a line; `None`: there is no strace.
fn traced(gateway: &Gateway, command: &Command) -> Option<Vec<String>> {
    let works = Program::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        keros_skip::skipped("strace is not installed, or may not trace here");
        return None;
    }
    let trace = gateway.path("trace");
    let mut program = Program::new("strace");
    program.args(["-f", "-y", "-s", "400", "-o"]).arg(&trace);
    program.args(["-e", "trace=fsync,fdatasync,rename,renameat,renameat2,write,execve", EXECUTOR]);
    let job = gateway.program("session");
    program.args(job.get_args()).env_remove("EUI64");
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let request = line(&Request::Run { envelope: gateway.envelope(command), statement: None, bundle: None });
    child.stdin.take().unwrap().write_all(&request).unwrap();
    assert!(child.wait().unwrap().success());
    let lines = fs::read_to_string(trace).unwrap();
    Some(lines.lines().map(str::to_owned).collect())
}

#[test]
fn the_journal_is_durable_before_a_file_has_its_name_and_tells_so_before_the_next_program() {
    let gateway = Gateway::new();
    // Other files are there, so that there is something to put aside.
    gateway.run(&command(1, &script(2, 'a')));
    let command = command(2, &script(2, 'b'));
    let Some(trace) = traced(&gateway, &command) else { return };
    let told = || trace.join("\n");
    let find = |from: usize, wanted: &dyn Fn(&str) -> bool| {
        let found = trace[from..].iter().position(|line| wanted(line));
        from + found.unwrap_or_else(|| panic!("after line {from}:\n{}", told()))
    };
    let is_journal = |line: &str| line.contains("journal.jsonl>");
    let is_sync = |line: &str| line.contains("fsync(") || line.contains("fdatasync(");
    let is_journal_sync = |line: &str| is_sync(line) && is_journal(line);
    // strace shows a quotation mark with a backslash before it.
    let starts = |number: usize| {
        let wanted = format!(r#"\"task_started\",\"number\":{number},"#);
        find(0, &|line| is_journal(line) && line.contains(&wanted))
    };
    let names =
        |number: usize| find(0, &|line| line.contains("rename") && line.contains(&format!("\"f{number}\"")));
    for number in (1..=GROUP).chain(GROUP + 2..=2 * GROUP + 1) {
        let started = starts(number);
        let temporary = format!("/.f{number}.keros-new>");
        let content = find(started, &|line| is_sync(line) && line.contains(&temporary));
        let intent = find(started, &is_journal_sync);
        let kept = find(started, &|line| is_sync(line) && line.contains(STEPS));
        let last = content.max(intent).max(kept);
        assert!(last < names(number), "task {number}:\n{}", told());
    }
    // The shell task begins when all before it is durable, and the journal says so.
    for (shell, last) in [(GROUP + 1, GROUP), (2 * GROUP + 2, 2 * GROUP + 1)] {
        let folder = find(names(last), &|line| is_sync(line) && line.contains("/root>"));
        let wanted = format!(r#"\"durable\",\"number\":{last}}}"#);
        let durable = find(folder, &|line| is_journal(line) && line.contains(&wanted));
        let started = starts(shell);
        let synced = find(started, &is_journal_sync);
        let program = find(started, &|line| line.contains("execve(\"/bin/sh\""));
        assert!(durable < started && synced < program, "task {shell}:\n{}", told());
    }
    // The content that all of them had is put aside once, durably before the record that speaks of it.
    let blob = find(0, &|line| is_sync(line) && line.contains("/blobs/"));
    let speaks = find(0, &|line| line.contains("write(") && line.contains(STEPS) && line.contains("sha256"));
    let settled = find(speaks, &|line| is_sync(line) && line.contains(STEPS));
    assert!(blob < settled, "{}", told());
    let count = |wanted: &dyn Fn(&str) -> bool| trace.iter().filter(|line| wanted(line)).count();
    let syncs = (count(&is_journal_sync), count(&|line| is_sync(line) && line.contains(STEPS)));
    assert!(syncs.0 < GROUP && syncs.1 < GROUP, "{syncs:?} for {} tasks", 2 * (GROUP + 1));
}

/// Runs the job and kills it after this time.
fn killed(gateway: &Gateway, command: &Command, after: Duration) -> bool {
    let mut session = gateway.begin(command);
    let output = session.output.take();
    let ends = Instant::now() + after;
    while Instant::now() < ends {
        if session.child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    session.kill();
    drop(output);
    true
}

#[test]
fn a_killed_job_names_the_range_of_tasks_that_nobody_can_tell_of_and_all_others_are_as_it_says() {
    // So many moments of a job; again from the first one until enough of the jobs were hit.
    const MOMENTS: u16 = 30;
    const ENOUGH: usize = 5;
    let gateway = Gateway::new();
    let (tasks, groups) = (3 * (GROUP + 1), 3);
    let began = Instant::now();
    gateway.run(&command(1, &script(groups, 'a')));
    let mut whole = began.elapsed();
    let (interrupted, mut ranges) = (Cell::new(0), 0);
    for round in (0..10 * MOMENTS).take_while(|round| *round < MOMENTS || interrupted.get() < ENOUGH) {
        let letters = if round % 2 == 0 { ('a', 'b') } else { ('b', 'a') };
        let (old, new) = (content(letters.0), content(letters.1));
        let job = command(round + 2, &script(groups, letters.1));
        let is_killed = killed(&gateway, &job, whole * u32::from(round % MOMENTS) / u32::from(MOMENTS));
        // The first job took longer than this one: it made the files.
        whole = if is_killed { whole } else { whole * 9 / 10 };
        let events = gateway.attach(job.command_id);
        let (first, last) = match events.last() {
            Some(Event::RequestFailed { .. }) if is_killed => (1, 0),
            Some(Event::Ended { .. }) => match outcome(&events) {
                Outcome::Succeeded { .. } => (tasks + 1, tasks),
                Outcome::Interrupted { interruption } => {
                    interrupted.set(interrupted.get() + 1);
                    let number = |task: &keros_protocol::TaskRef| task.number as usize;
                    let first = interruption.task.as_ref().map_or(1, number);
                    let last = interruption.last_task.as_ref().map_or(first, number);
                    ranges += usize::from(last > first);
                    let total = interruption.summary.total() as usize;
                    // It may have ended, and be durable: the next one had not begun.
                    let is_alone = first == last;
                    assert!(
                        total == first - 1 || is_alone && total == first,
                        "round {round}: {interruption:?}"
                    );
                    (first, if interruption.task.is_some() { last } else { 0 })
                }
                other => panic!("round {round}: {other}"),
            },
            other => panic!("round {round}: {other:?}"),
        };
        for number in (1..=tasks).filter(|number| !number.is_multiple_of(GROUP + 1)) {
            let text = gateway.text(&format!("root/f{number}"));
            let is_allowed = match number {
                _ if number < first => text == new,
                _ if number > last => text == old,
                _ => text == old || text == new,
            };
            assert!(is_allowed, "round {round}, {first} to {last}: f{number} has {} bytes", text.len());
        }
        // All have the new content before the next round.
        let events = gateway.run(&command(round + 1000, &script(groups, letters.1)));
        assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "round {round}");
    }
    let left = fs::read_dir(gateway.path("root")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0);
    let interrupted = interrupted.get();
    assert!(interrupted >= ENOUGH, "only {interrupted} jobs were interrupted");
    println!("{interrupted} jobs were interrupted, {ranges} in a range of tasks");
}
