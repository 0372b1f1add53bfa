//! The diagram of a job's phases in ARCHITECTURE.md is drawn from the table. `KEROS_BLESS=1` draws it anew.

use std::collections::BTreeMap;
use std::path::Path;

use keros_machine::{JobEvent, Move, Phase, advance};
use keros_protocol::{Outcome, RefusalReason, Summary, TaskRef};

const BEGIN: &str = "<!-- drawn from the table by agent/machine/tests/machine/diagram.rs: begin -->\n";
const END: &str = "<!-- end -->\n";

fn phases() -> Vec<Phase> {
    let waiting = Phase::Confirming { until_unix_s: 1, window_s: 1, nonce: Some("n".to_owned()) };
    let all = vec![Phase::Accepted {}, Phase::Starting {}, Phase::Running {}, waiting];
    // A new phase does not compile until it is listed above.
    for phase in &all {
        match phase {
            Phase::Accepted {} | Phase::Starting {} | Phase::Running {} | Phase::Confirming { .. } => {}
        }
    }
    all
}

fn name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Accepted {} => "accepted",
        Phase::Starting {} => "starting",
        Phase::Running {} => "running",
        Phase::Confirming { .. } => "confirming",
    }
}

fn events() -> Vec<JobEvent> {
    let task = TaskRef { number: 1, count: 1, name: "t".to_owned() };
    let succeeded = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
    vec![
        JobEvent::Turn,
        JobEvent::Expired,
        JobEvent::NotFetched(RefusalReason::FetchFailed, String::new()),
        JobEvent::CancelAsked,
        JobEvent::RootCancels,
        JobEvent::Started,
        JobEvent::TaskStarted(task),
        JobEvent::Provisional { nonce: "m".to_owned(), window_s: 1, until_unix_s: 1 },
        JobEvent::Decided,
        JobEvent::Undone(None),
        JobEvent::Ended(succeeded),
        JobEvent::NeverHandedOver,
        JobEvent::BadCopy,
        JobEvent::SessionLost,
        JobEvent::Unknown,
        JobEvent::GivenUp,
        JobEvent::EnvelopeLost,
    ]
}

/// In words; a new event does not compile until it has some, and must be listed above.
fn words(event: &JobEvent) -> &'static str {
    match event {
        JobEvent::Turn => "its turn",
        JobEvent::Expired => "its time is over",
        JobEvent::NotFetched(..) => "its bundle cannot be had",
        JobEvent::CancelAsked => "cancelled",
        JobEvent::RootCancels => "cancelled by root",
        JobEvent::Started => "started",
        JobEvent::TaskStarted(_) => "a task began",
        JobEvent::Provisional { .. } => "waits for its confirmation",
        JobEvent::Decided => "confirmed, or being undone",
        JobEvent::Undone(_) => "undone",
        JobEvent::Ended(_) => "ended",
        JobEvent::NeverHandedOver => "not handed over",
        JobEvent::BadCopy => "the copy of its bundle is bad",
        JobEvent::SessionLost => "session lost",
        JobEvent::Unknown => "not known to the executor",
        JobEvent::GivenUp => "nothing heard for a day",
        JobEvent::EnvelopeLost => "command unreadable",
    }
}

/// Where a move leads, and what is done on the way.
fn target(phase: &Phase, moved: &Move) -> Option<(String, &'static str)> {
    let here = name(phase).to_owned();
    match moved {
        Move::Stay | Move::Unexpected(_) => None,
        Move::HandOver => Some(("starting".to_owned(), "run")),
        Move::Back => Some(("accepted".to_owned(), "")),
        Move::Follow => Some((here, "attach")),
        Move::Run | Move::RunTask(_) => Some(("running".to_owned(), "")),
        Move::Confirm { .. } => Some(("confirming".to_owned(), "")),
        Move::AskCancel => Some((here, "cancel")),
        Move::End(Outcome::Succeeded { .. }) => Some(("[*]".to_owned(), "its outcome")),
        Move::End(outcome) => Some(("[*]".to_owned(), outcome.name())),
    }
}

fn drawn() -> String {
    let mut lines: BTreeMap<(usize, String, &str), Vec<&str>> = BTreeMap::new();
    for (order, phase) in phases().iter().enumerate() {
        for event in events() {
            let words = words(&event);
            if let Some((to, action)) = target(phase, &advance(phase, event)) {
                lines.entry((order, to, action)).or_default().push(words);
            }
        }
    }
    let mut text = "```mermaid\nstateDiagram-v2\n    [*] --> accepted: eligible\n".to_owned();
    for ((order, to, action), events) in &lines {
        let from = name(&phases()[*order]);
        let action = if action.is_empty() { String::new() } else { format!(" / {action}") };
        text.push_str(&format!("    {from} --> {to}: {}{action}\n", events.join(", ")));
    }
    text.push_str("```\n");
    text
}

#[test]
fn the_diagram_in_the_architecture_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the diagram's place");
    let (found, after) = rest.split_once(END).expect("the diagram's end");
    let drawn = drawn();
    if std::env::var_os("KEROS_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{drawn}{END}{after}")).unwrap();
    } else {
        assert_eq!(found, drawn, "run this test with KEROS_BLESS=1");
    }
}
