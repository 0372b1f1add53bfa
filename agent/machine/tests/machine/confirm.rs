//! The center is heard of after a job's end, or the job is undone: what the agent does for it.

use crate::story::{
    START, Story, at_task, confirming, confirming_for, hear, id, last_outcome, reports, sessions, started,
    statement, succeeded,
};
use keros_machine::{Effect, Event, Note, SessionRequest};
use keros_protocol::{Outcome, executor};

/// The nonces of each telemetry in these effects.
fn nonces(effects: &[Effect]) -> Vec<Vec<String>> {
    let sent = |effect: &Effect| match effect {
        Effect::SendTelemetry { nonces } => Some(nonces.clone()),
        _ => None,
    };
    effects.iter().filter_map(sent).collect()
}

fn signs(nonce: &str) -> Event {
    let mut said = statement(None);
    said.nonces = vec![nonce.to_owned()];
    hear(said)
}

fn closed(session: u64, handed_over: bool) -> Event {
    Event::SessionClosed { session, handed_over, message: "over".to_owned() }
}

fn accepted() -> executor::Event {
    executor::Event::ConfirmAnswered { command_id: id(1), accepted: true, message: None }
}

/// Sessions that confirm, opened by these effects.
fn confirmed(effects: &[Effect]) -> Vec<u64> {
    let confirms = |request: &SessionRequest| matches!(request, SessionRequest::Confirm { .. });
    sessions(effects)
        .into_iter()
        .filter(|(_, request)| confirms(request))
        .map(|(session, _)| session)
        .collect()
}

/// A connected gateway whose job waits for its confirmation, and what the machine did about it.
fn provisional() -> (Story, Vec<Effect>) {
    let mut story = Story::new();
    story.connect();
    story.answer();
    story.command(1);
    story.executor(1, started(1));
    story.executor(1, at_task(1));
    let effects = story.executor(1, confirming("n1"));
    (story, effects)
}

#[test]
fn a_new_connection_is_made_and_the_nonce_goes_out_on_it_at_once() {
    let (mut story, effects) = provisional();
    assert!(effects.contains(&Effect::Reconnect), "{effects:?}");
    let outcome = Outcome::Confirming { until_unix_s: START + 1800 };
    assert_eq!(reports(&effects).last().unwrap().outcome, outcome);
    assert_eq!(story.state.outcome_of(&story.state.jobs()[0]), outcome);
    assert!(nonces(&effects).is_empty(), "what the old connection can still do proves little");
    story.tell(Event::Disconnected);
    story.later(1000);
    assert_eq!(nonces(&story.connect()), [["n1"]], "the shortest interval does not hold it back");
}

#[test]
fn without_a_new_connection_the_old_one_is_used() {
    let (mut story, _) = provisional();
    let before = story.all.len();
    while story.now.monotonic_ms < 60_000 {
        story.sleep();
    }
    assert_eq!(nonces(&story.all[before..]), [["n1"]]);
    assert_eq!(story.now.monotonic_ms, 60_000);
}

#[test]
fn the_nonce_goes_out_again_each_minute_until_the_window_is_over() {
    let (mut story, _) = provisional();
    story.tell(Event::Disconnected);
    story.connect();
    let before = story.all.len();
    while story.now.monotonic_ms < 1_860_000 {
        story.later(1000);
    }
    let sent = nonces(&story.all[before..]);
    let with = sent.iter().filter(|nonces| !nonces.is_empty()).count();
    assert!((28..=30).contains(&with), "{with} in half an hour");
    let late = story.all.len();
    story.later(3_600_000);
    assert!(nonces(&story.all[late..]).iter().all(Vec::is_empty), "the window is over");
}

#[test]
fn connections_that_come_and_go_make_no_flood() {
    let (mut story, _) = provisional();
    let before = story.all.len();
    for _ in 0..600 {
        story.tell(Event::Disconnected);
        story.connect();
        story.later(100);
    }
    let sent = nonces(&story.all[before..]).len();
    assert!((5..=7).contains(&sent), "{sent} in one minute");
}

