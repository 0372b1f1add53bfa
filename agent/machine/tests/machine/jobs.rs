//! Single rules of jobs and reports, each by a short story.

use crate::story::{START, Story, at_task, id, last_outcome, numbers, reports, sessions, started, succeeded};
use keros_machine::{
    Arrival, Effect, Event, MAX_ENDED_JOBS, MAX_KNOWN_IDS, MAX_OPEN_JOBS, Note, SessionRequest, Verdict,
};
use keros_protocol::{Envelope, Outcome, RefusalReason, TaskRef, executor};

#[test]
fn jobs_run_one_at_a_time_in_order() {
    let mut story = Story::new();
    assert_eq!(sessions(&story.command(1)), [(1, SessionRequest::Run)]);
    assert!(sessions(&story.command(2)).is_empty());
    story.executor(1, started(1));
    let effects = story.executor(1, succeeded());
    assert_eq!(sessions(&effects), [(2, SessionRequest::Run)]);
    assert!(effects.contains(&Effect::ForgetEnvelope { command_id: id(1) }));
    // The first session closes late, as its process ends.
    let closed = Event::SessionClosed { session: 1, handed_over: true, message: String::new() };
    assert!(story.tell(closed).is_empty());
}

#[test]
fn a_job_that_was_started_is_attached_to_after_a_restart() {
    let mut story = Story::new();
    story.command(1);
    assert_eq!(sessions(&story.restart()), [(1, SessionRequest::Run)]);
    story.executor(1, started(1));
    assert_eq!(sessions(&story.restart()), [(1, SessionRequest::Attach)]);
}

#[test]
fn an_executor_that_cannot_be_reached_is_tried_ever_more_rarely_until_the_command_expires() {
    let mut story = Story::new();
    let mut effects = story.command(1);
    let mut waits = Vec::new();
    while let Some((session, _)) = sessions(&effects).last().cloned() {
        let closed = Event::SessionClosed { session, handed_over: false, message: "gone".to_owned() };
        story.tell(closed);
        assert!(story.state.problem().is_some_and(|problem| problem.contains("gone")));
        let before = story.all.len();
        waits.push(story.sleep());
        effects = story.all[before..].to_vec();
    }
    assert_eq!(waits[..4], [1000, 2000, 4000, 8000]);
    assert!(waits.iter().all(|wait| *wait <= 300_000));
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
}

#[test]
fn a_started_job_that_nobody_knows_any_more_was_interrupted() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    story.tell(Event::SessionClosed { session: 1, handed_over: true, message: "lost".to_owned() });
    let mut session = 1;
    while !story.state.jobs().is_empty() {
        story.sleep();
        session += 1;
        let failed = executor::Event::RequestFailed { message: "unknown".to_owned(), unknown: false };
        story.executor(session, failed);
        story.tell(Event::SessionClosed { session, handed_over: true, message: "end".to_owned() });
        assert!(story.now.monotonic_ms < 3 * 3_600_000, "it must end some time");
    }
    assert!(story.now.monotonic_ms > 3_600_000, "not before the job's own time is over");
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
}

#[test]
fn what_held_up_a_job_that_was_given_up_does_not_hold_up_the_next_one() {
    let mut story = Story::new();
    story.command(1);
    story.command(2);
    story.executor(1, started(1));
    story.tell(Event::SessionClosed { session: 1, handed_over: true, message: "lost".to_owned() });
    let mut session = 1;
    while story.state.jobs().iter().any(|job| job.command_id == id(1)) {
        story.sleep();
        session += 1;
        let failed = executor::Event::RequestFailed { message: "unknown".to_owned(), unknown: false };
        story.executor(session, failed);
        if story.state.jobs().iter().any(|job| job.command_id == id(1)) {
            story.tell(Event::SessionClosed { session, handed_over: true, message: "end".to_owned() });
        }
        assert!(story.now.monotonic_ms < 3 * 3_600_000, "it must end some time");
    }
    assert_eq!(story.state.problem(), None, "the first job's trouble is over with it");
}

