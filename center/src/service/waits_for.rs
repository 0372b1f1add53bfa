//! "Why not": one line for each gateway of an update that says what it waits for. Pure.

use keros_protocol::{CommandId, Delivery, Outcome, UnixSeconds};

use crate::api::{WaitsFor, WaitsForReason as Reason};
use crate::bounds::TELEMETRY_INTERVAL_S;
use crate::cli::text::minute;
use crate::plan::Hold;
use crate::store::Standing;

/// A telemetry that is later than this is missed: the longest time that a gateway takes to connect again, and room.
const LATE_S: u64 = 600;

/// What is known of a gateway and of its command.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Facts<'a> {
    /// How far the command has come; `waiting` by default.
    pub(crate) delivery: Option<Delivery>,
    /// What became of it.
    pub(crate) outcome: Option<&'a Outcome>,
    /// How often it was sent.
    pub(crate) times_sent: u32,
    /// When any of this last changed.
    pub(crate) changed_at: UnixSeconds,
    /// From when on the gateway owes a word about it.
    pub(crate) overdue_at: Option<UnixSeconds>,
    /// When an operator asked for its end.
    pub(crate) cancel_requested_at: Option<UnixSeconds>,
    /// What holds it back.
    pub(crate) hold: Option<Hold>,
    /// A person carries it to the gateway.
    pub(crate) by_hand: bool,
    /// The gateway is connected.
    pub(crate) online: bool,
    /// When its last telemetry arrived.
    pub(crate) last_telemetry_at: Option<UnixSeconds>,
    /// Whether it is where it was when the update was sent.
    pub(crate) standing: Standing,
    /// The command that it told of then as under way, if that is another one.
    pub(crate) busy_with: Option<CommandId>,
}

/// What the gateway's command waits for; `None`: nothing more can come.
pub(crate) fn waits_for(facts: &Facts<'_>, now: UnixSeconds) -> Option<WaitsFor> {
    let line = match (facts.delivery.unwrap_or(Delivery::Waiting), facts.outcome) {
        (_, Some(outcome)) if outcome.is_terminal() => return None,
        (_, Some(outcome)) => under_way(outcome, facts, now),
        (Delivery::Expired, None) if facts.times_sent > 0 => says(
            Reason::NotReceived,
            "it was handed out before it expired, and nothing was heard of it: a gateway that has got it may have run it, and says so when it \
             comes back"
                .to_owned(),
        ),
        (Delivery::Cancelled | Delivery::Expired, None) => return None,
        (Delivery::Waiting | Delivery::Sent | Delivery::Received, None) if facts.by_hand => says(
            Reason::Carried,
            "a person carries the command to the gateway; it is heard of when the gateway reports".to_owned(),
        ),
        (Delivery::Received, None) => says(Reason::Report, "the gateway's first report about it".to_owned()),
        (Delivery::Waiting, None) => match facts.hold {
            Some(hold) => held(hold),
            None => contact(facts, now),
        },
        (Delivery::Sent, None) => not_received(facts, now),
    };
    Some(line)
}

fn says(reason: Reason, text: String) -> WaitsFor {
    WaitsFor { reason, text, until_unix_s: None }
}

fn until(reason: Reason, until: UnixSeconds, text: String) -> WaitsFor {
    WaitsFor { reason, text, until_unix_s: Some(until) }
}

/// What the center holds back.
fn held(hold: Hold) -> WaitsFor {
    match hold {
        Hold::Halted => says(
            Reason::Halted,
            "the roll-out was stopped: it goes on when an operator says so, or is cancelled".to_owned(),
        ),
        Hold::NotBefore(at) => until(Reason::NotBefore, at, format!("not before {}", minute(at))),
        Hold::Stage(stage) => says(
            Reason::Stage,
            format!("stage {} of the roll-out: those before it come first", stage.saturating_add(1)),
        ),
        Hold::Window(at) => {
            until(Reason::Window, at, format!("outside its window, which opens at {}", minute(at)))
        }
    }
}

