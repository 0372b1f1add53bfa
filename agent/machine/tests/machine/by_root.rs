//! Root cancels a job on the gateway, at each moment of it.

use crate::story::{
    Story, confirming, hear, id, last_outcome, reports, sessions, started, statement, succeeded,
};
use keros_machine::{Effect, Event, FetchEnd, RootCancel, SessionRequest};
use keros_protocol::{Cancellation, Outcome, Summary, executor};

fn by_root() -> Outcome {
    Outcome::Cancelled { task: None, summary: Summary::default(), by_root: true }
}

fn cancel(story: &mut Story, number: u64) -> Vec<Effect> {
    story.tell(Event::CancelledByRoot { command_id: id(number) })
}

fn closed(session: u64, handed_over: bool) -> Event {
    Event::SessionClosed { session, handed_over, message: "over".to_owned() }
}

#[test]
fn what_waits_ends_at_once_and_the_center_is_told_that_it_was_root() {
    let mut story = Story::new();
    story.connect();
    story.command(1);
    story.command(2);
    assert_eq!(story.state.root_cancel(id(2)), RootCancel::Waits);
    let effects = cancel(&mut story, 2);
    let told: Vec<_> = reports(&effects).iter().map(|report| report.outcome.clone()).collect();
    assert_eq!(told, [by_root()]);
    assert!(effects.contains(&Effect::ForgetEnvelope { command_id: id(2) }), "{effects:?}");
    assert_eq!(story.state.root_cancel(id(2)), RootCancel::TooLate(Some(by_root())));
    // The first one goes on, and nothing is heard of the second any more.
    story.executor(1, started(1));
    story.executor(1, succeeded());
    assert_eq!(sessions(&story.all).len(), 1);
    assert!(story.command(2).iter().all(|effect| !matches!(effect, Effect::OpenSession { .. })));
}

#[test]
fn what_is_fetched_ends_and_its_fetch_is_stopped() {
    let mut story = Story::new();
    story.link(1);
    let effects = cancel(&mut story, 1);
    assert!(effects.contains(&Effect::StopFetch { command_id: id(1) }), "{effects:?}");
    assert_eq!(*last_outcome(&story), by_root());
    story.fetch_ends(1, FetchEnd::Complete);
    assert!(sessions(&story.all).is_empty());
}

#[test]
fn what_was_handed_over_is_left_to_the_executor() {
    let mut story = Story::new();
    story.command(1);
    for step in 0..3 {
        match step {
            1 => drop(story.executor(1, started(1))),
            2 => drop(story.executor(1, confirming("n1"))),
            _ => {}
        }
        assert_eq!(story.state.root_cancel(id(1)), RootCancel::HandedOver);
        let effects = cancel(&mut story, 1);
        assert!(sessions(&effects).is_empty() && reports(&effects).is_empty(), "{step}: {effects:?}");
    }
    // What the executor makes of it, its events say.
    let ended = Outcome::RolledBack {
        reason: "cancelled on the gateway".to_owned(),
        complete: true,
        remains: vec![],
    };
    story.executor(1, executor::Event::Ended { outcome: ended.clone() });
    assert_eq!(*last_outcome(&story), ended);
}

/// Root was told that the executor has it, and the executor knew nothing.
#[test]
fn what_turns_out_not_to_be_started_ends_too_also_after_a_restart() {
    let mut story = Story::new();
    story.command(1);
    cancel(&mut story, 1);
    story.tell(closed(1, false));
    assert_eq!(*last_outcome(&story), by_root());

    let mut story = Story::new();
    story.link(1);
    story.fetch_ends(1, FetchEnd::Complete);
    cancel(&mut story, 1);
    story.restart();
    let (session, _) = *sessions(&story.all).last().unwrap();
    let reason = keros_protocol::RefusalReason::DigestMismatch;
    let outcome = Outcome::Refused { reason, detail: "the copy".to_owned() };
    story.executor(session, executor::Event::Ended { outcome });
    assert_eq!(*last_outcome(&story), by_root());
}

/// It stops as root has told the executor; the wish that the agent has noted must not have it undone.
#[test]
fn a_job_that_has_stopped_is_confirmed_as_any_other() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    cancel(&mut story, 1);
    story.executor(1, confirming("n1"));
    let mut said = statement(None);
    said.nonces = vec!["n1".to_owned()];
    let effects = story.tell(hear(said));
    assert!(matches!(&sessions(&effects)[..], [(_, SessionRequest::Confirm { .. })]), "{effects:?}");
}

#[test]
fn root_and_the_center_may_both_cancel_it_and_it_ends_once() {
    let mut story = Story::new();
    story.connect();
    story.command(1);
    story.command(2);
    cancel(&mut story, 2);
    let mut said = statement(None);
    said.cancellations = vec![Cancellation { command_id: id(2) }];
    assert!(reports(&story.tell(hear(said))).is_empty());
    assert!(reports(&cancel(&mut story, 2)).is_empty());
    let ended: Vec<_> = story.state.ended().map(|job| job.outcome.clone()).collect();
    assert_eq!(ended, [by_root()]);
}

#[test]
fn what_is_not_there_or_has_ended_is_named() {
    let mut story = Story::new();
    assert_eq!(story.state.root_cancel(id(1)), RootCancel::Unknown);
    assert!(cancel(&mut story, 1).is_empty());
    story.command(1);
    story.executor(1, started(1));
    story.executor(1, succeeded());
    let RootCancel::TooLate(Some(Outcome::Succeeded { .. })) = story.state.root_cancel(id(1)) else {
        panic!("{:?}", story.state.root_cancel(id(1)))
    };
    assert!(cancel(&mut story, 1).is_empty());
    let kept = serde_json::to_string(story.state.kept()).unwrap();
    assert!(!kept.contains("by_root"), "an older agent may read the state: {kept}");
}
