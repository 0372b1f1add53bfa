//! What time it is, when the clock may be absurd.

use keros_machine::{ClockFit, Effect, Event, Note, Now, TimeJudge};
use keros_protocol::{Outcome, RefusalReason};

use crate::story::{BUILT, DAY, START, Story, hear, last_outcome, sessions, started, statement};

const FAR_S: u64 = 400 * DAY;
const YEARS_50: u64 = 50 * 365 * DAY;

/// What the center says, with these nonces.
fn said(time_unix_s: u64, nonces: &[String]) -> Event {
    let mut said = statement(None);
    said.time_unix_s = time_unix_s;
    said.nonces = nonces.to_vec();
    hear(said)
}

/// The nonces of the last telemetry in these effects.
fn asked(effects: &[Effect]) -> Option<Vec<String>> {
    let sent = effects.iter().rev().find_map(|effect| match effect {
        Effect::SendTelemetry { nonces } => Some(nonces.clone()),
        _ => None,
    });
    sent.filter(|nonces| !nonces.is_empty())
}

#[test]
fn the_clock_is_believed_from_the_floor_to_400_days_beyond_it() {
    let judge = TimeJudge::new(BUILT);
    let at = |unix_s| Now { unix_s, monotonic_ms: 0 };
    for (unix_s, fit, judged) in [
        (BUILT - 1, ClockFit::BelowFloor, BUILT),
        (BUILT, ClockFit::Fits, BUILT),
        (BUILT + FAR_S, ClockFit::Fits, BUILT + FAR_S),
        (BUILT + FAR_S + 1, ClockFit::FarAhead, BUILT),
    ] {
        assert_eq!((judge.fit(at(unix_s)), judge.judged(at(unix_s))), (fit, judged), "{unix_s}");
        assert_eq!(judge.is_believed(at(unix_s)), fit == ClockFit::Fits);
    }
}

#[test]
fn time_is_counted_from_the_floor_with_room_for_a_fast_oscillator() {
    let judge = TimeJudge::new(BUILT);
    let at = |unix_s| Now { unix_s, monotonic_ms: 2_000_000 };
    for (unix_s, fit, judged) in [
        (BUILT + 1997, ClockFit::BelowFloor, BUILT + 2000),
        (BUILT + 1998, ClockFit::Fits, BUILT + 1998),
        (BUILT + 2000 + FAR_S, ClockFit::Fits, BUILT + 2000 + FAR_S),
        (BUILT + 2001 + FAR_S, ClockFit::FarAhead, BUILT + 2000),
    ] {
        assert_eq!((judge.fit(at(unix_s)), judge.judged(at(unix_s))), (fit, judged), "{unix_s}");
    }
}

#[test]
fn the_time_floor_judges_expiry_and_is_raised_with_care() {
    let mut story = Story::new();
    story.now.unix_s = 1000;
    assert_eq!(story.state.judged_time(story.now), BUILT);
    story.tell(said(BUILT + 59, &[]));
    assert_eq!(story.state.time_floor(), BUILT, "not worth a write");
    story.tell(said(BUILT + 60, &[]));
    assert_eq!(story.state.time_floor(), BUILT + 60);
    let effects = story.tell(said(BUILT + 60 + FAR_S, &[]));
    assert!(!effects.contains(&Effect::Note(Note::FloorCapped)));
    let floor = BUILT + 60 + FAR_S;
    assert_eq!(story.state.time_floor(), floor);
    assert!(story.tell(said(floor + FAR_S + 1, &[])).contains(&Effect::Note(Note::FloorCapped)));
    let floor = floor + FAR_S;
    assert_eq!(story.state.time_floor(), floor);
    story.tell(said(5, &[]));
    assert_eq!(story.state.time_floor(), floor, "it never falls by an old statement");
    assert_eq!(story.state.judged_time(story.now), floor);
    story.command_until(1, floor - DAY);
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
}

/// A gateway that has lain on a shelf for three years: its clock is right, and the first statement shows it.
#[test]
fn a_clock_near_the_newest_statement_is_believed_though_the_floor_is_far_behind() {
    let mut story = Story::new();
    story.now.unix_s = BUILT + 3 * 365 * DAY;
    assert_eq!(story.state.time_judge().fit(story.now), ClockFit::FarAhead);
    story.tell(said(story.now.unix_s, &[]));
    assert_eq!(story.state.time_judge().fit(story.now), ClockFit::Fits);
    // An older one does not take that back.
    story.tell(said(BUILT + 500 * DAY, &[]));
    assert_eq!(story.state.judged_time(story.now), story.now.unix_s);
    story.now.unix_s += FAR_S + 1;
    assert_eq!(story.state.time_judge().fit(story.now), ClockFit::FarAhead);
}

#[test]
fn with_an_absurd_clock_jobs_wait_for_the_centers_answer_to_a_fresh_question() {
    for clock in [1000, START + YEARS_50] {
        let mut story = Story::new();
        story.now.unix_s = clock;
        let effects = story.command(1);
        assert!(sessions(&effects).is_empty() && effects.contains(&Effect::Note(Note::ClockNotBelieved)));
        assert!(!story.later(1000).contains(&Effect::Note(Note::ClockNotBelieved)), "said once");
        assert!(story.state.problem().is_some_and(|problem| problem.contains("clock")));
        let nonces = asked(&story.connect()).expect("the time is asked for");
        assert_eq!(nonces, ["c1"]);
        // What anybody could have kept from earlier proves nothing.
        story.tell(said(START, &[]));
        story.tell(said(START, &["c0".to_owned()]));
        assert!(sessions(&story.all).is_empty());
        let effects = story.tell(said(START + 5, &nonces));
        assert_eq!(sessions(&effects).len(), 1);
        assert_eq!(story.state.judged_time(story.now), START + 5);
        assert_eq!(story.state.problem(), None);
        story.later(100_000);
        assert_eq!(story.state.judged_time(story.now), START + 105, "counted from the answer");
    }
}