/// It goes with the answer to the gateway's next telemetry.
fn contact(facts: &Facts<'_>, now: UnixSeconds) -> WaitsFor {
    let Some(last) = facts.last_telemetry_at else {
        return says(
            Reason::NeverHeard,
            "the gateway has never been heard of: it goes with the answer to its first telemetry".to_owned(),
        );
    };
    let next = last.saturating_add(TELEMETRY_INTERVAL_S);
    let since = format!("its last telemetry came at {}", minute(last));
    match (facts.online, now > next.saturating_add(LATE_S)) {
        (true, false) => until(
            Reason::Telemetry,
            next,
            format!("it goes with the gateway's next telemetry, expected at {}", minute(next)),
        ),
        (true, true) => says(Reason::Silent, format!("the gateway is connected but silent: {since}")),
        (false, false) => until(
            Reason::NotConnected,
            next,
            format!("the gateway is not connected: {since}; the next is expected at {}", minute(next)),
        ),
        (false, true) => says(Reason::NotConnected, format!("the gateway is not connected: {since}")),
    }
}

/// It was sent, and no report has come.
fn not_received(facts: &Facts<'_>, now: UnixSeconds) -> WaitsFor {
    let times = match facts.times_sent {
        0 | 1 => "sent".to_owned(),
        times => format!("sent {times} times, last"),
    };
    let next = match facts.hold {
        Some(hold) => held(hold),
        None => contact(facts, now),
    };
    WaitsFor {
        reason: Reason::NotReceived,
        text: format!("{times} at {}, and not received since; {}", minute(facts.changed_at), next.text),
        until_unix_s: next.until_unix_s,
    }
}

/// The gateway has it.
fn under_way(outcome: &Outcome, facts: &Facts<'_>, now: UnixSeconds) -> WaitsFor {
    if let Some(at) = facts.overdue_at.filter(|at| *at <= now) {
        return says(Reason::Overdue, late(outcome, at, facts));
    }
    let line = at_it(outcome, facts);
    let Some((reason, away)) = away(facts, now) else { return line };
    // What it was at when it was last heard of: that it can be heard is waited for first.
    let reason = match line.reason {
        Reason::Cancelling | Reason::Confirmation => line.reason,
        _ => reason,
    };
    WaitsFor { reason, text: format!("{}; {away}", line.text), ..line }
}

/// What keeps the gateway from being heard, if anything does.
fn away(facts: &Facts<'_>, now: UnixSeconds) -> Option<(Reason, String)> {
    let last = facts.last_telemetry_at;
    let is_late = last.is_some_and(|at| now > at.saturating_add(TELEMETRY_INTERVAL_S + LATE_S));
    match (facts.online, is_late) {
        (true, false) => None,
        (true, true) => Some((Reason::Silent, heard(facts))),
        (false, _) => Some((Reason::NotConnected, heard(facts))),
    }
}

/// Whether the gateway is connected, and when it last sent telemetry.
fn heard(facts: &Facts<'_>) -> String {
    let is = match (facts.standing, facts.online) {
        (Standing::Moved, _) => return "the gateway is another customer's by now".to_owned(),
        (Standing::Retired, true) => "retired but connected",
        (Standing::Retired, false) => "retired and not connected",
        (Standing::InService, true) => "connected",
        (Standing::InService, false) => "not connected",
    };
    match facts.last_telemetry_at {
        Some(at) => format!("the gateway is {is}, and its last telemetry came at {}", minute(at)),
        None => format!("the gateway is {is}, and has sent no telemetry"),
    }
}

/// What it does, as far as it has said.
fn at_it(outcome: &Outcome, facts: &Facts<'_>) -> WaitsFor {
    // What has ended already waits for its confirmation, cancelled or not.
    let is_over = matches!(outcome, Outcome::Confirming { .. });
    if let Some(at) = facts.cancel_requested_at.filter(|_| !is_over) {
        return says(
            Reason::Cancelling,
            format!(
                "its end was asked for at {}: the gateway stops after the task under way, and has not said so yet",
                minute(at)
            ),
        );
    }
    match (outcome, facts.busy_with) {
        (Outcome::Received {} | Outcome::Accepted {}, Some(other)) => {
            says(Reason::OtherJob, format!("the gateway has it, and does another job first: command {other}"))
        }
        (Outcome::Received {}, None) => says(Reason::Check, "the gateway has it, and checks it".to_owned()),
        (Outcome::Accepted {}, None) => says(
            Reason::Start,
            "the gateway has checked it; it starts when all that it needs is there".to_owned(),
        ),
        (Outcome::Running { task: Some(task) }, _) => {
            says(Reason::Job, format!("it runs, {task}, since {}", minute(facts.changed_at)))
        }
        (Outcome::Confirming { until_unix_s }, _) => until(
            Reason::Confirmation,
            *until_unix_s,
            format!(
                "it has ended, and is undone at {} by the gateway's clock unless the gateway reaches the center before",
                minute(*until_unix_s)
            ),
        ),
        _ => says(Reason::Job, format!("it runs since {}", minute(facts.changed_at))),
    }
}

