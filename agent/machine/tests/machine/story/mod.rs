//! A machine, its clock, and short ways to tell it something.
#![allow(dead_code, reason = "no test needs all of it")]

use keros_machine::{
    Arrival, Effect, Event, FetchEnd, Heard, Kept, Now, SessionRequest, Setup, State, Verdict, next_wake_ms,
    step,
};
use keros_protocol::magic_link::Digest;
use keros_protocol::{
    CommandId, Envelope, Eui, Outcome, Report, ReportPosition, Statement, Summary, TaskRef, executor,
};

pub(crate) const BUILT: u64 = 1_800_000_000;
pub(crate) const START: u64 = BUILT + 1_000_000;
pub(crate) const DAY: u64 = 86_400;

/// A machine and its clock.
pub(crate) struct Story {
    pub(crate) state: State,
    pub(crate) now: Now,
    pub(crate) all: Vec<Effect>,
    pub(crate) connections: u32,
}

impl Story {
    pub(crate) fn with_eui(eui: u64) -> Self {
        let state = State::new(setup(eui), Kept::new(position(0)));
        let mut story =
            Self { state, now: Now { unix_s: START, monotonic_ms: 0 }, all: Vec::new(), connections: 0 };
        story.tell(Event::Booted);
        story
    }

    pub(crate) fn new() -> Self {
        Self::with_eui(0x7076_FF00_5607_0123)
    }

    pub(crate) fn tell(&mut self, event: Event) -> Vec<Effect> {
        let (state, effects) = step(self.now, self.state.clone(), event);
        self.state = state;
        self.all.extend(effects.clone());
        effects
    }

    /// The agent starts again, with what was stored.
    pub(crate) fn restart(&mut self) -> Vec<Effect> {
        self.state = State::new(setup(0x7076_FF00_5607_0123), self.state.kept().clone());
        self.now.monotonic_ms = 0;
        self.tell(Event::Booted)
    }

    pub(crate) fn connect(&mut self) -> Vec<Effect> {
        self.connections += 1;
        self.tell(Event::Connected { fresh_nonce: format!("c{}", self.connections) })
    }

    pub(crate) fn later(&mut self, ms: u64) -> Vec<Effect> {
        self.now.monotonic_ms += ms;
        self.now.unix_s += ms / 1000;
        self.tell(Event::Woken)
    }

    /// Sleeps until the machine wants to be woken; gives the milliseconds slept.
    pub(crate) fn sleep(&mut self) -> u64 {
        let wake = next_wake_ms(&self.state, self.now).unwrap();
        let slept = wake.saturating_sub(self.now.monotonic_ms);
        self.later(slept);
        slept
    }

    pub(crate) fn command(&mut self, number: u64) -> Vec<Effect> {
        self.command_until(number, START + DAY)
    }

    pub(crate) fn command_until(&mut self, number: u64, expires_at_unix_s: u64) -> Vec<Effect> {
        self.arrives(
            number,
            Verdict::Eligible {
                kind: "jetporch".to_owned(),
                expires_at_unix_s,
                total_s: 3600,
                link: None,
                by_hand: false,
            },
        )
    }

    /// A Magic Link, with a day of time.
    pub(crate) fn link(&mut self, number: u64) -> Vec<Effect> {
        self.link_until(number, START + DAY, false)
    }

    pub(crate) fn link_until(&mut self, number: u64, expires_at_unix_s: u64, by_hand: bool) -> Vec<Effect> {
        self.arrives(
            number,
            Verdict::Eligible {
                kind: "magic_link".to_owned(),
                expires_at_unix_s,
                total_s: 3600,
                link: Some(Digest::of(&number.to_be_bytes())),
                by_hand,
            },
        )
    }

    pub(crate) fn fetch_ends(&mut self, number: u64, end: FetchEnd) -> Vec<Effect> {
        self.tell(Event::FetchEnded { command_id: id(number), end })
    }

    fn arrives(&mut self, number: u64, verdict: Verdict) -> Vec<Effect> {
        let arrival = Arrival { command_id: id(number), update_id: None, verdict };
        self.tell(Event::CommandArrived(arrival))
    }

