//! Reports and their bounds, each rule by a short story.

use keros_machine::{Arrival, Effect, Event, MAX_OUTBOX, Note, Verdict};
use keros_protocol::{Outcome, Output, RefusalReason, Summary, TaskRef, executor};

use crate::story::{Story, at_task, id, numbers, reports, sessions, started, succeeded};

fn failed(bytes: usize) -> executor::Event {
    let half = bytes / 2;
    let output = Output { head: "a".repeat(half), omitted_bytes: 0, tail: "z".repeat(bytes - half) };
    let outcome = Outcome::Failed {
        task: None,
        exit_code: Some(1),
        message: String::new(),
        output: Some(output),
        summary: Summary::default(),
    };
    executor::Event::Ended { outcome }
}

/// Bytes that are kept of what each job's program has printed, in the reports that are owed.
fn kept_output(story: &Story) -> Vec<u64> {
    let kept = serde_json::to_value(story.state.kept()).unwrap();
    let entries = kept["outbox"]["entries"].as_array().unwrap().clone();
    let outputs = entries.iter().filter(|entry| entry["outcome"]["status"] == "failed");
    let part = |entry: &serde_json::Value, name: &str| {
        entry["outcome"]["output"][name].as_str().map_or(0, str::len) as u64
    };
    outputs.map(|entry| part(entry, "head") + part(entry, "tail")).collect()
}

#[test]
fn reports_are_sent_in_order_and_again_on_each_connection() {
    let mut story = Story::new();
    for number in 1..=6 {
        story.command(number);
    }
    let sent = numbers(&story.connect());
    assert_eq!(sent, (1..=8).map(|number| (number, number - 1)).collect::<Vec<_>>(), "a window of 8");
    assert_eq!(numbers(&story.acknowledge(3)), [(9, 8), (10, 9), (11, 10)]);
    story.tell(Event::Disconnected);
    let sent = numbers(&story.connect());
    assert_eq!(sent[..2], [(4, 0), (5, 4)], "nothing is kept before the first");
}

#[test]
fn unanswered_reports_are_repeated_ever_more_rarely() {
    let mut story = Story::new();
    story.connect();
    story.command(1);
    let mut waits = vec![0];
    let mut before = 0;
    while story.now.monotonic_ms < 6 * 3_600_000 {
        let slept = story.sleep();
        *waits.last_mut().unwrap() += slept;
        let sent =
            story.all[before..].iter().any(|e| matches!(e, Effect::Publish(r) if r.position.number == 1));
        before = story.all.len();
        if sent && *waits.last().unwrap() > 0 {
            waits.push(0);
        }
        // The silent session of the executor is not the point here.
        if slept == 0 {
            story.later(1);
        }
    }
    waits.pop();
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1] + 2), "{waits:?}");
    assert!(waits.len() > 5 && waits.iter().all(|wait| *wait <= 3_600_010), "{waits:?}");
}

#[test]
fn foreign_acknowledgements_are_passed_over() {
    let mut story = Story::new();
    story.command(1);
    let foreign = Note::ForeignAcknowledgement;
    assert!(story.acknowledge(99).contains(&Effect::Note(foreign)));
    assert_eq!(story.state.reports_pending(), 2);
}

#[test]
fn progress_is_thinned_and_its_last_state_is_told() {
    let mut story = Story::new();
    story.connect();
    story.command(1);
    story.executor(1, started(1));
    let before = story.all.len();
    for number in 1..=200 {
        story.executor(1, at_task(number));
        story.later(100);
    }
    let told = reports(&story.all[before..]).len();
    assert!((3..=6).contains(&told), "{told} reports for 200 tasks in 20 s");
    story.later(30_000);
    let last = reports(&story.all).last().map(|report| report.outcome.clone());
    assert!(matches!(last, Some(Outcome::Running { task: Some(TaskRef { number: 200, .. }) })), "{last:?}");
    // Only one of them is ever kept.
    assert_eq!(story.state.reports_pending(), 3);
}

