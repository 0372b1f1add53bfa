//! What becomes of a cancellation at each moment of a job.

use crate::story::{
    START, Story, confirming, hear, id, last_outcome, reports, sessions, started, statement, succeeded,
};
use keros_machine::{Cancel, Effect, Event, Note, SessionRequest};
use keros_protocol::executor::{self, CancelAnswer};
use keros_protocol::{Cancellation, Outcome};

fn cancel(story: &mut Story, numbers: &[u64]) -> Vec<Effect> {
    let mut said = statement(None);
    said.cancellations = numbers.iter().map(|number| Cancellation { command_id: id(*number) }).collect();
    story.tell(hear(said))
}

fn answer(story: &mut Story, session: u64, answer: CancelAnswer) -> Vec<Effect> {
    story.executor(session, executor::Event::CancelAnswered { command_id: id(1), answer })
}

fn is_cancel(request: &SessionRequest) -> bool {
    matches!(request, SessionRequest::Cancel { .. })
}

/// Sessions that cancel, opened by these effects.
fn asked(effects: &[Effect]) -> Vec<u64> {
    sessions(effects)
        .into_iter()
        .filter(|(_, request)| is_cancel(request))
        .map(|(session, _)| session)
        .collect()
}

fn closed(session: u64, handed_over: bool) -> Event {
    Event::SessionClosed { session, handed_over, message: "over".to_owned() }
}

fn running() -> Story {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    story
}

#[test]
fn a_waiting_job_is_cancelled_before_its_start() {
    let mut story = Story::new();
    story.command(1);
    story.command(2);
    cancel(&mut story, &[2]);
    assert!(matches!(last_outcome(&story), Outcome::Cancelled { task: None, .. }));
    assert_eq!(story.state.jobs().len(), 1);
}

#[test]
fn a_command_that_was_cancelled_before_it_came_is_received_and_cancelled() {
    let mut story = Story::new();
    story.connect();
    cancel(&mut story, &[7, 8]);
    // It may come much later, after a restart of the agent.
    story.restart();
    story.connect();
    let effects = story.command(7);
    let names: Vec<_> = reports(&effects).iter().map(|report| report.outcome.name()).collect();
    assert_eq!(names, ["received", "cancelled"]);
    assert!(sessions(&story.all).is_empty());
    assert_eq!(sessions(&story.command(9)), [(1, SessionRequest::Run)], "another one runs");
}

#[test]
fn ids_of_commands_that_never_come_are_bounded() {
    let mut story = Story::new();
    for number in 100..300 {
        cancel(&mut story, &[number]);
    }
    let kept = serde_json::to_value(story.state.kept()).unwrap();
    assert_eq!(kept["cancelled"].as_array().unwrap().len(), keros_machine::MAX_CANCELLED_IDS);
    assert_eq!(kept["cancelled"][0], id(236).to_string(), "the newest are kept");
}

#[test]
fn what_may_have_been_started_does_not_expire_and_the_executor_is_asked_to_cancel_it() {
    let mut story = Story::new();
    story.command_until(1, START + 60);
    story.tell(closed(1, true));
    let effects = cancel(&mut story, &[1]);
    assert_eq!(asked(&effects), [2]);
    let request = sessions(&effects)[0].1.clone();
    let SessionRequest::Cancel { statement } = request else { panic!("{request:?}") };
    assert_eq!(statement.payload_type, "s", "with the statement that orders it");
    // The executor does not know it yet: it is asked again, and the job goes on meanwhile.
    answer(&mut story, 2, CancelAnswer::Unknown);
    story.tell(closed(2, true));
    let effects = story.later(2000);
    assert_eq!(sessions(&effects).len(), 2, "{effects:?}");
    let (run, side) = (sessions(&effects)[0].0, asked(&effects)[0]);
    story.later(120_000);
    assert_eq!(story.state.jobs().len(), 1, "it does not expire");
    story.executor(run, started(1));
    assert_eq!(story.state.jobs()[0].cancel, Some(Cancel::Asked), "side session {side}");
}

