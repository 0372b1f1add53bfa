//! Single rules of the machine, each by a short story.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use keros_machine::{
    Effect, Event, Kept, MAX_OPEN_JOBS, Note, Now, SessionRequest, Setup, State, next_wake_ms, step,
};
use keros_protocol::{
    Cancellation, CommandId, Eui, Outcome, RefusalReason, Report, ReportPosition, Statement, Summary,
    TaskRef, executor,
};

const BUILT: u64 = 1_800_000_000;
const START: u64 = BUILT + 1_000_000;
const DAY: u64 = 86_400;

/// A machine and its clock.
struct Story {
    state: State,
    now: Now,
    all: Vec<Effect>,
}

impl Story {
    fn with_eui(eui: u64) -> Self {
        let setup = Setup {
            eui: Eui::from_u64(eui),
            telemetry_interval_ms: 3_600_000,
            telemetry_min_interval_ms: 60_000,
            built_at_unix_s: BUILT,
        };
        let state = State::new(setup, Kept::new(position(0)));
        let mut story = Self { state, now: Now { unix_s: START, monotonic_ms: 0 }, all: Vec::new() };
        story.tell(Event::Booted);
        story
    }

    fn new() -> Self {
        Self::with_eui(0x7076_FF00_5607_0123)
    }

    fn tell(&mut self, event: Event) -> Vec<Effect> {
        let (state, effects) = step(self.now, self.state.clone(), event);
        self.state = state;
        self.all.extend(effects.clone());
        effects
    }

    fn later(&mut self, ms: u64) -> Vec<Effect> {
        self.now.monotonic_ms += ms;
        self.now.unix_s += ms / 1000;
        self.tell(Event::Woken)
    }

    /// Sleeps until the machine wants to be woken; gives the milliseconds slept.
    fn sleep(&mut self) -> u64 {
        let wake = next_wake_ms(&self.state, self.now).unwrap();
        let slept = wake.saturating_sub(self.now.monotonic_ms);
        self.later(slept);
        slept
    }

    fn command(&mut self, number: u64) -> Vec<Effect> {
        self.command_until(number, START + DAY)
    }

    fn command_until(&mut self, number: u64, expires_at_unix_s: u64) -> Vec<Effect> {
        let verdict = keros_machine::Verdict::Eligible {
            kind: "jetporch".to_owned(),
            expires_at_unix_s,
            total_s: 3600,
        };
        let arrival = keros_machine::Arrival { command_id: id(number), update_id: None, verdict };
        self.tell(Event::CommandArrived(arrival))
    }

    fn answer(&mut self) {
        self.tell(Event::TelemetryAnswered { packages_known: None });
    }

    fn executor(&mut self, session: u64, event: executor::Event) -> Vec<Effect> {
        self.tell(Event::Executor { session, event })
    }

    fn acknowledge(&mut self, number: u64) -> Vec<Effect> {
        self.tell(Event::StatementVerified(statement(Some(position(number)))))
    }
}

fn id(number: u64) -> CommandId {
    format!("{number:032x}").parse().unwrap()
}

fn position(number: u64) -> ReportPosition {
    let text = format!(r#"{{"stream":"00000000-0000-0000-0000-00000000000a","number":{number}}}"#);
    serde_json::from_str(&text).unwrap()
}

fn statement(last_report: Option<ReportPosition>) -> Statement {
    let eui = Eui::from_u64(1);
    Statement { eui, time_unix_s: START, last_report, cancellations: Vec::new(), nonces: Vec::new() }
}

fn started(number: u64) -> executor::Event {
    executor::Event::Started { command_id: id(number), time_unix_s: START, tasks: 3 }
}

fn at_task(number: u32) -> executor::Event {
    let task = TaskRef { number, count: 9, name: "t".to_owned() };
    executor::Event::TaskStarted {
        task,
        module: "shell".to_owned(),
        role: None,
        handler: false,
        file: None,
        line: 1,
    }
}

fn succeeded() -> executor::Event {
    let outcome = Outcome::Succeeded { summary: Summary::default(), dry_run: false };
    executor::Event::Ended { outcome }
}

fn reports(effects: &[Effect]) -> Vec<&Report> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Publish(report) = e { Some(&**report) } else { None })
        .collect()
}

fn numbers(effects: &[Effect]) -> Vec<(u64, u64)> {
    reports(effects).iter().map(|report| (report.position.number, report.after)).collect()
}