/// Whoever repeats the center's messages must not wear out the flash.
#[test]
fn answers_to_commands_that_come_again_are_bounded() {
    let mut story = Story::new();
    story.connect();
    story.command(1);
    story.executor(1, started(1));
    story.executor(1, succeeded());
    let mut last = 4;
    story.acknowledge(last);
    let mut answered = |story: &mut Story, times: u32| {
        let mut answers = 0;
        for _ in 0..times {
            if !numbers(&story.command(1)).is_empty() {
                answers += 1;
                last += 2;
                story.acknowledge(last);
            }
        }
        answers
    };
    assert_eq!(answered(&mut story, 100), 32);
    story.later(59_999);
    assert_eq!(answered(&mut story, 100), 0);
    story.later(1);
    assert_eq!(answered(&mut story, 100), 1, "one more each minute");
    story.later(179_999);
    assert_eq!(answered(&mut story, 100), 2);
    story.later(1);
    assert_eq!(answered(&mut story, 100), 1, "the rest of a minute counts");
    story.later(60_000 * 1000);
    assert_eq!(answered(&mut story, 100), 32, "it is never more");
}

#[test]
fn the_bound_of_forged_commands_is_that_of_seven_days() {
    let mut story = Story::new();
    story.connect();
    let mut number = 0;
    let mut answered = |story: &mut Story| {
        let mut answers = 0;
        for _ in 0..20 {
            number += 1;
            if let Some((last, _)) = numbers(&story.all).iter().max() {
                story.acknowledge(*last);
            }
            let before = story.state.reports_pending();
            let verdict =
                Verdict::Refused { reason: RefusalReason::BadSignature, detail: "forged".to_owned() };
            story.tell(Event::CommandArrived(Arrival { command_id: id(number), update_id: None, verdict }));
            answers += (story.state.reports_pending() - before) / 2;
        }
        answers
    };
    assert_eq!(answered(&mut story), 16);
    // Refusals by another name do not count.
    for number in 900..920 {
        let verdict = Verdict::Refused { reason: RefusalReason::NotKeros6, detail: String::new() };
        story.tell(Event::CommandArrived(Arrival { command_id: id(number), update_id: None, verdict }));
    }
    story.later(7 * 86_400_000 - 1000);
    assert_eq!(answered(&mut story), 0);
    story.later(1000);
    assert_eq!(answered(&mut story), 16);
}

#[test]
fn outputs_are_bounded_one_by_one_and_together() {
    let mut story = Story::new();
    for number in 1..=6 {
        let effects = story.command(number);
        let session = sessions(&effects)[0].0;
        story.executor(session, started(number));
        story.executor(session, failed(if number == 1 { 100_000 } else { 65_536 }));
    }
    assert_eq!(kept_output(&story), [65_536, 65_536, 65_536, 65_536, 4096, 4096], "256 KiB in all");
}

/// Milliseconds until the first report is published again.
fn until_repeated(story: &mut Story) -> u64 {
    let begin = story.now.monotonic_ms;
    loop {
        assert!(story.now.monotonic_ms < begin + 10_000_000, "never");
        story.now.monotonic_ms += 500;
        let again = story.tell(Event::Woken);
        if numbers(&again).iter().any(|(number, _)| *number <= 3) {
            return story.now.monotonic_ms - begin;
        }
    }
}

#[test]
fn waits_between_repetitions_are_doubled_until_an_acknowledgement_brings_something() {
    let mut story = Story::new();
    story.later(5000);
    story.connect();
    story.command(1);
    story.command(2);
    let waits: Vec<_> = (0..3).map(|_| until_repeated(&mut story)).collect();
    assert_eq!(waits, [30_000, 60_000, 120_000]);
    story.acknowledge(1);
    assert_eq!(until_repeated(&mut story), 30_000);
    assert_eq!(until_repeated(&mut story), 60_000);
    // What is acknowledged again brings nothing.
    story.acknowledge(1);
    assert_eq!(until_repeated(&mut story), 120_000);
    // Nothing is owed, nothing is waited for; then it begins anew.
    story.acknowledge(4);
    story.later(1000);
    story.command(3);
    let last = *numbers(&story.all).last().unwrap();
    assert_eq!(last, (6, 5));
}