#[test]
fn a_running_job_is_cancelled_by_the_executor_and_its_end_is_reported() {
    let mut story = running();
    assert_eq!(asked(&cancel(&mut story, &[1])), [2]);
    let effects = answer(&mut story, 2, CancelAnswer::Stopping);
    assert!(effects.contains(&Effect::Note(Note::CancelAnswered(id(1), CancelAnswer::Stopping))));
    assert_eq!(story.state.jobs()[0].cancel, Some(Cancel::Stopping));
    story.tell(closed(2, true));
    let outcome = Outcome::Cancelled {
        task: Some(crate::story::task(2)),
        summary: keros_protocol::Summary::default(),
        by_root: false,
    };
    story.executor(1, executor::Event::Ended { outcome: outcome.clone() });
    assert_eq!(*last_outcome(&story), outcome);
    // The center repeats it until it has heard the end: that is no news.
    assert!(cancel(&mut story, &[1]).is_empty());
}

#[test]
fn a_cancellation_is_asked_a_few_times_for_each_statement_and_ever_more_rarely() {
    let mut story = running();
    let mut session = asked(&cancel(&mut story, &[1]))[0];
    let mut waits = Vec::new();
    loop {
        story.tell(closed(session, false));
        let before = story.now.monotonic_ms;
        while story.now.monotonic_ms < before + 600_000 && asked(&story.later(500)).is_empty() {}
        let Some(next) = asked(&story.all).last().copied().filter(|next| *next > session) else { break };
        waits.push(story.now.monotonic_ms - before);
        session = next;
    }
    assert_eq!(waits, [2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000]);
    assert_eq!(asked(&cancel(&mut story, &[1])).len(), 1, "the next statement begins anew");
}

#[test]
fn a_session_without_an_answer_is_given_up_and_asked_again() {
    let mut story = running();
    cancel(&mut story, &[1]);
    let effects = story.later(60_000);
    assert!(effects.contains(&Effect::CloseSession { session: 2 }));
    assert_eq!(asked(&effects), [3]);
    // What the first one says now is passed over.
    answer(&mut story, 2, CancelAnswer::Stopping);
    assert_eq!(story.state.jobs()[0].cancel, Some(Cancel::Asked));
    // An answer about another job is none.
    let foreign = executor::Event::CancelAnswered { command_id: id(2), answer: CancelAnswer::Stopping };
    assert!(
        story
            .executor(3, foreign)
            .contains(&Effect::Note(Note::Unexpected("an executor's line that is no answer")))
    );
}

#[test]
fn statements_that_repeat_an_answered_cancellation_are_bounded() {
    let mut story = running();
    cancel(&mut story, &[1]);
    answer(&mut story, 2, CancelAnswer::Stopping);
    story.tell(closed(2, true));
    let mut again = 0;
    for _ in 0..120 {
        story.later(1000);
        let effects = cancel(&mut story, &[1]);
        for session in asked(&effects) {
            answer(&mut story, session, CancelAnswer::Stopping);
            story.tell(closed(session, true));
            again += 1;
        }
    }
    assert_eq!(again, 2, "once a minute");
}

#[test]
fn a_provisional_job_is_cancelled_rather_than_confirmed() {
    let mut story = running();
    story.executor(1, confirming("n1"));
    let mut said = statement(None);
    said.nonces = vec!["n1".to_owned()];
    said.cancellations = vec![Cancellation { command_id: id(1) }];
    let effects = story.tell(hear(said.clone()));
    assert_eq!((asked(&effects).len(), sessions(&effects).len()), (1, 1));
    answer(&mut story, 2, CancelAnswer::RollingBack);
    story.tell(closed(2, true));
    // From then on the executor decides alone.
    story.later(60_000);
    let effects = story.tell(hear(said));
    assert!(asked(&effects).is_empty());
    assert_eq!(story.state.jobs()[0].cancel, Some(Cancel::RollingBack));
}

/// It stopped as it was told; what it had changed waits for its confirmation like any other job's.
#[test]
fn a_job_that_has_stopped_may_be_confirmed() {
    let mut story = running();
    cancel(&mut story, &[1]);
    answer(&mut story, 2, CancelAnswer::Stopping);
    story.tell(closed(2, true));
    story.later(120_000);
    story.executor(1, confirming("n1"));
    let mut said = statement(None);
    said.nonces = vec!["n1".to_owned()];
    said.cancellations = vec![Cancellation { command_id: id(1) }];
    let effects = story.tell(hear(said));
    let [(session, SessionRequest::Confirm { .. })] = &sessions(&effects)[..] else { panic!("{effects:?}") };
    // To ask once more would undo what it was to keep.
    let before = story.all.len();
    let accepted = executor::Event::ConfirmAnswered { command_id: id(1), accepted: true, message: None };
    story.executor(*session, accepted);
    story.tell(closed(*session, true));
    story.later(10_000);
    assert!(asked(&story.all[before..]).is_empty());
}

