//! `keros-agent status`: everything that matters on one screen of 80 by 24.

use keros_protocol::{Outcome, UnixSeconds};

use super::super::time::{distance, utc_and_distance};
use super::{Page, named, short_id};
use crate::local::{ConnectionView, JobView, StatusView, TelemetryView};

/// So that all fits on one screen.
const LAST_JOBS: usize = 3;
const WARNINGS: usize = 2;
/// What keeps a bundle from coming: a source's address alone may take two lines, and the reason stands behind it.
const PROBLEM_LINES: usize = 4;

/// The whole screen.
pub(in crate::cli) fn status(status: &StatusView, now_unix_s: UnixSeconds) -> String {
    let mut page = Page::default();
    gateway(&mut page, status, now_unix_s);
    page.blank();
    connection(&mut page, &status.connection, now_unix_s);
    page.blank();
    telemetry(&mut page, &status.telemetry, now_unix_s);
    page.line(
        "Reports",
        &match status.reports_pending {
            0 => "all acknowledged by the center".to_owned(),
            count => format!("{count} kept until the center has acknowledged them"),
        },
    );
    page.blank();
    open_jobs(&mut page, &status.open_jobs, now_unix_s);
    page.blank();
    ended_jobs(&mut page, &status.ended_jobs, now_unix_s);
    warnings(&mut page, &status.warnings);
    page.text
}

fn gateway(page: &mut Page, status: &StatusView, now_unix_s: UnixSeconds) {
    let codename = status.codename.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let keros = status.keros_version.as_ref().map_or_else(
        || "KerOS version unknown: accepts no JetPorch script".to_owned(),
        |version| format!("KerOS {version}"),
    );
    page.line("Gateway", &format!("{}{codename}, {keros}", status.eui));
    page.line("", &format!("EUI from {}", status.identity_source));
    let started = utc_and_distance(status.started_at_unix_s, now_unix_s);
    page.line("Agent", &format!("{}, started {started}", status.agent_version));
}

fn connection(page: &mut Page, connection: &ConnectionView, now_unix_s: UnixSeconds) {
    let tls = match connection.tls.as_str() {
        "none" => "without TLS",
        "server" => "TLS",
        "mutual" => "mutual TLS",
        other => other,
    };
    let state = match connection.state.as_str() {
        "connected" => "connected to",
        "connecting" => "connecting to",
        "waiting" => "NOT CONNECTED, waiting before the next attempt to",
        other => other,
    };
    page.line("Connection", &format!("{state} {}", connection.broker));
    page.line("", &format!("{tls}, since {}", utc_and_distance(connection.since_unix_s, now_unix_s)));
    if let Some(error) = &connection.last_error {
        page.line("", &format!("last error: {error}"));
    }
}

fn telemetry(page: &mut Page, telemetry: &TelemetryView, now_unix_s: UnixSeconds) {
    let time = |time: Option<UnixSeconds>| {
        time.map_or_else(|| "never since the start".to_owned(), |time| utc_and_distance(time, now_unix_s))
    };
    page.line("Telemetry", &format!("last sent  {}", time(telemetry.last_sent_unix_s)));
    page.line("", &format!("answered   {}", time(telemetry.last_answered_unix_s)));
    page.line("", &format!("next       {}", time(Some(telemetry.next_unix_s))));
}

fn open_jobs(page: &mut Page, jobs: &[JobView], now_unix_s: UnixSeconds) {
    let Some(first) = jobs.first() else { return page.line("Job", "none under way") };
    let kind = named(first);
    let received = distance(first.received_at_unix_s, now_unix_s);
    let cancelled = if first.cancel.is_some() { ", cancelled" } else { "" };
    page.line("Job", &format!("{} {kind}, received {received}{cancelled}", short_id(first)));
    match first.outcome {
        Outcome::Confirming { until_unix_s } => {
            let until = utc_and_distance(until_unix_s, now_unix_s);
            page.line("", &format!("confirming: undone at {until}"));
        }
        _ => page.line("", &first.outcome.to_string()),
    }
    if jobs.len() > 1 {
        page.line("", &format!("and {} waiting: keros-agent jobs", jobs.len() - 1));
    }
    bundle(page, jobs, first);
}

/// The bundle that is fetched, also for a later job.
fn bundle(page: &mut Page, jobs: &[JobView], first: &JobView) {
    let is_awaited = |job: &&JobView| job.outcome == Outcome::Accepted {} && job.fetch.is_some();
    let Some(job) = jobs.iter().find(is_awaited) else { return };
    let Some(fetch) = &job.fetch else { return };
    let of = if job == first { String::new() } else { format!(" of {}", short_id(job)) };
    page.line("", &format!("bundle{of}: {}", super::job::fetched(fetch)));
    if let Some(problem) = &fetch.problem {
        page.paragraph(problem, PROBLEM_LINES);
    }
}

fn ended_jobs(page: &mut Page, jobs: &[JobView], now_unix_s: UnixSeconds) {
    let mut label = "Last jobs";
    if jobs.is_empty() {
        page.line(label, "none");
    }
    for job in jobs.iter().take(LAST_JOBS) {
        let changed = distance(job.changed_at_unix_s, now_unix_s);
        page.line(label, &format!("{} {changed}: {}", short_id(job), job.outcome));
        label = "";
    }
    if jobs.len() > LAST_JOBS {
        page.line("", &format!("and {} more: keros-agent jobs", jobs.len() - LAST_JOBS));
    }
}

fn warnings(page: &mut Page, warnings: &[String]) {
    let mut label = "Warnings";
    for warning in warnings.iter().take(WARNINGS) {
        page.line(label, warning);
        label = "";
    }
    if warnings.len() > WARNINGS {
        page.line("", &format!("and {} more: keros-agent status --json", warnings.len() - WARNINGS));
    }
}