/// Milliseconds after which each progress report comes, when a task begins every 100 ms.
fn gaps(story: &mut Story, until_ms: u64) -> Vec<u64> {
    let (mut told_ms, mut found, mut number) = (story.now.monotonic_ms, Vec::new(), 100);
    let mut newest = 0;
    while story.now.monotonic_ms < until_ms {
        number += 1;
        story.now.monotonic_ms += 100;
        story.executor(1, at_task(number));
        let kept = serde_json::to_value(story.state.kept()).unwrap();
        let last = kept["outbox"]["last"]["number"].as_u64().unwrap();
        if last > newest {
            found.push(story.now.monotonic_ms - told_ms);
            (told_ms, newest) = (story.now.monotonic_ms, last);
        }
    }
    found
}

#[test]
fn progress_is_told_ever_more_rarely_and_hardly_while_the_center_is_away() {
    let mut story = Story::new();
    story.later(5000);
    story.connect();
    story.command(1);
    story.executor(1, started(1));
    let found = gaps(&mut story, 130_000);
    // The first one is what was told before.
    assert_eq!(found[1..], [900, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    story.tell(Event::Disconnected);
    let begin = story.now.monotonic_ms;
    let found = gaps(&mut story, begin + 1_500_000);
    assert_eq!(found[2..], [600_000], "{found:?}");
    // The machine wakes by itself for the last one.
    story.connect();
    story.executor(1, at_task(100_000));
    let before = story.now.monotonic_ms;
    while story.state.outcome_of(&story.state.jobs()[0]) != *last_told(&story) {
        story.sleep();
        assert!(story.now.monotonic_ms <= before + 30_000, "too late");
    }
}

fn last_told(story: &Story) -> &Outcome {
    &reports(&story.all).last().unwrap().outcome
}

#[test]
fn the_end_of_another_job_leaves_the_running_ones_task_alone() {
    let mut story = Story::new();
    story.command(1);
    story.command(2);
    story.executor(1, started(1));
    story.executor(1, at_task(7));
    let mut said = crate::story::statement(None);
    said.cancellations = vec![keros_protocol::Cancellation { command_id: id(2) }];
    story.tell(crate::story::hear(said));
    let outcome = story.state.outcome_of(&story.state.jobs()[0]);
    assert!(matches!(outcome, Outcome::Running { task: Some(TaskRef { number: 7, .. }) }), "{outcome:?}");
}

#[test]
fn no_command_is_taken_while_too_many_reports_are_owed() {
    let mut story = Story::new();
    let refuse = |story: &mut Story, number| {
        let verdict = Verdict::Refused { reason: RefusalReason::NotKeros6, detail: String::new() };
        story.tell(Event::CommandArrived(Arrival { command_id: id(number), update_id: None, verdict }))
    };
    for number in 1..=MAX_OUTBOX as u64 / 2 {
        refuse(&mut story, number);
        assert!(story.state.knows(id(number)));
    }
    assert_eq!(story.state.reports_pending() as usize, MAX_OUTBOX);
    assert!(refuse(&mut story, 99).contains(&Effect::Note(Note::Full(id(99)))));
}

#[test]
fn the_machine_wakes_for_the_next_progress_report() {
    let mut story = Story::new();
    story.later(5000);
    story.connect();
    story.command(1);
    story.executor(1, started(1));
    story.executor(1, at_task(1));
    assert_eq!(story.sleep(), 1000);
    assert!(matches!(last_told(&story), Outcome::Running { task: Some(_) }));
}
