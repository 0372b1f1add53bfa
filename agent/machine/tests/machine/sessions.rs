//! How long a session may be silent, and when an executor that says nothing is given up: each limit to the millisecond.

use keros_machine::{Effect, Event, Note, SessionRequest};
use keros_protocol::{Outcome, executor};

use crate::story::{Story, at_task, confirming, id, last_outcome, sessions, started, succeeded};

/// The job's own time, and five minutes.
const SILENCE_MS: u64 = 3_600_000 + 300_000;
const WINDOW_MS: u64 = 1_800_000;
const DAY_MS: u64 = 86_400_000;

/// A job that runs, at a time that is not zero.
fn running() -> Story {
    let mut story = Story::new();
    story.later(7000);
    story.command(1);
    story.executor(1, started(1));
    story
}

fn closed(session: u64, handed_over: bool) -> Event {
    Event::SessionClosed { session, handed_over, message: "over".to_owned() }
}

fn is_let_go(effects: &[Effect], session: u64) -> bool {
    effects.contains(&Effect::CloseSession { session })
}

#[test]
fn silence_is_borne_for_as_long_as_the_job_may_take() {
    let mut story = Story::new();
    story.later(7000);
    story.command(1);
    assert!(!is_let_go(&story.later(SILENCE_MS - 1), 1));
    assert!(is_let_go(&story.later(1), 1));

    // Each line begins it anew, and a window makes it longer.
    let mut story = running();
    story.later(1_000_000);
    story.executor(1, at_task(1));
    assert!(!is_let_go(&story.later(SILENCE_MS - 1), 1));
    story.executor(1, confirming("n1"));
    assert!(!is_let_go(&story.later(SILENCE_MS + WINDOW_MS - 1), 1));
    assert!(is_let_go(&story.later(1), 1));
}

#[test]
fn the_machine_wakes_for_a_silent_session() {
    let mut story = running();
    story.executor(1, at_task(1));
    story.later(600_000);
    let left = keros_machine::next_wake_ms(&story.state, story.now).unwrap() - story.now.monotonic_ms;
    assert_eq!(left, SILENCE_MS - 600_000);
}

#[test]
fn not_known_is_believed_after_three_answers_and_the_jobs_own_time() {
    let mut story = running();
    story.tell(closed(1, true));
    let say = |story: &mut Story, session: u64| {
        story.executor(
            session,
            executor::Event::RequestFailed { message: "unknown".to_owned(), unknown: false },
        );
        story.tell(closed(session, true));
    };
    let next = |story: &mut Story| {
        let before = story.all.len();
        while sessions(&story.all[before..]).is_empty() {
            story.sleep();
        }
        sessions(&story.all[before..])[0].0
    };
    let session = next(&mut story);
    let since_ms = story.now.monotonic_ms;
    say(&mut story, session);
    // The second answer comes when the time is over, and is not enough.
    let session = next(&mut story);
    story.now.monotonic_ms = since_ms + SILENCE_MS - 1;
    say(&mut story, session);
    let session = next(&mut story);
    assert_eq!(story.state.jobs().len(), 1);
    say(&mut story, session);
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
}

#[test]
fn an_answer_in_between_begins_the_count_anew() {
    let mut story = running();
    story.tell(closed(1, true));
    let failed = || executor::Event::RequestFailed { message: "unknown".to_owned(), unknown: false };
    story.later(1000);
    story.executor(2, failed());
    story.executor(2, failed());
    story.executor(2, started(1));
    story.later(SILENCE_MS - 1000);
    story.executor(2, failed());
    story.executor(2, failed());
    story.executor(2, failed());
    assert_eq!(story.state.jobs().len(), 1, "not for long enough");
    assert!(story.state.problem().is_some_and(|problem| problem.contains("unknown")));
    story.executor(2, at_task(1));
    assert_eq!(story.state.problem(), None);
}