#[test]
fn the_statement_with_the_nonce_is_handed_to_the_executor_until_it_answers() {
    let (mut story, _) = provisional();
    story.connect();
    assert!(confirmed(&story.tell(signs("another"))).is_empty());
    let effects = story.tell(signs("n1"));
    let [(session, SessionRequest::Confirm { statement })] = &sessions(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(statement.payload, "n1", "the statement as it came");
    // The executor cannot be reached: it is tried again.
    story.tell(closed(*session, false));
    let effects = story.later(2000);
    let [again] = confirmed(&effects)[..] else { panic!("{effects:?}") };
    let effects = story.executor(again, accepted());
    assert!(effects.contains(&Effect::Note(Note::ConfirmAnswered(id(1), None))));
    story.tell(closed(again, true));
    let before = story.all.len();
    for _ in 0..10 {
        story.later(60_000);
    }
    assert!(nonces(&story.all[before..]).iter().all(Vec::is_empty), "it is not asked any more");
    assert!(confirmed(&story.all[before..]).is_empty());
    story.executor(1, executor::Event::Confirmed {});
    story.executor(1, succeeded());
    assert!(matches!(last_outcome(&story), Outcome::Succeeded { .. }));
    let names: Vec<_> = reports(&story.all).iter().map(|report| report.outcome.name()).collect();
    assert_eq!(names[names.len() - 2..], ["confirming", "succeeded"]);
}

#[test]
fn an_executor_that_is_not_content_is_asked_again_with_the_next_statement() {
    let (mut story, _) = provisional();
    story.connect();
    let session = confirmed(&story.tell(signs("n1")))[0];
    let no = executor::Event::ConfirmAnswered {
        command_id: id(1),
        accepted: false,
        message: Some("another key".to_owned()),
    };
    let effects = story.executor(session, no);
    assert!(effects.contains(&Effect::Note(Note::ConfirmAnswered(id(1), Some("another key".to_owned())))));
    story.tell(closed(session, true));
    assert!(confirmed(&story.later(5000)).is_empty());
    assert_eq!(confirmed(&story.tell(signs("n1"))).len(), 1);
}

#[test]
fn a_restarted_agent_asks_again() {
    let (mut story, _) = provisional();
    let effects = story.restart();
    assert_eq!(sessions(&effects), [(1, SessionRequest::Attach)]);
    // The executor repeats what was: the job does not go back.
    story.executor(1, started(1));
    story.executor(1, at_task(1));
    assert_eq!(story.state.outcome_of(&story.state.jobs()[0]).name(), "confirming");
    let effects = story.connect();
    assert!(!effects.contains(&Effect::Reconnect));
    assert_eq!(nonces(&effects), [["n1"]]);
    assert_eq!(confirmed(&story.tell(signs("n1"))), [2]);
}

#[test]
fn a_window_that_begins_anew_has_a_new_nonce() {
    let (mut story, _) = provisional();
    story.connect();
    story.later(1000);
    let effects = story.executor(1, confirming_for("n2", START + 2000));
    assert!(effects.contains(&Effect::Reconnect));
    story.later(31_000);
    let told = reports(&story.all).last().unwrap().outcome.clone();
    assert_eq!(told, Outcome::Confirming { until_unix_s: START + 2000 });
    assert!(confirmed(&story.tell(signs("n1"))).is_empty(), "the old one is worth nothing");
    assert_eq!(nonces(&story.connect()), [["n2"]]);
    assert_eq!(confirmed(&story.tell(signs("n2"))).len(), 1);
}

#[test]
fn what_remains_after_undoing_is_asked_about_and_the_end_is_told() {
    let (mut story, _) = provisional();
    story.connect();
    story.executor(1, executor::Event::RollingBack { reason: "not confirmed".to_owned() });
    assert!(confirmed(&story.tell(signs("n1"))).is_empty(), "nothing can confirm it any more");
    let step = executor::Event::UndoStep { what: "a file".to_owned(), error: None };
    story.executor(1, step);
    story.later(20_000);
    let remains = vec!["task 2".to_owned()];
    let undone = executor::Event::Undone { remains: remains.clone(), nonce: Some("n3".to_owned()) };
    assert!(story.executor(1, undone).contains(&Effect::Reconnect));
    assert_eq!(nonces(&story.connect()), [["n3"]]);
    let session = confirmed(&story.tell(signs("n3")))[0];
    story.executor(session, accepted());
    story.executor(1, executor::Event::Rebooting { boot_id: "b".to_owned() });
    story.tell(closed(1, true));
    assert_eq!(story.state.jobs().len(), 1, "over the reboot it goes on");
    let effects = story.later(1000);
    assert_eq!(sessions(&effects), [(3, SessionRequest::Attach)]);
    let outcome = Outcome::RolledBack { reason: "not confirmed".to_owned(), complete: false, remains };
    story.executor(3, executor::Event::Ended { outcome: outcome.clone() });
    assert_eq!(*last_outcome(&story), outcome);
}

#[test]
fn a_reboot_on_purpose_keeps_the_job_running() {
    let mut story = Story::new();
    story.command(1);
    story.executor(1, started(1));
    let part = executor::Event::PartEnded { task: crate::story::task(1), boot_id: "b".to_owned() };
    story.executor(1, part);
    story.tell(closed(1, true));
    assert_eq!(sessions(&story.later(1000)), [(2, SessionRequest::Attach)]);
    let resumed = executor::Event::Resumed { boot_id: "c".to_owned(), time_unix_s: START };
    story.executor(2, resumed);
    assert_eq!(story.state.jobs().len(), 1);
    story.executor(2, succeeded());
    assert!(matches!(last_outcome(&story), Outcome::Succeeded { .. }));
}

/// The window counts: neither silence nor "I do not know it" ends a job before it is over.
#[test]
fn a_provisional_job_ends_by_itself_when_the_executor_has_lost_it() {
    let (mut story, _) = provisional();
    story.tell(closed(1, true));
    while !story.state.jobs().is_empty() {
        let before = story.all.len();
        story.sleep();
        for (session, _) in sessions(&story.all[before..]) {
            let failed = executor::Event::RequestFailed { message: "unknown".to_owned(), unknown: false };
            story.executor(session, failed);
            story.tell(closed(session, true));
        }
        assert!(story.now.monotonic_ms < 4 * 3_600_000, "it must end some time");
    }
    assert!(story.now.monotonic_ms > (3600 + 1800) * 1000);
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
}

#[test]
fn a_job_whose_executor_is_gone_is_given_up_after_a_day() {
    let (mut story, _) = provisional();
    story.tell(Event::Disconnected);
    let mut session = 1;
    while !story.state.jobs().is_empty() {
        story.tell(closed(session, false));
        let before = story.all.len();
        story.sleep();
        if let Some((next, _)) = sessions(&story.all[before..]).last() {
            session = *next;
        }
        assert!(story.now.monotonic_ms < 30 * 3_600_000, "it must end some time");
    }
    assert!(story.now.monotonic_ms > 24 * 3_600_000);
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
}

#[test]
fn an_answer_about_another_job_confirms_nothing() {
    let (mut story, _) = provisional();
    story.connect();
    let session = confirmed(&story.tell(signs("n1")))[0];
    let foreign = executor::Event::ConfirmAnswered { command_id: id(2), accepted: true, message: None };
    let effects = story.executor(session, foreign);
    assert_eq!(effects, [Effect::Note(Note::Unexpected("an executor's line that is no answer"))]);
    story.tell(closed(session, true));
    assert_eq!(confirmed(&story.later(2000)).len(), 1, "it is asked again");
    // And no more once the job has ended.
    let session = confirmed(&story.all).last().copied().unwrap();
    story.tell(closed(session, false));
    story.executor(1, succeeded());
    assert!(confirmed(&story.later(300_000)).is_empty());
}

#[test]
fn the_machine_wakes_for_what_it_has_to_ask() {
    let (mut story, _) = provisional();
    story.tell(Event::Disconnected);
    story.later(5000);
    assert_eq!(nonces(&story.connect()), [["n1"]]);
    let before = story.all.len();
    let mut slept = 0;
    while nonces(&story.all[before..]).is_empty() {
        slept += story.sleep();
    }
    assert_eq!(slept, 60_000);
    // On the next connection at once, but ten seconds after the last time at the earliest.
    story.later(4000);
    story.tell(Event::Disconnected);
    assert!(nonces(&story.connect()).is_empty());
    let before = story.all.len();
    let mut slept = 0;
    while nonces(&story.all[before..]).is_empty() {
        slept += story.sleep();
    }
    assert_eq!(slept, 6000);
}
