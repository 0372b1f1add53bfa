//! The texts as snapshots, at a fixed time.

use keros_machine::Cancel;
use keros_protocol::{
    CommandId, Eui, Interruption, Outcome, Output, RefusalReason, Summary, TaskRef, UpdateId,
};

use super::*;
use crate::local::{ConnectionView, FetchView, JobView, JobsView, StatusView, TelemetryView};

/// 2026-11-23 23:19:52 UTC.
pub(in crate::cli) const NOW: u64 = 1_795_475_992;

fn job_view(id: u128, outcome: Outcome) -> JobView {
    JobView {
        command_id: CommandId(uuid::Uuid::from_u128(0x0192_f3a4_5b6c_7d8e_8000_0000_0000_0000 + id)),
        update_id: Some(UpdateId(uuid::Uuid::from_u128(7))),
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

fn task(number: u32) -> TaskRef {
    TaskRef { number, count: 10, name: "Start the packet forwarder".to_owned() }
}

fn failed() -> Outcome {
    Outcome::Failed {
        task: Some(task(3)),
        exit_code: Some(2),
        message: "the command ended with exit code 2".to_owned(),
        output: Some(Output {
            head: "first line\n\tsecond \u{1b}[31mline".to_owned(),
            omitted_bytes: 1000,
            tail: "last line\n".to_owned(),
        }),
        summary: Summary { created: 1, executed: 1, failed: 1, ..Summary::default() },
    }
}

/// A gateway that is well and has nothing to do.
pub(in crate::cli) fn status_view() -> StatusView {
    StatusView {
        agent_version: "0.1.0".to_owned(),
        eui: Eui::from_u64(0x7076_FF00_5607_0123),
        identity_source: "board_info_env".to_owned(),
        codename: Some("wiis".to_owned()),
        keros_version: Some("6.3.1".to_owned()),
        started_at_unix_s: NOW - 93_600,
        connection: ConnectionView {
            state: "connected".to_owned(),
            broker: "center.example.org:8883".to_owned(),
            tls: "mutual".to_owned(),
            since_unix_s: NOW - 7260,
            last_error: None,
        },
        telemetry: TelemetryView {
            last_sent_unix_s: Some(NOW - 720),
            last_answered_unix_s: Some(NOW - 719),
            next_unix_s: NOW + 2880,
        },
        reports_pending: 0,
        open_jobs: Vec::new(),
        ended_jobs: Vec::new(),
        ended_total: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
    }
}

#[test]
fn the_status_of_an_idle_gateway() {
    assert_eq!(
        status(&status_view(), NOW),
        "\
Gateway     7076FF0056070123 (wiis), KerOS 6.3.1
            EUI from board_info_env
Agent       0.1.0, started 2026-11-22 21:19:52 UTC (1 d 2 h ago)

Connection  connected to center.example.org:8883
            mutual TLS, since 2026-11-23 21:18:52 UTC (2 h 01 min ago)

Telemetry   last sent  2026-11-23 23:07:52 UTC (12 min ago)
            answered   2026-11-23 23:07:53 UTC (11 min ago)
            next       2026-11-24 00:07:52 UTC (in 48 min)
Reports     all acknowledged by the center

Job         none under way

Last jobs   none
"
    );
}

/// Everything at once: no broker, no KerOS, jobs, warnings.
fn full_view() -> StatusView {
    let mut view = status_view();
    view.keros_version = None;
    view.codename = None;
    view.connection.state = "waiting".to_owned();
    view.connection.tls = "server".to_owned();
    view.connection.last_error = Some("connection refused (os error 111)\u{1b}[2J".to_owned());
    view.telemetry.last_sent_unix_s = None;
    view.telemetry.last_answered_unix_s = None;
    view.reports_pending = 3;
    view.open_jobs =
        vec![job_view(1, Outcome::Running { task: Some(task(3)) }), job_view(2, Outcome::Accepted {})];
    let refused = Outcome::Refused { reason: RefusalReason::NotKeros6, detail: "x".to_owned() };
    view.ended_jobs = vec![
        job_view(3, failed()),
        job_view(4, refused.clone()),
        job_view(5, Outcome::Interrupted { interruption: Interruption::default() }),
        job_view(6, refused),
    ];
    view.warnings = vec!["no trusted keys".to_owned(), "w".repeat(200), "third".to_owned()];
    view
}

#[test]
fn the_status_with_everything_fits_on_one_screen() {
    let text = status(&full_view(), NOW);
    assert_eq!(
        text,
        "\
Gateway     7076FF0056070123, KerOS version unknown: accepts no JetPorch script
            EUI from board_info_env
Agent       0.1.0, started 2026-11-22 21:19:52 UTC (1 d 2 h ago)

Connection  NOT CONNECTED, waiting before the next attempt to center.example.or…
            TLS, since 2026-11-23 21:18:52 UTC (2 h 01 min ago)
            last error: connection refused (os error 111)\\u{1b}[2J

Telemetry   last sent  never since the start
            answered   never since the start
            next       2026-11-24 00:07:52 UTC (in 48 min)
Reports     3 kept until the center has acknowledged them

Job         0192f3a4-5b6c-7d8e script, received 10 min ago
            running: task 3 of 10 (Start the packet forwarder)
            and 1 waiting: keros-agent jobs

Last jobs   0192f3a4-5b6c-7d8e 5 min ago: failed: task 3 of 10 (Start the packe…
            0192f3a4-5b6c-7d8e 5 min ago: refused: not_keros_6
            0192f3a4-5b6c-7d8e 5 min ago: interrupted: before the first task
            and 1 more: keros-agent jobs
Warnings    no trusted keys
            wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww…
            and 1 more: keros-agent status --json
"
    );
    assert!(text.lines().count() <= 24, "{} lines", text.lines().count());
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_job_that_waits_for_its_confirmation_shows_until_when_and_its_cancellation() {
    let mut view = status_view();
    let mut waiting = job_view(1, Outcome::Confirming { until_unix_s: NOW + 1200 });
    waiting.cancel = Some(Cancel::RollingBack);
    view.open_jobs = vec![waiting.clone()];
    let text = status(&view, NOW);
    let shown: Vec<_> = text.lines().skip_while(|line| !line.starts_with("Job")).take(2).collect();
    assert_eq!(
        shown,
        [
            "Job         0192f3a4-5b6c-7d8e script, received 10 min ago, cancelled",
            "            confirming: undone at 2026-11-23 23:39:52 UTC (in 20 min)"
        ]
    );
    let text = job(&waiting, NOW);
    assert!(text.ends_with("confirms it\nCancelled   it is undone\n"), "{text}");
    for (cancel, words) in [
        (Cancel::Asked, "asked by the center; the executor has not answered yet"),
        (Cancel::Stopping, "it stops after the task under way"),
        (Cancel::TooLate, "too late: it had ended, or was being undone"),
    ] {
        let text = job(&JobView { cancel: Some(cancel), ..waiting.clone() }, NOW);
        assert!(text.ends_with(&format!("Cancelled   {words}\n")), "{text}");
    }
}

#[test]
fn a_bundle_on_its_way_is_told_of() {
    let fetch = FetchView {
        have_bytes: 4_000_000,
        total_bytes: Some(100_000_000),
        problem: Some("the source answers 503".to_owned()),
    };
    let waiting = JobView { fetch: Some(fetch), ..job_view(1, Outcome::Accepted {}) };
    let text = job(&waiting, NOW);
    let expected = "Bundle      4000000 of 100000000 bytes are here\n            the source answers 503\n";
    assert!(text.ends_with(expected), "{text}");
    let view = StatusView { open_jobs: vec![waiting], ..status_view() };
    let text = status(&view, NOW);
    let expected = "bundle: 4000000 of 100000000 bytes are here\n            the source answers 503\n\n";
    assert!(text.contains(&format!("\n            {expected}")), "{text}");
}

#[test]
fn the_status_says_why_a_bundle_does_not_come_also_for_a_job_that_waits() {
    let url = format!("https://registry.example:5000/v2/keros/forwarder/blobs/sha256:{}", "5".repeat(64));
    let problem = format!("{url}: the name of the host is not known");
    let fetch = FetchView { have_bytes: 0, total_bytes: None, problem: Some(problem) };
    let waiting = JobView { fetch: Some(fetch), ..job_view(2, Outcome::Accepted {}) };
    let mut view = StatusView { open_jobs: vec![waiting], ..status_view() };
    let alone = status(&view, NOW);
    assert!(alone.contains("not known\n"), "{alone}");
    view.open_jobs.insert(0, job_view(1, Outcome::Running { task: None }));
    let text = status(&view, NOW);
    assert!(text.contains("\n            bundle of 0192f3a4-5b6c-7d8e: nothing is known"), "{text}");
    assert!(text.contains("not known\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn jobs_are_listed_with_whole_ids() {
    let digest = Some(keros_protocol::magic_link::Digest::of(b"x"));
    let ended = JobView { kind: Some("magic_link".to_owned()), digest, ..job_view(3, failed()) };
    let text = job(&ended, NOW);
    assert!(text.contains(&format!("\nMagic Link\n  {}\n", ended.digest.unwrap())), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let view = JobsView { open_jobs: Vec::new(), ended_jobs: vec![ended] };
    assert_eq!(
        jobs(&view, NOW),
        "\
Open jobs: none
Ended jobs, newest first:
  0192f3a4-5b6c-7d8e-8000-000000000003  Magic Link 2d711642b726  10 min ago
    5 min ago: failed: task 3 of 10 (Start the packet forwarder), exit code 2
"
    );
    let long = Outcome::Failed {
        task: Some(TaskRef { number: 1, count: 1, name: "x".repeat(300) }),
        exit_code: None,
        message: String::new(),
        output: None,
        summary: Summary::default(),
    };
    let view = JobsView { open_jobs: vec![job_view(1, long)], ..view };
    let text = jobs(&view, u64::from(u32::MAX));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_failed_job_is_shown_with_all_that_is_known() {
    assert_eq!(
        job(&job_view(3, failed()), NOW),
        "\
Job         0192f3a4-5b6c-7d8e-8000-000000000003
Update      00000000-0000-0000-0000-000000000007
Kind        script
Received    2026-11-23 23:09:52 UTC (10 min ago)
Outcome     failed
            since 2026-11-23 23:14:52 UTC (5 min ago)
Task        3 of 10: Start the packet forwarder
Exit code   2
Message     the command ended with exit code 2
Tasks       1 created, 1 executed, 1 failed
Output
  first line
   second \\u{1b}[31mline
  [… 1000 bytes left out …]
  last line
"
    );
}

#[test]
fn every_other_outcome_has_its_lines() {
    let summary = Summary { matched: 2, ..Summary::default() };
    let interruption = Interruption { task: Some(task(2)), last_task: Some(task(4)), summary };
    let remains = vec!["shell task 2".to_owned()];
    for (outcome, lines) in [
        (Outcome::Received {}, &[][..]),
        (Outcome::Running { task: Some(task(1)) }, &["Task        1 of 10: Start the packet forwarder"]),
        (
            Outcome::Confirming { until_unix_s: NOW + 60 },
            &[
                "            undone at 2026-11-23 23:20:52 UTC (in 1 min) unless the center",
                "            confirms it",
            ],
        ),
        (
            Outcome::Succeeded { summary, dry_run: true, differences: None },
            &["            a dry run: nothing was changed", "Tasks       2 matched"],
        ),
        (
            Outcome::Refused { reason: RefusalReason::Expired, detail: "too late".to_owned() },
            &["Reason      expired", "Detail      too late"],
        ),
        (
            Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false },
            &["            before it started"],
        ),
        (
            Outcome::Interrupted { interruption },
            &[
                "Under way   task 2 of 10 (Start the packet forwarder) to task 4 of 10 (Start the",
                "            packet forwarder)",
                "Tasks       2 matched",
            ],
        ),
        (
            Outcome::RolledBack { reason: "not confirmed".to_owned(), complete: false, remains },
            &["Reason      not confirmed", "Undone      in part; what remains:", "            shell task 2"],
        ),
    ] {
        let text = job(&job_view(1, outcome), NOW);
        assert_eq!(text.lines().skip(6).collect::<Vec<_>>(), lines);
    }
}

#[test]
fn telemetry_answers_say_when() {
    let text = telemetry(&TelemetryAnswer::Due { at_unix_s: NOW }, NOW);
    assert_eq!(text, "Telemetry is sent at 2026-11-23 23:19:52 UTC (now).\n");
    let text = telemetry(&TelemetryAnswer::WhenConnected {}, NOW);
    assert!(text.starts_with("There is no connection to the broker now."));
}
