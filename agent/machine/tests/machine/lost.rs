//! The state was lost: what had become of a command only the executor knows, and it is asked before anything is said.

use crate::story::*;
use keros_machine::{Effect, Event, FetchEnd, Kept, Phase, SessionRequest, State};
use keros_protocol::{Cancellation, Outcome, RefusalReason, Statement, executor};

fn after_loss() -> Story {
    let mut story = Story::new();
    story.state = State::new(setup(0x7076_FF00_5607_0123), Kept::after_loss(position(0)));
    story.tell(Event::Booted);
    story.connect();
    story
}

fn unknown() -> executor::Event {
    executor::Event::RequestFailed { message: "never started here".to_owned(), unknown: true }
}

fn cancel(number: u64) -> Statement {
    Statement { cancellations: vec![Cancellation { command_id: id(number) }], ..statement(None) }
}

fn outcomes(story: &Story) -> Vec<&str> {
    reports(&story.all).iter().map(|report| report.outcome.name()).collect()
}

fn asked(effects: &[Effect]) -> Vec<(u64, SessionRequest)> {
    sessions(effects)
}

#[test]
fn a_command_that_has_run_is_followed_to_its_true_end() {
    let mut story = after_loss();
    assert_eq!(asked(&story.command(1)), [(1, SessionRequest::Attach)]);
    story.executor(1, started(1));
    story.executor(1, at_task(2));
    story.executor(1, succeeded());
    assert!(matches!(last_outcome(&story), Outcome::Succeeded { .. }));
    assert_eq!(outcomes(&story).first(), Some(&"received"));
    assert_eq!(outcomes(&story).last(), Some(&"succeeded"));
}

#[test]
fn an_expired_command_may_have_run() {
    let mut story = after_loss();
    assert_eq!(asked(&story.command_until(1, START - 5)), [(1, SessionRequest::Attach)]);
    story.later(3_600_000);
    assert!(!outcomes(&story).contains(&"refused"), "nothing is said before the executor has answered");
    story.executor(1, started(1));
    story.executor(1, succeeded());
    assert!(matches!(last_outcome(&story), Outcome::Succeeded { .. }));
}

#[test]
fn an_expired_command_that_the_executor_does_not_know_is_refused_and_never_handed_over() {
    let mut story = after_loss();
    story.command_until(1, START - 5);
    let effects = story.executor(1, unknown());
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
    assert!(effects.contains(&Effect::CloseSession { session: 1 }));
    assert_eq!(asked(&story.all), [(1, SessionRequest::Attach)]);
}

#[test]
fn a_command_that_comes_with_its_cancellation_may_have_run() {
    let mut story = after_loss();
    story.tell(hear(cancel(1)));
    assert_eq!(asked(&story.command(1)), [(1, SessionRequest::Attach)]);
    assert!(!outcomes(&story).contains(&"cancelled"));
    story.executor(1, started(1));
    story.executor(1, succeeded());
    assert!(matches!(last_outcome(&story), Outcome::Succeeded { .. }));
}

#[test]
fn a_command_that_still_runs_is_stopped_by_the_next_statement() {
    let mut story = after_loss();
    story.tell(hear(cancel(1)));
    story.command(1);
    story.executor(1, started(1));
    let requests = asked(&story.tell(hear(cancel(1))));
    assert!(matches!(requests[..], [(2, SessionRequest::Cancel { .. })]), "{requests:?}");
}

#[test]
fn a_cancelled_command_that_the_executor_does_not_know_never_starts() {
    let mut story = after_loss();
    story.tell(hear(cancel(1)));
    story.command(1);
    story.executor(1, unknown());
    assert!(matches!(last_outcome(&story), Outcome::Cancelled { task: None, .. }));
    assert_eq!(asked(&story.all), [(1, SessionRequest::Attach)]);
    assert_eq!(outcomes(&story), ["received", "accepted", "cancelled"]);
}

#[test]
fn a_command_that_the_executor_does_not_know_runs() {
    let mut story = after_loss();
    story.command(1);
    assert_eq!(asked(&story.executor(1, unknown())), [(2, SessionRequest::Run)]);
    story.executor(2, started(1));
    story.executor(2, succeeded());
    assert!(matches!(last_outcome(&story), Outcome::Succeeded { .. }));
}

#[test]
fn each_of_many_is_asked_about_before_the_next_one_starts() {
    let mut story = after_loss();
    story.command(1);
    story.command(2);
    assert_eq!(asked(&story.executor(1, unknown())), [(2, SessionRequest::Attach)], "the other one may run");
    assert_eq!(asked(&story.executor(2, unknown())), [(3, SessionRequest::Run)]);
    assert_eq!(story.state.jobs()[0].phase, Phase::Starting {});
    assert_eq!(story.state.jobs()[1].phase, Phase::Accepted {});
}

#[test]
fn no_other_failure_is_taken_for_a_word_about_the_job() {
    let mut story = after_loss();
    story.command_until(1, START - 5);
    let mut session = 1;
    for _ in 0..20 {
        let failed = executor::Event::RequestFailed { message: "disk".to_owned(), unknown: false };
        story.executor(session, failed);
        let closed = Event::SessionClosed { session, handed_over: true, message: "end".to_owned() };
        story.tell(closed);
        let opened = story.later(400_000);
        session = asked(&opened)[0].0;
        assert_eq!(asked(&opened)[0].1, SessionRequest::Attach);
    }
    story.executor(session, unknown());
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
}

#[test]
fn a_magic_link_that_may_have_run_is_asked_about_before_anything_is_fetched() {
    let mut story = after_loss();
    let effects = story.link(1);
    assert_eq!((asked(&effects), fetches(&effects)), (vec![(1, SessionRequest::Attach)], vec![]));
    let effects = story.executor(1, unknown());
    assert_eq!((asked(&effects), fetches(&effects)), (vec![], vec![(id(1), true)]));
    assert_eq!(asked(&story.fetch_ends(1, FetchEnd::Complete)), [(2, SessionRequest::Run)]);
}

#[test]
fn the_question_outlives_a_restart() {
    let mut story = after_loss();
    story.command_until(1, START - 5);
    let opened = story.restart();
    assert_eq!(asked(&opened), [(1, SessionRequest::Attach)]);
    assert!(story.state.is_after_loss());
}

/// The agent has been silent with the executor for long when the command comes, or when its turn comes.
#[test]
fn nothing_is_given_up_before_it_was_asked_about() {
    let day_ms = DAY * 1000;
    let mut story = after_loss();
    story.later(30 * day_ms);
    story.command_until(1, START);
    story.command_until(2, START);
    story.later(1);
    assert_eq!(story.state.jobs().len(), 2);
    // The executor is away: the first one is given up, and the second one still has its time.
    story.later(day_ms + 4_000_000);
    assert_eq!(story.state.jobs().len(), 1);
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
    story.later(day_ms - 4_000_000);
    assert_eq!(story.state.jobs().len(), 1);
}

#[test]
fn a_clock_that_is_not_believed_keeps_no_question_back() {
    let mut story = after_loss();
    story.now.unix_s = 1000;
    assert_eq!(asked(&story.command(1)), [(1, SessionRequest::Attach)]);
    assert_eq!(asked(&story.executor(1, unknown())), [], "but it is not started before the time is known");
}