#[test]
fn a_lost_envelope_is_refused_only_if_the_executor_never_saw_it() {
    let mut story = Story::new();
    story.command(1);
    story.tell(Event::EnvelopeLost { command_id: id(1) });
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Unparsable, .. }));

    story.command(2);
    story.tell(Event::SessionClosed { session: 2, handed_over: true, message: "lost".to_owned() });
    story.later(1000);
    let effects = story.tell(Event::EnvelopeLost { command_id: id(2) });
    assert_eq!(sessions(&effects), [(4, SessionRequest::Attach)]);
}

#[test]
fn a_silent_session_is_opened_anew() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    let effects = story.later(3_900_000);
    assert!(effects.contains(&Effect::CloseSession { session: 1 }));
    assert_eq!(sessions(&story.later(1000)), [(2, SessionRequest::Attach)]);
}

#[test]
fn the_queue_is_bounded() {
    let mut story = Story::new();
    for number in 1..=MAX_OPEN_JOBS as u64 {
        story.command(number);
    }
    let effects = story.command(99);
    assert!(effects.contains(&Effect::Note(Note::Full(id(99)))) && !story.state.knows(id(99)));
}

#[test]
fn a_command_that_comes_again_is_answered_again_but_not_run_again() {
    let mut story = Story::new();
    story.connect();
    story.command(1);
    story.executor(1, started(1));
    story.executor(1, succeeded());
    assert!(numbers(&story.command(1)).is_empty(), "its reports are under way");
    story.acknowledge(4);
    assert_eq!(story.state.reports_pending(), 0);
    let effects = story.command(1);
    let names: Vec<_> = reports(&effects).iter().map(|report| report.outcome.name()).collect();
    assert_eq!(names, ["received", "succeeded"]);
    assert!(sessions(&effects).is_empty());
}

#[test]
fn attaching_repeats_old_tasks_without_going_back() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    story.executor(1, at_task(7));
    story.executor(1, started(1));
    story.executor(1, at_task(1));
    let outcome = story.state.outcome_of(&story.state.jobs()[0]);
    assert!(matches!(outcome, Outcome::Running { task: Some(TaskRef { number: 7, .. }) }));
}

/// Whoever can write to the link but has no key must not wash an id out of the memory, nor bury the gateway in reports.
#[test]
fn forged_commands_do_not_wash_out_what_was_refused() {
    let mut story = Story::new();
    story.connect();
    let forged = |number| {
        let verdict = Verdict::Refused { reason: RefusalReason::BadSignature, detail: "forged".to_owned() };
        Event::CommandArrived(Arrival { command_id: id(number), update_id: None, verdict })
    };
    let mut refused = 0;
    for number in 1..1000 {
        let effects = story.tell(forged(number));
        refused += effects.iter().filter(|e| matches!(e, Effect::Note(Note::Refused(..)))).count();
        let pending = u64::from(story.state.reports_pending());
        if pending > 0 {
            let last = numbers(&story.all).iter().map(|(number, _)| *number).max().unwrap();
            story.acknowledge(last);
        }
    }
    assert!((1..100).contains(&refused), "{refused} forged commands were answered");
    // The center has heard that the first one is refused, for good.
    story.command(1);
    assert!(story.state.jobs().is_empty(), "a command runs after its refusal was reported");
}

#[test]
fn what_cannot_be_done_twice_waits_for_the_disk() {
    let mut story = Story::new();
    story.connect();
    let effects = story.command(1);
    let publish = effects.iter().find(|effect| matches!(effect, Effect::Publish(_))).unwrap();
    let forget = Effect::ForgetEnvelope { command_id: id(1) };
    let session = |request| Effect::OpenSession { session: 1, command_id: id(1), request };
    let statement =
        || Box::new(Envelope { payload_type: String::new(), payload: String::new(), signatures: Vec::new() });
    for effect in [publish, &forget, &session(SessionRequest::Run), &session(SessionRequest::Attach)] {
        assert!(effect.needs_store(), "{effect:?}");
    }
    for effect in [
        Effect::SendTelemetry { nonces: Vec::new() },
        Effect::Reconnect,
        Effect::CloseSession { session: 1 },
        Effect::Fetch { command_id: id(1), rehash: false },
        Effect::StopFetch { command_id: id(1) },
        Effect::Note(Note::FloorCapped),
        session(SessionRequest::Cancel { statement: statement() }),
        session(SessionRequest::Confirm { statement: statement() }),
    ] {
        assert!(!effect.needs_store(), "{effect:?}");
    }
}

