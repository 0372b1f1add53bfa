//! A Magic Link waits for its bundle: when it is fetched, and what ends the waiting.

use crate::story::{
    DAY, START, Story, fetches, hear, id, last_outcome, reports, sessions, started, statement, succeeded,
};
use keros_machine::{
    Effect, Event, FetchEnd, Kept, MAX_ENDED_JOBS, MAX_KNOWN_IDS, Note, Phase, SessionRequest, next_wake_ms,
};
use keros_protocol::{Cancellation, Outcome, RefusalReason, executor};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

fn failed(progressed: bool) -> FetchEnd {
    FetchEnd::Failed { message: "no route".to_owned(), progressed }
}

fn refused(reason: RefusalReason) -> FetchEnd {
    FetchEnd::Refused { reason, detail: "no".to_owned() }
}

fn refusal(story: &Story) -> (RefusalReason, &str) {
    match last_outcome(story) {
        Outcome::Refused { reason, detail } => (*reason, detail),
        other => panic!("{other:?}"),
    }
}

/// What the executor says to a bundle that is not what it should be.
fn executor_refuses(reason: RefusalReason) -> executor::Event {
    executor::Event::Ended { outcome: Outcome::Refused { reason, detail: "bad".to_owned() } }
}

#[test]
fn a_magic_link_is_accepted_then_fetched_and_only_then_handed_over() {
    let mut story = Story::new();
    story.connect();
    let effects = story.link(1);
    assert_eq!(fetches(&effects), [(id(1), true)]);
    assert!(sessions(&effects).is_empty());
    let names: Vec<_> = reports(&effects).iter().map(|report| report.outcome.name()).collect();
    assert_eq!(names, ["received", "accepted"]);
    assert_eq!(story.state.fetching(), Some(id(1)));
    let wake = next_wake_ms(&story.state, story.now).unwrap();
    assert!(wake >= 30_000, "nothing is to be done while it is fetched, but after {wake} ms");
    let effects = story.fetch_ends(1, FetchEnd::Complete);
    assert_eq!(sessions(&effects), [(1, SessionRequest::Run)]);
    assert_eq!((fetches(&effects), story.state.fetching()), (vec![], None));
}

#[test]
fn jobs_start_in_the_order_of_arrival_though_an_earlier_one_is_still_fetched() {
    let mut story = Story::new();
    story.link(1);
    story.command(2);
    story.later(1000);
    assert!(sessions(&story.all).is_empty(), "a later job must not overtake");
    story.fetch_ends(1, FetchEnd::Complete);
    story.executor(1, started(1));
    assert_eq!(sessions(&story.executor(1, succeeded())), [(2, SessionRequest::Run)]);
}

#[test]
fn a_bundle_is_fetched_while_an_earlier_job_runs_and_kept_until_its_turn() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    assert_eq!(fetches(&story.link(2)), [(id(2), true)]);
    let effects = story.fetch_ends(2, FetchEnd::Complete);
    assert!(sessions(&effects).is_empty() && fetches(&effects).is_empty());
    assert_eq!(sessions(&story.executor(1, succeeded())), [(2, SessionRequest::Run)]);
}

#[test]
fn bundles_are_fetched_one_after_the_other() {
    let mut story = Story::new();
    story.link(1);
    assert!(fetches(&story.link(2)).is_empty());
    assert_eq!(fetches(&story.fetch_ends(1, FetchEnd::Complete)), [(id(2), true)]);
}

#[test]
fn a_failed_attempt_is_followed_by_another_ever_later_up_to_an_hour() {
    let mut story = Story::new();
    story.link_until(1, START + 30 * DAY, false);
    let mut waits = Vec::new();
    for _ in 0..15 {
        let effects = story.fetch_ends(1, failed(false));
        assert!(effects.contains(&Effect::Note(Note::FetchFailed(id(1), "no route".to_owned()))));
        let before = story.all.len();
        waits.push(story.sleep());
        assert_eq!(fetches(&story.all[before..]), [(id(1), true)]);
    }
    assert_eq!((&waits[..3], &waits[12..]), (&[1000, 2000, 4000][..], &[HOUR_MS; 3][..]));
    story.fetch_ends(1, failed(true));
    assert_eq!(story.sleep(), 1000, "it has brought something");
}

#[test]
fn a_new_connection_is_tried_at_once() {
    let mut story = Story::new();
    story.link(1);
    for _ in 0..5 {
        story.fetch_ends(1, failed(false));
        story.sleep();
    }
    story.fetch_ends(1, failed(false));
    assert_eq!(fetches(&story.connect()), [(id(1), true)]);
    assert!(fetches(&story.connect()).is_empty(), "it is under way");
}