fn sessions(effects: &[Effect]) -> Vec<(u64, SessionRequest)> {
    let open = |e: &Effect| match e {
        Effect::OpenSession { session, request, .. } => Some((*session, *request)),
        _ => None,
    };
    effects.iter().filter_map(open).collect()
}

fn telemetry(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::SendTelemetry).count()
}

fn last_outcome(story: &Story) -> &Outcome {
    &story.state.ended().next().unwrap().outcome
}

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
    let kept = story.state.kept().clone();
    let setup_again = Story::new();
    let mut before_start = Story { state: State::new(setup(&setup_again), kept), ..setup_again };
    assert_eq!(sessions(&before_start.tell(Event::Booted)), [(1, SessionRequest::Run)]);

    story.executor(1, started(1));
    let kept = story.state.kept().clone();
    let again = Story::new();
    let mut after_start = Story { state: State::new(setup(&again), kept), ..again };
    assert_eq!(sessions(&after_start.tell(Event::Booted)), [(1, SessionRequest::Attach)]);
}

fn setup(_: &Story) -> Setup {
    Setup {
        eui: Eui::from_u64(1),
        telemetry_interval_ms: 3_600_000,
        telemetry_min_interval_ms: 60_000,
        built_at_unix_s: BUILT,
    }
}

#[test]
fn an_executor_that_cannot_be_reached_is_tried_ever_more_rarely_until_the_command_expires() {
    let mut story = Story::new();
    let mut effects = story.command(1);
    let mut waits = Vec::new();
    while let Some((session, _)) = sessions(&effects).last().copied() {
        let closed = Event::SessionClosed { session, handed_over: false, message: "gone".to_owned() };
        story.tell(closed);
        assert!(story.state.executor_problem().is_some_and(|problem| problem.contains("gone")));
        let before = story.all.len();
        waits.push(story.sleep());
        effects = story.all[before..].to_vec();
    }
    assert_eq!(waits[..4], [1000, 2000, 4000, 8000]);
    assert!(waits.iter().all(|wait| *wait <= 300_000));
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
}

#[test]
fn what_may_have_been_started_does_not_expire_and_is_not_cancelled() {
    let mut story = Story::new();
    story.command_until(1, START + 60);
    story.tell(Event::SessionClosed { session: 1, handed_over: true, message: "lost".to_owned() });
    let mut cancel = statement(None);
    cancel.cancellations = vec![Cancellation { command_id: id(1) }];
    let effects = story.tell(Event::StatementVerified(cancel));
    assert!(effects.contains(&Effect::Note(Note::CancelTooLate(id(1)))));
    // Not even when the next attempt cannot be made.
    story.later(1000);
    story.tell(Event::SessionClosed { session: 2, handed_over: false, message: "gone".to_owned() });
    story.later(120_000);
    assert_eq!(story.state.jobs().len(), 1);
}

#[test]
fn a_waiting_job_is_cancelled_before_its_start() {
    let mut story = Story::new();
    story.command(1);
    story.command(2);
    let mut cancel = statement(None);
    cancel.cancellations = vec![Cancellation { command_id: id(2) }, Cancellation { command_id: id(77) }];
    story.tell(Event::StatementVerified(cancel));
    assert!(matches!(last_outcome(&story), Outcome::Cancelled { task: None, .. }));
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
        let failed = executor::Event::RequestFailed { message: "unknown".to_owned() };
        story.executor(session, failed);
        story.tell(Event::SessionClosed { session, handed_over: true, message: "end".to_owned() });
        assert!(story.now.monotonic_ms < 3 * 3_600_000, "it must end some time");
    }
    assert!(story.now.monotonic_ms > 3_600_000, "not before the job's own time is over");
    assert!(matches!(last_outcome(&story), Outcome::Interrupted { .. }));
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
    story.tell(Event::Connected);
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
fn reports_are_sent_in_order_and_again_on_each_connection() {
    let mut story = Story::new();
    for number in 1..=6 {
        story.command(number);
    }
    let sent = numbers(&story.tell(Event::Connected));
    assert_eq!(sent, (1..=8).map(|number| (number, number - 1)).collect::<Vec<_>>(), "a window of 8");
    assert_eq!(numbers(&story.acknowledge(3)), [(9, 8), (10, 9), (11, 10)]);
    story.tell(Event::Disconnected);
    let sent = numbers(&story.tell(Event::Connected));
    assert_eq!(sent[..2], [(4, 0), (5, 4)], "nothing is kept before the first");
}