#[test]
fn only_what_may_run_is_eligible() {
    let arrival = |verdict| Arrival { command_id: id(1), update_id: None, verdict };
    let may = Verdict::Eligible {
        kind: "jetporch".to_owned(),
        expires_at_unix_s: 1,
        total_s: 1,
        link: None,
        by_hand: false,
    };
    assert!(arrival(may).is_eligible());
    let may_not = Verdict::Refused { reason: RefusalReason::Expired, detail: String::new() };
    assert!(!arrival(may_not).is_eligible());
}

#[test]
fn as_many_ids_are_remembered_as_there_is_room_for_and_the_oldest_goes_first() {
    let mut story = Story::new();
    story.connect();
    let refuse = |story: &mut Story, number: u64| {
        let verdict = Verdict::Refused { reason: RefusalReason::NotKeros6, detail: String::new() };
        let effects =
            story.tell(Event::CommandArrived(Arrival { command_id: id(number), update_id: None, verdict }));
        if let Some((last, _)) = numbers(&story.all).iter().max() {
            story.acknowledge(*last);
        }
        effects
    };
    let room = (MAX_ENDED_JOBS + MAX_KNOWN_IDS) as u64;
    for number in 1..=room {
        refuse(&mut story, number);
    }
    assert_eq!(story.state.ended().count(), MAX_ENDED_JOBS);
    assert!((1..=room).all(|number| story.state.knows(id(number))), "all are known");
    refuse(&mut story, room + 1);
    assert_eq!(story.state.ended().count(), MAX_ENDED_JOBS);
    assert!(!story.state.knows(id(1)) && (2..=room + 1).all(|number| story.state.knows(id(number))));
}

/// What has expired for certain makes room, so that an id that may still come is kept longer.
#[test]
fn ids_whose_commands_have_expired_make_room() {
    let mut story = Story::new();
    story.connect();
    let end = |story: &mut Story, number: u64, expires_at_unix_s: u64| {
        let effects = story.command_until(number, expires_at_unix_s);
        let session = sessions(&effects)[0].0;
        story.executor(session, started(number));
        story.executor(session, succeeded());
        let last = numbers(&story.all).iter().map(|(number, _)| *number).max().unwrap();
        story.acknowledge(last);
    };
    end(&mut story, 1, START + 100);
    for number in 2..=MAX_ENDED_JOBS as u64 + 1 {
        end(&mut story, number, START + 1_000_000);
    }
    // An id is kept for a day beyond: the clock may be off.
    story.later((100 + 86_400) * 1000 - 1000);
    end(&mut story, 1000, START + 1_000_000);
    assert!(story.state.knows(id(1)));
    story.later(1000);
    end(&mut story, 1001, START + 1_000_000);
    assert!(!story.state.knows(id(1)) && story.state.knows(id(2)));
}

#[test]
fn an_end_that_is_no_terminal_outcome_is_none() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    let effects = story.executor(1, executor::Event::Ended { outcome: Outcome::Running { task: None } });
    assert_eq!(effects, [Effect::Note(Note::Unexpected("an end that is no terminal outcome"))]);
    assert_eq!(story.state.jobs().len(), 1);
}

#[test]
fn ends_are_counted_by_outcome_and_a_link_is_known_after_its_end_also_after_a_restart() {
    let mut story = Story::new();
    story.link_until(1, crate::story::START + 60, false);
    story.later(61_000);
    for number in [2, 3] {
        story.command(number);
        let (session, _) = *crate::story::sessions(&story.all).last().unwrap();
        story.executor(session, started(number));
        story.executor(session, crate::story::succeeded());
    }
    story.restart();
    let counted: Vec<_> = story.state.ended_total().iter().map(|(name, total)| (&**name, *total)).collect();
    assert_eq!(counted, [("refused", 1), ("succeeded", 2)]);
    let links: Vec<_> = story.state.ended().map(|job| job.link.is_some()).collect();
    assert_eq!(links, [false, false, true], "the newest first");
}