#[test]
fn a_day_without_progress_is_the_end() {
    let mut story = Story::new();
    story.link_until(1, START + 30 * DAY, false);
    story.later(DAY_MS - 1);
    story.fetch_ends(1, failed(true));
    story.sleep();
    story.later(DAY_MS - 1001);
    assert!(fetches(&story.fetch_ends(1, failed(false))).is_empty());
    assert_eq!(story.state.jobs().len(), 1, "one millisecond is left");
    story.sleep();
    assert_eq!(fetches(&story.fetch_ends(1, failed(false))), []);
    let (reason, detail) = refusal(&story);
    assert_eq!(reason, RefusalReason::FetchFailed);
    assert!(detail.contains("no route"), "{detail}");
    assert_eq!(story.state.problem(), None);
}

#[test]
fn what_is_refused_ends_the_job_and_the_next_one_goes_on() {
    let mut story = Story::new();
    story.link(1);
    story.link(2);
    assert_eq!(fetches(&story.fetch_ends(1, refused(RefusalReason::NotDeclared))), [(id(2), true)]);
    assert_eq!(refusal(&story), (RefusalReason::NotDeclared, "no"));
}

#[test]
fn a_job_that_is_cancelled_while_it_is_fetched_is_fetched_no_more() {
    let mut story = Story::new();
    story.link(1);
    let mut said = statement(None);
    said.cancellations = vec![Cancellation { command_id: id(1) }];
    assert_eq!(fetches(&story.tell(hear(said))), [(id(1), false)]);
    assert!(matches!(last_outcome(&story), Outcome::Cancelled { task: None, .. }));
    let late = Effect::Note(Note::Unexpected("the end of a fetch that was not ordered"));
    assert_eq!(story.fetch_ends(1, FetchEnd::Complete), [late], "its end was under way");
}

#[test]
fn a_job_whose_time_is_over_while_it_is_fetched_has_expired_or_could_not_be_fetched() {
    let mut story = Story::new();
    story.link(1);
    assert_eq!(fetches(&story.later(DAY_MS)), [(id(1), false)]);
    let expected = "its time was over before all of its bundle was here";
    assert_eq!(refusal(&story), (RefusalReason::Expired, expected));

    let mut story = Story::new();
    story.link(1);
    story.link(2);
    story.fetch_ends(1, failed(false));
    story.sleep();
    let effects = story.later(DAY_MS);
    assert_eq!(fetches(&effects), [(id(1), false)]);
    let ends: Vec<_> = story.state.ended().map(|job| (job.command_id, &job.outcome)).collect();
    assert!(matches!(ends[1], (job, Outcome::Refused { reason: RefusalReason::FetchFailed, detail })
        if job == id(1) && detail.contains("no route")));
    let of_second =
        matches!(ends[0], (job, Outcome::Refused { reason: RefusalReason::Expired, .. }) if job == id(2));
    assert!(of_second, "it was never tried");
}

#[test]
fn a_stored_command_that_cannot_be_read_is_not_fetched() {
    let mut story = Story::new();
    story.link(1);
    let effects = story.tell(Event::EnvelopeLost { command_id: id(1) });
    assert_eq!(fetches(&effects), [(id(1), false)]);
    assert_eq!(refusal(&story).0, RefusalReason::Unparsable);
}

#[test]
fn after_a_start_it_is_fetched_again_and_what_was_handed_over_is_not() {
    let mut story = Story::new();
    story.link(1);
    story.link(2);
    story.fetch_ends(1, FetchEnd::Complete);
    let effects = story.restart();
    assert_eq!(sessions(&effects), [(1, SessionRequest::Run)], "it may have been started");
    assert_eq!(fetches(&effects), [(id(2), true)]);
}

#[test]
fn what_is_fetched_with_a_full_disk_is_not_ordered_twice() {
    let mut story = Story::new();
    story.link(1);
    assert!(fetches(&story.tell(Event::StoreRecovered)).is_empty());
    story.fetch_ends(1, FetchEnd::Complete);
    assert!(fetches(&story.tell(Event::StoreRecovered)).is_empty(), "it is still there");
}

/// An agent of another version reads the state after an upgrade, or after that was undone.
#[test]
fn only_a_job_with_a_bundle_says_so_in_the_stored_state() {
    let stored = |story: &Story| serde_json::to_string(story.state.kept()).unwrap();
    let mut story = Story::new();
    story.command(1);
    assert!(!stored(&story).contains("needs_bundle") && !stored(&story).contains("by_hand"));
    story.link_until(2, START + DAY, true);
    let kept: Kept = serde_json::from_str(&stored(&story)).unwrap();
    assert_eq!(&kept, story.state.kept());
    let older = stored(&story).replace(",\"needs_bundle\":true,\"by_hand\":true", "");
    assert!(!older.contains("needs_bundle"));
    let kept: Kept = serde_json::from_str(&older).unwrap();
    assert_ne!(&kept, story.state.kept());
}