#[test]
fn unanswered_reports_are_repeated_ever_more_rarely() {
    let mut story = Story::new();
    story.tell(Event::Connected);
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
    story.tell(Event::Connected);
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

#[test]
fn telemetry_is_sent_at_each_gateways_own_minute() {
    let mut phases = std::collections::BTreeSet::new();
    for number in 0..60 {
        let mut story = Story::with_eui(0x7076_FF00_5607_0000 + number);
        assert_eq!(telemetry(&story.tell(Event::Connected)), 1, "at once on the first connection");
        story.answer();
        story.sleep();
        story.answer();
        phases.insert(story.now.unix_s % 3600 / 60);
        assert_eq!(story.sleep(), 3_600_000, "then every hour");
    }
    assert!(phases.len() > 30, "neighbouring gateways are spread: {phases:?}");
}

#[test]
fn unanswered_telemetry_is_sent_again_a_few_times_and_then_only_hourly() {
    let mut story = Story::new();
    let mut sent_at_s = Vec::new();
    story.tell(Event::Connected);
    while story.now.unix_s < START + 5 * 3600 {
        let before = story.all.len();
        story.sleep();
        sent_at_s.extend((0..telemetry(&story.all[before..])).map(|_| story.now.unix_s - START));
    }
    assert_eq!(sent_at_s[..3], [60, 360, 1260], "after 1, 5 and 15 minutes");
    assert!(sent_at_s[3..].windows(2).all(|pair| pair[1] - pair[0] == 3600), "then hourly: {sent_at_s:?}");

    // An answer ends it; a new connection gives the center all the retries again.
    story.answer();
    assert!(story.sleep() > 900_000);
    story.answer();
    story.tell(Event::Disconnected);
    story.later(120_000);
    assert_eq!(telemetry(&story.tell(Event::Connected)), 1);
    assert_eq!(story.sleep(), 60_000);
}

#[test]
fn telemetry_is_limited_whatever_asks_for_it() {
    let mut story = Story::new();
    story.tell(Event::Connected);
    for _ in 0..600 {
        story.tell(Event::TelemetryWanted);
        story.tell(Event::Disconnected);
        story.tell(Event::Connected);
        story.later(100);
    }
    assert_eq!(telemetry(&story.all), 2, "in one minute");
}

#[test]
fn telemetry_goes_on_when_the_clock_goes_back() {
    let mut story = Story::new();
    story.tell(Event::Connected);
    story.answer();
    story.now.unix_s = 1000;
    let before = story.all.len();
    for _ in 0..62 {
        story.later(60_000);
    }
    assert!((1..=2).contains(&telemetry(&story.all[before..])), "once an hour, by the other clock");
}

#[test]
fn the_time_floor_judges_expiry_and_is_raised_with_care() {
    let mut story = Story::new();
    story.now.unix_s = 1000;
    assert_eq!(story.state.judged_time(story.now), BUILT);
    let mut far = statement(None);
    far.time_unix_s = BUILT + 4000 * DAY;
    assert!(story.tell(Event::StatementVerified(far)).contains(&Effect::Note(Note::FloorCapped)));
    assert_eq!(story.state.time_floor(), BUILT + 400 * DAY);
    let mut old = statement(None);
    old.time_unix_s = 5;
    story.tell(Event::StatementVerified(old));
    assert_eq!(story.state.time_floor(), BUILT + 400 * DAY, "it never falls");
    story.command_until(1, BUILT + 399 * DAY);
    assert!(matches!(last_outcome(&story), Outcome::Refused { reason: RefusalReason::Expired, .. }));
}

/// Whoever can write to the link but has no key must not wash an id out of the memory, nor bury the gateway in reports.
#[test]
fn forged_commands_do_not_wash_out_what_was_refused() {
    let mut story = Story::new();
    story.tell(Event::Connected);
    let forged = |number| {
        let verdict = keros_machine::Verdict::Refused {
            reason: RefusalReason::BadSignature,
            detail: "forged".to_owned(),
        };
        Event::CommandArrived(keros_machine::Arrival { command_id: id(number), update_id: None, verdict })
    };
    let mut refused = 0;
    for number in 1..1000 {
        let effects = story.tell(forged(number));
        refused += effects.iter().filter(|e| matches!(e, Effect::Note(Note::Moved(_, "refused")))).count();
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