    pub(crate) fn answer(&mut self) {
        self.tell(Event::TelemetryAnswered { packages_known: None });
    }

    pub(crate) fn executor(&mut self, session: u64, event: executor::Event) -> Vec<Effect> {
        self.tell(Event::Executor { session, event })
    }

    pub(crate) fn acknowledge(&mut self, number: u64) -> Vec<Effect> {
        self.tell(hear(statement(Some(position(number)))))
    }
}

pub(crate) fn id(number: u64) -> CommandId {
    format!("{number:032x}").parse().unwrap()
}

pub(crate) fn position(number: u64) -> ReportPosition {
    let text = format!(r#"{{"stream":"00000000-0000-0000-0000-00000000000a","number":{number}}}"#);
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn statement(last_report: Option<ReportPosition>) -> Statement {
    let eui = Eui::from_u64(1);
    Statement { eui, time_unix_s: START, last_report, cancellations: Vec::new(), nonces: Vec::new() }
}

/// The envelope has the first nonce as its payload, so that a test can tell statements apart.
pub(crate) fn hear(statement: Statement) -> Event {
    let payload = statement.nonces.first().cloned().unwrap_or_default();
    let envelope = Envelope { payload_type: "s".to_owned(), payload, signatures: Vec::new() };
    Event::StatementVerified(Box::new(Heard { statement, envelope, fresh_nonce: "h".to_owned() }))
}

pub(crate) fn started(number: u64) -> executor::Event {
    executor::Event::Started { command_id: id(number), time_unix_s: START, tasks: 3 }
}

pub(crate) fn at_task(number: u32) -> executor::Event {
    executor::Event::TaskStarted {
        task: task(number),
        module: "shell".to_owned(),
        role: None,
        handler: false,
        file: None,
        line: 1,
        grouped: false,
    }
}

pub(crate) fn succeeded() -> executor::Event {
    let outcome = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
    executor::Event::Ended { outcome }
}

pub(crate) fn task(number: u32) -> TaskRef {
    TaskRef { number, count: 9, name: "t".to_owned() }
}

pub(crate) fn confirming(nonce: &str) -> executor::Event {
    confirming_for(nonce, START + 1800)
}

/// The window of half an hour.
pub(crate) fn confirming_for(nonce: &str, until_unix_s: u64) -> executor::Event {
    executor::Event::Confirming {
        outcome: Box::new(Outcome::Succeeded {
            summary: Summary::default(),
            dry_run: false,
            differences: None,
        }),
        nonce: nonce.to_owned(),
        window_s: 1800,
        until_unix_s,
        boot_id: "b".to_owned(),
        until_boottime_ms: 1_800_000,
        renewed: false,
    }
}

pub(crate) fn reports(effects: &[Effect]) -> Vec<&Report> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Publish(report) = e { Some(&**report) } else { None })
        .collect()
}

pub(crate) fn numbers(effects: &[Effect]) -> Vec<(u64, u64)> {
    reports(effects).iter().map(|report| (report.position.number, report.after)).collect()
}

pub(crate) fn sessions(effects: &[Effect]) -> Vec<(u64, SessionRequest)> {
    let open = |e: &Effect| match e {
        Effect::OpenSession { session, request, .. } => Some((*session, request.clone())),
        _ => None,
    };
    effects.iter().filter_map(open).collect()
}

/// What is fetched, and what is fetched no more (`false`), in order.
pub(crate) fn fetches(effects: &[Effect]) -> Vec<(CommandId, bool)> {
    let order = |effect: &Effect| match effect {
        Effect::Fetch { command_id, .. } => Some((*command_id, true)),
        Effect::StopFetch { command_id } => Some((*command_id, false)),
        _ => None,
    };
    effects.iter().filter_map(order).collect()
}

pub(crate) fn telemetry(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::SendTelemetry { .. })).count()
}

pub(crate) fn last_outcome(story: &Story) -> &Outcome {
    &story.state.ended().next().unwrap().outcome
}

pub(crate) fn setup(eui: u64) -> Setup {
    Setup {
        eui: Eui::from_u64(eui),
        telemetry_interval_ms: 3_600_000,
        telemetry_min_interval_ms: 60_000,
        built_at_unix_s: BUILT,
    }
}
