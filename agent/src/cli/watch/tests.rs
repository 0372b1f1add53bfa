//! Screens and lines as snapshots, at a fixed time.

use keros_protocol::{Summary, TaskRef};

use super::changes::Told;
use super::frame::{Size, frame};
use super::screen::Drawn;
use super::*;
use crate::cli::text::tests::{NOW, status_view};
use crate::local::{FetchView, JobView};
use keros_protocol::Outcome;

const USUAL: Size = Size { rows: 24, columns: 80 };

fn job(id: u128, outcome: Outcome) -> JobView {
    JobView {
        command_id: CommandId(uuid::Uuid::from_u128(0x0192_f3a4_5b6c_7d8e_8000_0000_0000_0000 + (id << 64))),
        update_id: None,
        kind: Some("jetporch".to_owned()),
        digest: None,
        received_at_unix_s: NOW - 600,
        changed_at_unix_s: NOW - 300,
        outcome,
        cancel: None,
        due_unix_s: None,
        fetch: None,
    }
}

fn running(number: u32) -> Outcome {
    Outcome::Running { task: Some(TaskRef { number, count: 10, name: "Start the forwarder".to_owned() }) }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None }
}

fn seen(view: StatusView) -> Seen {
    let mut seen = Seen::default();
    seen.hear(Ok(view), NOW);
    seen
}