/// Its time is over: either the gateway cannot be heard, or it says that it is still at it.
fn late(outcome: &Outcome, owed_at: UnixSeconds, facts: &Facts<'_>) -> String {
    let owed = match outcome {
        Outcome::Received {} | Outcome::Accepted {} => "its start was",
        _ => "its end was, by its time limits,",
    };
    format!("overdue: it is {}, and {owed} owed at {}; {}", outcome.name(), minute(owed_at), heard(facts))
}

#[cfg(test)]
mod tests {
    use keros_protocol::{Summary, TaskRef};

    use super::*;

    const NOW: u64 = 1_795_564_800;
    const OTHER: CommandId = CommandId(uuid::Uuid::from_u128(9));

    /// A gateway that is heard of as usual has said this.
    fn has(outcome: &Outcome) -> Facts<'_> {
        Facts {
            delivery: Some(Delivery::Received),
            outcome: Some(outcome),
            changed_at: NOW - 600,
            overdue_at: Some(NOW + 1),
            online: true,
            last_telemetry_at: Some(NOW - 600),
            ..Facts::default()
        }
    }

    fn check(facts: &Facts<'_>, line: &str) {
        let shown = waits_for(facts, NOW);
        let shown =
            shown.map_or_else(|| "-".to_owned(), |line| format!("{}: {}", line.reason.as_str(), line.text));
        assert_eq!(shown, line, "{facts:?}");
    }

    #[test]
    fn each_line_says_what_is_waited_for() {
        let heard = Facts { online: true, last_telemetry_at: Some(NOW - 600), ..Facts::default() };
        let away = Facts { online: false, ..heard.clone() };
        let long_ago = Some(NOW - 90_000);
        let held = |hold| Facts { hold: Some(hold), ..heard.clone() };
        let sent =
            Facts { delivery: Some(Delivery::Sent), times_sent: 1, changed_at: NOW - 600, ..away.clone() };
        let (received, accepted) = (Outcome::Received {}, Outcome::Accepted {});
        let task = TaskRef { number: 2, count: 7, name: "write".to_owned() };
        let (running, begun) = (Outcome::Running { task: Some(task) }, Outcome::Running { task: None });
        let confirming = Outcome::Confirming { until_unix_s: NOW + 60 };
        let ended = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
        for (facts, line) in [
            (
                heard.clone(),
                "telemetry: it goes with the gateway's next telemetry, expected at 2026-11-25 00:50 UTC",
            ),
            (
                Facts { last_telemetry_at: long_ago, ..heard.clone() },
                "silent: the gateway is connected but silent: its last telemetry came at 2026-11-23 23:00 UTC",
            ),
            (
                away.clone(),
                "not_connected: the gateway is not connected: its last telemetry came at 2026-11-24 23:50 UTC; the next is expected at 2026-11-25 00:50 UTC",
            ),
            (
                Facts { last_telemetry_at: long_ago, ..away.clone() },
                "not_connected: the gateway is not connected: its last telemetry came at 2026-11-23 23:00 UTC",
            ),
            (
                Facts::default(),
                "never_heard: the gateway has never been heard of: it goes with the answer to its first telemetry",
            ),
            (held(Hold::Stage(1)), "stage: stage 2 of the roll-out: those before it come first"),
            (
                held(Hold::Halted),
                "halted: the roll-out was stopped: it goes on when an operator says so, or is cancelled",
            ),
            (held(Hold::NotBefore(NOW + 60)), "not_before: not before 2026-11-25 00:01 UTC"),
            (
                held(Hold::Window(NOW + 3600)),
                "window: outside its window, which opens at 2026-11-25 01:00 UTC",
            ),
            (
                sent.clone(),
                "not_received: sent at 2026-11-24 23:50 UTC, and not received since; the gateway is not connected: its last telemetry came at 2026-11-24 23:50 UTC; the next is expected at 2026-11-25 00:50 UTC",
            ),
            (
                Facts { times_sent: 3, hold: Some(Hold::Window(NOW + 3600)), ..sent.clone() },
                "not_received: sent 3 times, last at 2026-11-24 23:50 UTC, and not received since; outside its window, which opens at 2026-11-25 01:00 UTC",
            ),
            (
                Facts { by_hand: true, ..sent },
                "carried: a person carries the command to the gateway; it is heard of when the gateway reports",
            ),
            (has(&received), "check: the gateway has it, and checks it"),
            (has(&accepted), "start: the gateway has checked it; it starts when all that it needs is there"),
            (
                Facts { busy_with: Some(OTHER), ..has(&accepted) },
                "other_job: the gateway has it, and does another job first: command 00000000-0000-0000-0000-000000000009",
            ),
            (has(&running), "job: it runs, task 2 of 7 (write), since 2026-11-24 23:50 UTC"),
            (has(&begun), "job: it runs since 2026-11-24 23:50 UTC"),
            (
                has(&confirming),
                "confirmation: it has ended, and is undone at 2026-11-25 00:01 UTC by the gateway's clock unless the gateway reaches the center before",
            ),
            (
                Facts { cancel_requested_at: Some(NOW - 5), ..has(&running) },
                "cancelling: its end was asked for at 2026-11-24 23:59 UTC: the gateway stops after the task under way, and has not said so yet",
            ),
            (
                Facts { cancel_requested_at: Some(NOW - 5), ..has(&confirming) },
                "confirmation: it has ended, and is undone at 2026-11-25 00:01 UTC by the gateway's clock unless the gateway reaches the center before",
            ),
            (
                Facts { overdue_at: Some(NOW), ..has(&running) },
                "overdue: overdue: it is running, and its end was, by its time limits, owed at 2026-11-25 00:00 UTC; the gateway is connected, and its last telemetry came at 2026-11-24 23:50 UTC",
            ),
            (has(&ended), "-"),
            (Facts { delivery: Some(Delivery::Cancelled), ..heard.clone() }, "-"),
            (Facts { delivery: Some(Delivery::Expired), ..heard.clone() }, "-"),
            (
                Facts { delivery: Some(Delivery::Expired), times_sent: 2, ..heard.clone() },
                "not_received: it was handed out before it expired, and nothing was heard of it: a gateway that has got it may have run it, and says so when it comes back",
            ),
        ] {
            check(&facts, line);
        }
    }

    #[test]
    fn of_what_a_gateway_has_it_is_said_when_the_gateway_cannot_be_heard() {
        let long_ago = Some(NOW - 90_000);
        let task = TaskRef { number: 2, count: 7, name: "write".to_owned() };
        let accepted = Outcome::Accepted {};
        let (running, begun) = (Outcome::Running { task: Some(task) }, Outcome::Running { task: None });
        let confirming = Outcome::Confirming { until_unix_s: NOW + 60 };
        for (facts, line) in [
            (
                Facts { overdue_at: Some(NOW), online: false, last_telemetry_at: None, ..has(&accepted) },
                "overdue: overdue: it is accepted, and its start was owed at 2026-11-25 00:00 UTC; the gateway is not connected, and has sent no telemetry",
            ),
            (
                Facts { online: false, ..has(&running) },
                "not_connected: it runs, task 2 of 7 (write), since 2026-11-24 23:50 UTC; the gateway is not connected, and its last telemetry came at 2026-11-24 23:50 UTC",
            ),
            (
                Facts { online: false, standing: Standing::Retired, ..has(&begun) },
                "not_connected: it runs since 2026-11-24 23:50 UTC; the gateway is retired and not connected, and its last telemetry came at 2026-11-24 23:50 UTC",
            ),
            (
                Facts { online: false, last_telemetry_at: None, standing: Standing::Moved, ..has(&begun) },
                "not_connected: it runs since 2026-11-24 23:50 UTC; the gateway is another customer's by now",
            ),
            (
                Facts { last_telemetry_at: long_ago, ..has(&accepted) },
                "silent: the gateway has checked it; it starts when all that it needs is there; the gateway is connected, and its last telemetry came at 2026-11-23 23:00 UTC",
            ),
            (
                Facts { online: false, ..has(&confirming) },
                "confirmation: it has ended, and is undone at 2026-11-25 00:01 UTC by the gateway's clock unless the gateway reaches the center before; the gateway is not connected, and its last telemetry came at 2026-11-24 23:50 UTC",
            ),
            (
                Facts { cancel_requested_at: Some(NOW - 5), online: false, ..has(&running) },
                "cancelling: its end was asked for at 2026-11-24 23:59 UTC: the gateway stops after the task under way, and has not said so yet; the gateway is not connected, and its last telemetry came at 2026-11-24 23:50 UTC",
            ),
        ] {
            check(&facts, line);
        }
    }
}
