//! What the state tells the technician and telemetry, and how texts from outside are bounded.

use keros_machine::{Effect, Event, FetchEnd};
use keros_protocol::{Interruption, Outcome, Output, Summary, TaskRef, TimeLimit, executor};

use crate::story::{
    START, Story, at_task, confirming, hear, id, last_outcome, sessions, started, statement, succeeded, task,
};

#[test]
fn the_job_under_way_is_told() {
    let mut story = Story::new();
    assert_eq!(story.state.job_under_way(), None);
    story.command(1);
    story.command(2);
    let told = |story: &Story| story.state.job_under_way().map(|job| (job.command_id, job.outcome));
    assert_eq!(told(&story), Some((id(1), Outcome::Accepted {})), "it is being handed over");
    story.executor(1, started(1));
    assert_eq!(told(&story), Some((id(1), Outcome::Running { task: None })));
    story.executor(1, at_task(2));
    assert_eq!(told(&story), Some((id(1), Outcome::Running { task: Some(task(2)) })));
    assert_eq!(story.state.outcome_of(&story.state.jobs()[1]), Outcome::Accepted {}, "not the other's task");
    story.executor(1, confirming("n1"));
    assert_eq!(told(&story), Some((id(1), Outcome::Confirming { until_unix_s: START + 1800 })));
}

#[test]
fn telemetry_is_told_when_it_was_sent_and_when_it_is_due() {
    let mut story = Story::new();
    assert_eq!(story.state.telemetry_sent_at(), None);
    story.connect();
    story.answer();
    assert_eq!(story.state.telemetry_sent_at(), Some(START));
    story.tell(Event::TelemetryWanted);
    assert_eq!(story.state.telemetry_due_at(story.now), START + 60);
    story.now.monotonic_ms += 500;
    assert_eq!(story.state.telemetry_due_at(story.now), START + 60, "to the next whole second");
    story.tell(Event::TelemetryAnswered { packages_known: Some("sha256:x".to_owned()) });
    assert_eq!(story.state.packages_known(), Some("sha256:x"));
    story.answer();
    assert_eq!(story.state.packages_known(), None);
}

#[test]
fn the_newest_statement_is_there_for_the_executor() {
    let mut story = Story::new();
    assert!(story.state.newest_statement().is_none());
    for nonce in ["first", "second"] {
        let mut said = statement(None);
        said.nonces = vec![nonce.to_owned()];
        story.tell(hear(said));
        assert_eq!(story.state.newest_statement().unwrap().payload, nonce);
    }
}

/// Ends a job so, and gives back what is kept of its end.
fn ended(outcome: Outcome) -> Outcome {
    let mut story = Story::new();
    let session = sessions(&story.command(1))[0].0;
    story.executor(session, started(1));
    story.executor(session, executor::Event::Ended { outcome });
    last_outcome(&story).clone()
}

fn long_task() -> Option<TaskRef> {
    Some(TaskRef { number: 1, count: 1, name: "n".repeat(5000) })
}

fn is_bounded(task: Option<&TaskRef>) -> bool {
    task.is_some_and(|task| task.name.len() == 2048)
}

#[test]
fn texts_of_the_executor_are_bounded_whatever_it_says() {
    let long = "x".repeat(5000);
    let summary = Summary::default();
    let output = Some(Output { head: "o".to_owned(), omitted_bytes: 0, tail: String::new() });
    let failed = ended(Outcome::Failed {
        task: long_task(),
        exit_code: None,
        message: long.clone(),
        output: output.clone(),
        summary,
    });
    let Outcome::Failed { task, message, output: kept, .. } = failed else { panic!("{failed:?}") };
    assert!(is_bounded(task.as_ref()) && message.len() == 2048 && kept.is_none());

    let timed_out = ended(Outcome::TimedOut { limit: TimeLimit::Task, task: long_task(), output, summary });
    let Outcome::TimedOut { task, output: kept, .. } = timed_out else { panic!("{timed_out:?}") };
    assert!(is_bounded(task.as_ref()) && kept.is_none());

    let cancelled = ended(Outcome::Cancelled { task: long_task(), summary, by_root: false });
    let Outcome::Cancelled { task, .. } = cancelled else { panic!("{cancelled:?}") };
    assert!(is_bounded(task.as_ref()));

    let reason = keros_protocol::RefusalReason::NoSpace;
    let refused = ended(Outcome::Refused { reason, detail: long.clone() });
    let Outcome::Refused { detail, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(detail.len(), 2048);

    let interruption = Interruption { task: long_task(), last_task: long_task(), summary };
    let interrupted = ended(Outcome::Interrupted { interruption });
    let Outcome::Interrupted { interruption } = interrupted else { panic!("{interrupted:?}") };
    assert!(is_bounded(interruption.task.as_ref()) && is_bounded(interruption.last_task.as_ref()));

    let remains = vec!["r".repeat(1000); 40];
    let rolled_back = ended(Outcome::RolledBack { reason: long, complete: false, remains });
    let Outcome::RolledBack { reason, remains, .. } = rolled_back else { panic!("{rolled_back:?}") };
    assert_eq!((reason.len(), remains.len(), remains[0].len()), (2048, 32, 256));
}

/// What becomes of a fetch, in the log and for the technician.
#[test]
fn trouble_with_a_bundle_is_told_with_its_command() {
    let mut story = Story::new();
    story.link(1);
    let said = |effects: &[Effect]| {
        let note = effects.iter().find_map(|effect| match effect {
            Effect::Note(note) => Some(note.to_string()),
            _ => None,
        });
        note.unwrap()
    };
    let command = format!("command {}", id(1));
    let failed = FetchEnd::Failed { message: "x".repeat(5000), progressed: false };
    let text = said(&story.fetch_ends(1, failed));
    let told = format!("{command}: its bundle is not there yet, it is fetched again: xx");
    assert!(text.starts_with(&told) && text.len() < 2200);
    story.later(1000);
    let text = said(&story.fetch_ends(1, FetchEnd::Complete));
    assert_eq!(text, format!("{command}: its bundle is there"));
    let reason = keros_protocol::RefusalReason::DigestMismatch;
    let refused = Outcome::Refused { reason, detail: "files/a".to_owned() };
    let text = said(&story.executor(1, executor::Event::Ended { outcome: refused }));
    assert!(
        text.starts_with(&format!("{command}: the copy of its bundle is bad, it is fetched again: ")),
        "{text}"
    );
    assert!(text.contains("digest_mismatch") && text.contains("files/a"), "{text}");
}

#[test]
fn a_running_jobs_task_name_is_bounded() {
    let mut story = Story::new();
    story.command(1);
    let mut event = at_task(1);
    if let executor::Event::TaskStarted { task, .. } = &mut event {
        *task = long_task().unwrap();
    }
    story.executor(1, event);
    let Outcome::Running { task } = story.state.job_under_way().unwrap().outcome else { panic!() };
    assert!(is_bounded(task.as_ref()));
    story.executor(1, succeeded());
    assert_eq!(story.state.job_under_way(), None);
}