/// To run it may fail as often as it likes: that says nothing about the job.
#[test]
fn a_request_to_run_that_fails_is_no_answer_about_the_job() {
    let mut story = Story::new();
    story.command(1);
    for _ in 0..10 {
        story.executor(1, executor::Event::RequestFailed { message: "broken".to_owned(), unknown: false });
        story.now.monotonic_ms += 500_000;
    }
    assert_eq!(story.state.jobs().len(), 1);
}

#[test]
fn a_job_is_given_up_a_day_after_its_silence() {
    let mut story = running();
    story.later(100_000);
    let begin = story.now.monotonic_ms;
    // A line that moves nothing is a sign of life too.
    story.executor(1, executor::Event::UndoStep { what: "a file".to_owned(), error: None });
    let mut session = 1;
    story.tell(closed(session, true));
    let end = begin + SILENCE_MS + DAY_MS;
    loop {
        let wake = keros_machine::next_wake_ms(&story.state, story.now).unwrap();
        assert!(wake <= end, "it wakes in time");
        if wake == end {
            break;
        }
        let before = story.all.len();
        story.later(wake - story.now.monotonic_ms);
        if let Some((next, _)) = sessions(&story.all[before..]).last() {
            session = *next;
            story.tell(closed(session, false));
        }
    }
    assert_eq!(story.state.jobs().len(), 1);
    story.later(end - story.now.monotonic_ms);
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
}

#[test]
fn a_fresh_job_has_its_own_day() {
    let mut story = Story::new();
    story.later(2 * DAY_MS);
    story.command_until(1, story.now.unix_s + 1_000_000);
    story.later(1000);
    assert_eq!(story.state.jobs().len(), 1, "the executor's silence before it does not count");
}

#[test]
fn lines_of_other_sessions_and_jobs_are_passed_over() {
    let mut story = running();
    let foreign = Note::Unexpected("a line of a session that is no longer followed");
    assert!(story.executor(9, succeeded()).contains(&Effect::Note(foreign)));
    let other = Note::Unexpected("an executor's line about something else");
    assert!(story.executor(1, started(2)).contains(&Effect::Note(other)));
    assert_eq!(story.state.jobs().len(), 1);
    // A session that was not the one that is followed closes: nothing is asked anew.
    story.tell(closed(9, true));
    assert!(sessions(&story.later(300_000)).is_empty());
}

#[test]
fn a_lost_envelope_lets_its_session_go() {
    let mut story = Story::new();
    story.command(1);
    story.command(2);
    let effects = story.tell(Event::EnvelopeLost { command_id: id(1) });
    assert!(is_let_go(&effects, 1));
    assert_eq!(sessions(&effects), [(2, SessionRequest::Run)], "the next one's turn");
    // Another job's session is left alone.
    let effects = story.tell(Event::EnvelopeLost { command_id: id(7) });
    assert!(!is_let_go(&effects, 2));
}

#[test]
fn the_wait_before_the_executor_is_asked_again_ends_with_the_job() {
    let mut story = Story::new();
    story.command(1);
    for _ in 0..6 {
        let session = sessions(&story.all).last().unwrap().0;
        story.tell(closed(session, false));
        story.sleep();
    }
    let session = sessions(&story.all).last().unwrap().0;
    story.executor(session, started(1));
    story.executor(session, succeeded());
    let effects = story.command(2);
    let session = sessions(&effects)[0].0;
    story.tell(closed(session, false));
    let wake = keros_machine::next_wake_ms(&story.state, story.now).unwrap();
    assert_eq!(wake - story.now.monotonic_ms, 1000, "from the beginning");
}

#[test]
fn a_disk_that_recovers_makes_no_job_older() {
    let mut story = Story::new();
    story.later(3 * DAY_MS);
    story.command_until(1, story.now.unix_s + 1_000_000);
    story.executor(1, started(1));
    let effects = story.tell(Event::StoreRecovered);
    assert_eq!(sessions(&effects), [(2, SessionRequest::Attach)]);
    assert_eq!(story.state.jobs().len(), 1);
}