#[test]
fn a_job_that_could_not_be_handed_over_keeps_its_bundle() {
    let mut story = Story::new();
    story.link(1);
    story.fetch_ends(1, FetchEnd::Complete);
    let closed = Event::SessionClosed { session: 1, handed_over: false, message: "gone".to_owned() };
    assert!(fetches(&story.tell(closed)).is_empty());
    assert_eq!(story.state.jobs()[0].phase, Phase::Accepted {});
    assert_eq!(sessions(&story.later(1000)), [(2, SessionRequest::Run)]);
}

/// The disk has lost something after the bundle was fetched.
#[test]
fn a_copy_that_the_executor_refuses_is_fetched_again_once() {
    for reason in [RefusalReason::DigestMismatch, RefusalReason::NotFound] {
        let mut story = Story::new();
        story.link(1);
        assert!(story.all.contains(&Effect::Fetch { command_id: id(1), rehash: false }));
        story.fetch_ends(1, FetchEnd::Complete);
        let effects = story.executor(1, executor_refuses(reason));
        assert!(effects.contains(&Effect::CloseSession { session: 1 }));
        assert!(effects.contains(&Effect::Fetch { command_id: id(1), rehash: true }));
        assert!(sessions(&effects).is_empty());
        assert_eq!(sessions(&story.fetch_ends(1, FetchEnd::Complete)), [(2, SessionRequest::Run)]);
        story.executor(2, executor_refuses(reason));
        assert_eq!(refusal(&story), (reason, "bad"));
    }
}

#[test]
fn what_the_executor_refuses_for_another_reason_or_once_it_runs_is_refused() {
    let mut story = Story::new();
    story.link(1);
    story.fetch_ends(1, FetchEnd::Complete);
    story.executor(1, executor_refuses(RefusalReason::NotDeclared));
    assert_eq!(refusal(&story).0, RefusalReason::NotDeclared);

    story.link(2);
    story.fetch_ends(2, FetchEnd::Complete);
    story.executor(2, started(2));
    story.executor(2, executor_refuses(RefusalReason::DigestMismatch));
    assert_eq!(refusal(&story).0, RefusalReason::DigestMismatch);

    story.command(3);
    story.executor(3, executor_refuses(RefusalReason::NotFound));
    assert_eq!(refusal(&story).0, RefusalReason::NotFound, "a script has no bundle");
}

/// The younger one would not start before the older one anyway.
#[test]
fn an_older_job_comes_first_also_when_its_copy_turns_out_bad() {
    let mut story = Story::new();
    story.link(1);
    story.link(2);
    story.fetch_ends(1, FetchEnd::Complete);
    let effects = story.executor(1, executor_refuses(RefusalReason::NotFound));
    assert_eq!(fetches(&effects), [(id(2), false), (id(1), true)]);
}

#[test]
fn what_a_technician_has_brought_starts_with_any_clock() {
    for clock in [1000, START + 50 * 365 * DAY] {
        let mut story = Story::new();
        story.now.unix_s = clock;
        story.link_until(1, START + DAY, true);
        assert_eq!(sessions(&story.fetch_ends(1, FetchEnd::Complete)), [(1, SessionRequest::Run)]);

        let mut story = Story::new();
        story.now.unix_s = clock;
        let effects = story.link_until(1, START + DAY, false);
        assert!(!effects.contains(&Effect::Note(Note::ClockNotBelieved)), "it waits for its bundle");
        let effects = story.fetch_ends(1, FetchEnd::Complete);
        assert!(sessions(&effects).is_empty() && effects.contains(&Effect::Note(Note::ClockNotBelieved)));
    }
}

/// An agent runs for years.
#[test]
fn nothing_is_kept_of_a_bundle_whose_command_was_forgotten() {
    let mut story = Story::new();
    story.connect();
    story.link(1);
    story.fetch_ends(1, FetchEnd::Complete);
    story.executor(1, executor_refuses(RefusalReason::NotFound));
    story.fetch_ends(1, FetchEnd::Complete);
    for number in 1..=(MAX_ENDED_JOBS + MAX_KNOWN_IDS) as u64 + 1 {
        // The first one is the Magic Link, which is on its way to the executor.
        story.command(number);
        let session = sessions(&story.all).last().unwrap().0;
        story.executor(session, started(number));
        story.executor(session, succeeded());
        let last = story.state.last_report().number;
        story.acknowledge(last);
    }
    assert!(!story.state.knows(id(1)));
    assert!(!format!("{:?}", story.state).contains(&id(1).to_string()));
}