/// It is 1970, and the center is away: the job still ends, by the clock that never jumps.
#[test]
fn a_waiting_job_ends_though_the_clock_stands_still_and_the_center_is_away() {
    let mut story = Story::new();
    story.now.unix_s = 1000;
    story.command_until(1, BUILT + 3600);
    while !story.state.jobs().is_empty() {
        let wake = keros_machine::next_wake_ms(&story.state, story.now).unwrap();
        story.now.monotonic_ms = wake.max(story.now.monotonic_ms + 1);
        story.tell(Event::Woken);
        assert!(story.now.monotonic_ms <= 3_600_000, "it must end some time");
    }
    assert_eq!(story.now.monotonic_ms, 3_600_000);
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
}

#[test]
fn a_waiting_job_ends_by_the_clock_that_never_jumps_whatever_the_other_one_does() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    story.now.monotonic_ms = 5000;
    story.command_until(2, START + 60);
    // The clock is set back a little: that may be right.
    story.now.unix_s = START - 500;
    story.now.monotonic_ms = 64_999;
    story.tell(Event::Woken);
    assert_eq!(story.state.jobs().len(), 2);
    story.now.monotonic_ms = 65_000;
    story.tell(Event::Woken);
    assert_eq!(story.state.jobs().len(), 1);

    // After a restart the same time is counted from its beginning.
    story.now.unix_s = START;
    story.command_until(3, START + 60);
    story.now.unix_s = START - 500;
    story.restart();
    story.now.monotonic_ms = 59_999;
    story.tell(Event::Woken);
    assert_eq!(story.state.jobs().len(), 2);
    story.now.monotonic_ms = 60_000;
    story.tell(Event::Woken);
    assert_eq!(story.state.jobs().len(), 1);
}

#[test]
fn only_an_answer_to_our_question_lowers_the_floor() {
    let mut story = Story::new();
    story.connect();
    story.answer();
    story.now.unix_s = START + 100 * DAY;
    story.tell(said(START + 100 * DAY, &[]));
    // A little late is no reason to ask.
    story.tell(said(START + 100 * DAY - 300, &[]));
    assert_eq!(asked(&story.later(60_000)), None);
    story.answer();
    story.later(60_000);
    let effects = story.tell(said(START + 100 * DAY + 120 - 301, &[]));
    let nonces = asked(&effects).expect("the center disagrees with the floor: it is asked");
    let effects = story.tell(said(START + DAY, &nonces));
    assert!(effects.contains(&Effect::Note(Note::FloorLowered)));
    assert_eq!(story.state.time_floor(), START + DAY);
    // The same answer is good for once.
    story.tell(said(START + 50 * DAY, &[]));
    assert!(!story.tell(said(START + DAY, &nonces)).contains(&Effect::Note(Note::FloorLowered)));
    assert_eq!(story.state.time_floor(), START + 50 * DAY);
}

#[test]
fn the_floor_is_never_below_the_build() {
    let mut story = Story::new();
    story.now.unix_s = 1000;
    let nonces = asked(&story.connect()).unwrap();
    story.tell(said(500, &nonces));
    assert_eq!(story.state.time_floor(), BUILT);
    assert_eq!(story.state.judged_time(story.now), BUILT);
}

#[test]
fn an_answer_that_comes_too_late_is_none_and_the_question_is_asked_anew() {
    let mut story = Story::new();
    story.now.unix_s = 1000;
    let first = asked(&story.connect()).unwrap();
    story.now.monotonic_ms = 600_000;
    let mut in_time = Story { state: story.state.clone(), ..Story::new() };
    in_time.now = story.now;
    in_time.tell(Event::Woken);
    in_time.tell(said(START, &first));
    assert!(in_time.state.time_judge().is_believed(in_time.now));
    story.now.monotonic_ms = 600_001;
    story.tell(said(START, &first));
    assert!(!story.state.time_judge().is_believed(story.now));
    let second = asked(&story.all).unwrap();
    assert_ne!(second, first, "by a fresh nonce");
    story.tell(said(START, &second));
    assert!(story.state.time_judge().is_believed(story.now));
}

/// Fifty years ahead nothing expires, and fifty years behind nothing runs that has.
#[test]
fn a_jump_of_fifty_years_while_it_runs_changes_nothing() {
    for clock in [START + YEARS_50, START - YEARS_50] {
        let mut story = Story::new();
        story.tell(said(START, &[]));
        story.command_until(1, START + DAY);
        story.tell(Event::SessionClosed { session: 1, handed_over: false, message: "gone".to_owned() });
        story.now.unix_s = clock;
        story.later(3_600_000);
        assert_eq!(story.state.jobs().len(), 1);
        assert_eq!(story.state.judged_time(story.now), START + 3600);
        story.now.unix_s = clock;
        story.later((DAY - 3600) * 1000);
        assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
    }
}