#[test]
fn for_an_ended_job_it_is_too_late_and_that_is_said_once() {
    let mut story = running();
    story.executor(1, succeeded());
    let effects = cancel(&mut story, &[1]);
    assert_eq!(effects, [Effect::Note(Note::CancelTooLate(id(1)))]);
    assert!(cancel(&mut story, &[1]).is_empty());
    assert_eq!(story.state.ended().next().unwrap().cancel, Some(Cancel::TooLate));
}

#[test]
fn a_job_that_was_not_handed_over_after_all_is_cancelled_at_once() {
    let mut story = Story::new();
    story.command(1);
    assert_eq!(asked(&cancel(&mut story, &[1])), [2]);
    story.tell(closed(2, false));
    story.tell(closed(1, false));
    assert!(matches!(last_outcome(&story), Outcome::Cancelled { task: None, .. }));
    assert!(story.state.jobs().is_empty());
}

#[test]
fn a_cancellation_of_a_command_that_is_not_there_is_remembered_once() {
    let mut story = Story::new();
    cancel(&mut story, &[7]);
    cancel(&mut story, &[7, 7]);
    let kept = serde_json::to_value(story.state.kept()).unwrap();
    assert_eq!(kept["cancelled"].as_array().unwrap().len(), 1);
}

#[test]
fn a_side_session_has_a_minute_for_its_answer_and_statements_do_not_hasten_it() {
    let mut story = running();
    story.later(5000);
    let session = asked(&cancel(&mut story, &[1]))[0];
    assert!(!story.later(59_999).contains(&Effect::CloseSession { session }));
    assert!(asked(&cancel(&mut story, &[1])).is_empty(), "one at a time");
    assert!(story.later(1).contains(&Effect::CloseSession { session }));
    let session = asked(&story.all).last().copied().unwrap();
    story.tell(closed(session, false));
    assert!(asked(&cancel(&mut story, &[1])).is_empty(), "it waits for its next attempt");
    story.later(1000);
    assert!(asked(&cancel(&mut story, &[1])).is_empty());
    assert_eq!(asked(&story.later(1000)).len(), 1);
}

#[test]
fn what_was_not_done_while_the_disk_was_full_is_done_then() {
    let mut story = running();
    let session = asked(&cancel(&mut story, &[1]))[0];
    let effects = story.tell(Event::StoreRecovered);
    for old in [1, session] {
        assert!(effects.contains(&Effect::CloseSession { session: old }), "{effects:?}");
    }
    assert_eq!(sessions(&effects), [(3, SessionRequest::Attach)]);
    assert_eq!(asked(&story.later(2000)).len(), 1);
}

#[test]
fn a_cancellation_of_another_job_is_asked_at_once() {
    let mut story = running();
    cancel(&mut story, &[1]);
    answer(&mut story, 2, CancelAnswer::Stopping);
    story.tell(closed(2, true));
    story.executor(1, succeeded());
    let effects = story.command(2);
    let session = sessions(&effects)[0].0;
    story.executor(session, started(2));
    let effects = cancel(&mut story, &[2]);
    assert_eq!(asked(&effects).len(), 1);
    // Its wish does not outlive it.
    story.tell(closed(asked(&effects)[0], false));
    story.executor(session, succeeded());
    assert!(asked(&story.later(300_000)).is_empty());
}

#[test]
fn the_machine_wakes_for_the_next_attempt() {
    let mut story = running();
    story.later(5000);
    let session = asked(&cancel(&mut story, &[1]))[0];
    assert_eq!(story.sleep(), 60_000, "for its answer");
    let session = asked(&story.all).last().copied().filter(|next| *next > session).unwrap();
    let failed = executor::Event::RequestFailed { message: "not now".to_owned(), unknown: false };
    let effects = story.executor(session, failed);
    assert!(effects.contains(&Effect::Note(Note::ExecutorLost(id(1), "not now".to_owned()))));
    story.tell(closed(session, true));
    let before = story.all.len();
    assert_eq!(story.sleep(), 4000);
    assert_eq!(asked(&story.all[before..]).len(), 1);
}