/// As a person sees it, and never more than fits.
fn text(seen: &Seen, size: Size) -> String {
    let lines = frame(seen, NOW, size);
    assert_eq!(lines.len(), size.rows);
    assert!(lines.iter().all(|line| line.text.chars().count() <= size.columns), "{lines:#?}");
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

fn busy_view() -> StatusView {
    let mut view = status_view();
    let mut waiting = job(2, Outcome::Accepted {});
    waiting.kind = Some("magic_link".to_owned());
    waiting.digest = Some(keros_protocol::magic_link::Digest::of(b"x"));
    waiting.fetch = Some(FetchView {
        have_bytes: 4 * 1024 * 1024,
        total_bytes: Some(10 * 1024 * 1024),
        problem: Some("the source gave no answer\u{1b}[2J".to_owned()),
    });
    view.open_jobs = vec![job(1, running(3)), waiting];
    view.ended_jobs = vec![job(3, succeeded())];
    view.warnings = vec!["no trusted keys".to_owned()];
    view
}

#[test]
fn a_busy_gateway_on_a_usual_screen() {
    let expected = "\
7076FF0056070123 (wiis), KerOS 6.3.1, agent 0.1.0        2026-11-23 23:19:52 UTC

Connection  connected to center.example.org:8883, mutual TLS, for 2 h 01 min
Telemetry   sent 12 min ago, answered 11 min ago, next in 48 min
Reports     all acknowledged by the center

Job         0192f3a4-5b6c-7d8f script, received 10 min ago
            [#####---------------------] task 3 of 10: Start the forwarder
Bundle      [##########----------------] 40 %, 4.0 MiB of 10.0 MiB of 0192f3a4-…
            the source gave no answer\\u{1b}[2J
Waiting     0192f3a4-5b6c-7d90 Magic Link 2d711642b726

Last jobs   0192f3a4-5b6c-7d91 5 min ago: succeeded (script)
Warnings    no trusted keys









q: end
";
    assert_eq!(text(&seen(busy_view()), USUAL), expected);
}

#[test]
fn it_fits_on_every_screen() {
    let mut view = busy_view();
    view.ended_jobs = (3..60).map(|id| job(id, succeeded())).collect();
    let mut seen = seen(view);
    seen.hear(Err(ClientError::NotRunning("/run/x".into())), NOW - 10);
    for rows in [1, 2, 3, 5, 10, 24, 50, 200] {
        for columns in [1, 2, 10, 20, 40, 80, 132, 300] {
            text(&seen, Size { rows, columns });
        }
    }
}

#[test]
fn an_agent_that_is_away_is_told_with_its_last_word() {
    let mut seen = seen(status_view());
    seen.hear(Err(ClientError::NotRunning("/run/keros-agent/status.sock".into())), NOW - 40);
    seen.hear(Err(ClientError::NotRunning("/run/keros-agent/status.sock".into())), NOW);
    let screen = text(&seen, USUAL);
    for words in
        ["not reachable since 2026-11-23 23:19:12 UTC (40 s ago)", "last word", "connected to center"]
    {
        assert!(screen.contains(words), "{words}:\n{screen}");
    }
    seen.hear(Ok(status_view()), NOW);
    assert!(!text(&seen, USUAL).contains("not reachable"));
}

#[test]
fn only_what_has_changed_is_drawn() {
    let mut drawn = Drawn::default();
    let lines = frame(&seen(busy_view()), NOW, USUAL);
    let first = drawn.draw(lines.clone(), USUAL, true);
    assert!(first.contains("\u{1b}[2J") && first.contains("\u{1b}[32m"), "{first:?}");
    assert_eq!(drawn.draw(lines.clone(), USUAL, true), "");
    let mut other = busy_view();
    other.open_jobs[0].outcome = running(4);
    let second = drawn.draw(frame(&seen(other), NOW, USUAL), USUAL, true);
    assert!(second.starts_with("\u{1b}[8;1H") && second.matches('H').count() == 1, "{second:?}");
    let smaller = Size { rows: 10, columns: 40 };
    let resized = drawn.draw(frame(&seen(busy_view()), NOW, smaller), smaller, false);
    assert!(resized.contains("\u{1b}[2J") && !resized.contains("\u{1b}[32m"), "{resized:?}");
}

#[test]
fn each_change_is_told_once() {
    let mut told = Told::default();
    let mut sentences = |seen: &Seen| -> Vec<String> {
        told.news(seen, false).into_iter().map(|(_, sentence)| sentence).collect()
    };
    let mut seen = seen(status_view());
    assert_eq!(sentences(&seen).len(), 4, "agent, connection, telemetry, reports");
    assert_eq!(sentences(&seen), [""; 0]);
    let mut busy = status_view();
    busy.open_jobs = vec![job(1, running(3))];
    seen.hear(Ok(busy.clone()), NOW);
    assert_eq!(
        sentences(&seen),
        ["job 0192f3a4-5b6c-7d8f (script): running: task 3 of 10 (Start the forwarder)"]
    );
    seen.hear(Err(ClientError::NotRunning("/x".into())), NOW);
    let away = sentences(&seen);
    assert!(
        away.len() == 1 && away[0].starts_with("agent not reachable since 2026-11-23 23:19:52"),
        "{away:?}"
    );
    seen.hear(Ok(busy.clone()), NOW);
    assert_eq!(sentences(&seen), ["agent 0.1.0 of 7076FF0056070123 runs, started 2026-11-22 21:19:52 UTC"]);
    busy.ended_jobs = vec![job(1, succeeded())];
    busy.open_jobs.clear();
    seen.hear(Ok(busy), NOW);
    assert_eq!(sentences(&seen), ["job 0192f3a4-5b6c-7d8f (script): succeeded"]);
}

#[test]
fn a_bundle_is_told_in_steps_and_exactly_as_json() {
    let (mut told, mut exact) = (Told::default(), Told::default());
    let mut view = busy_view();
    told.news(&seen(view.clone()), false);
    exact.news(&seen(view.clone()), true);
    if let Some(fetch) = &mut view.open_jobs[1].fetch {
        fetch.have_bytes += 1;
    }
    assert_eq!(told.news(&seen(view.clone()), false), []);
    let news = exact.news(&seen(view), true);
    let json = serde_json::to_value(&news[0].0).unwrap();
    assert_eq!((&json["change"], &json["fetch"]["have_bytes"]), (&"job".into(), &4_194_305.into()), "{json}");
}
