//! What is on the screen. Pure: what is known, the time and the size in, lines out.

use keros_protocol::{Outcome, UnixSeconds};

use super::super::text::{clean, cut, named, short_id};
use super::super::time::{distance, duration, utc};
use super::{Pace, Seen};
use crate::local::{ConnectionView, FetchView, JobView, StatusView};

const LABEL_CHARS: usize = 12;
/// A bar is no longer, however wide the screen is.
const MAX_BAR_CHARS: usize = 40;
/// Jobs that wait behind the first.
const WAITING: usize = 3;
const WARNINGS: usize = 3;

/// How a line stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Title,
    Good,
    Busy,
    Bad,
    Dim,
}

/// One line: a label, and text that may have a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// The rows and columns of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// All lines, as many as there are rows at most, none wider than the screen.
pub(super) fn frame(seen: &Seen, now_unix_s: UnixSeconds, size: Size) -> Vec<Line> {
    let mut page = Page { lines: Vec::new(), columns: size.columns };
    title(&mut page, seen, now_unix_s);
    away(&mut page, seen, now_unix_s);
    if let Some(view) = &seen.view {
        connection(&mut page, &view.connection, now_unix_s);
        telemetry(&mut page, view, now_unix_s);
        page.blank();
        jobs(&mut page, &view.open_jobs, &seen.pace, now_unix_s);
        page.blank();
        let left = size.rows.saturating_sub(page.lines.len() + 1 + warning_rows(view));
        ended(&mut page, &view.ended_jobs, left, now_unix_s);
        warnings(&mut page, &view.warnings);
    }
    page.lines.truncate(size.rows.saturating_sub(1));
    while page.lines.len() + 1 < size.rows {
        page.blank();
    }
    page.push("", "q: end", Tone::Dim);
    page.lines.truncate(size.rows);
    page.lines
}

struct Page {
    lines: Vec<Line>,
    columns: usize,
}

impl Page {
    fn push(&mut self, label: &str, text: &str, tone: Tone) {
        let width = if label.is_empty() && self.lines.is_empty() { 0 } else { LABEL_CHARS };
        let line = match (label, tone) {
            ("", Tone::Dim | Tone::Title) => clean(text),
            _ => format!("{label:width$}{}", clean(text)),
        };
        self.lines.push(Line { text: cut(&line, self.columns).trim_end().to_owned(), tone });
    }

    fn blank(&mut self) {
        self.lines.push(Line { text: String::new(), tone: Tone::Plain });
    }
}

fn title(page: &mut Page, seen: &Seen, now_unix_s: UnixSeconds) {
    let gateway = seen.view.as_ref().map_or_else(String::new, |view| {
        let codename = view.codename.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let keros = view.keros_version.as_ref().map(|v| format!(", KerOS {v}")).unwrap_or_default();
        format!("{}{codename}{keros}, agent {}", view.eui, view.agent_version)
    });
    let (gateway, clock) = (clean(&gateway), utc(now_unix_s));
    let room = page.columns.saturating_sub(clock.len() + 1);
    let gateway = cut(&gateway, room);
    page.push("", &format!("{gateway:room$} {clock}"), Tone::Title);
    page.blank();
}

fn away(page: &mut Page, seen: &Seen, now_unix_s: UnixSeconds) {
    let Some((since, why)) = &seen.away else { return };
    let text = format!("not reachable since {} ({})", utc(*since), distance(*since, now_unix_s));
    page.push("Agent", &text, Tone::Bad);
    page.push("", why, Tone::Plain);
    if seen.view.is_some() {
        page.push("", "what is below is its last word", Tone::Plain);
    }
    page.blank();
}

fn connection(page: &mut Page, connection: &ConnectionView, now_unix_s: UnixSeconds) {
    let since = duration(now_unix_s.saturating_sub(connection.since_unix_s));
    let broker = &connection.broker;
    let tls = match connection.tls.as_str() {
        "none" => "without TLS",
        "mutual" => "mutual TLS",
        _ => "TLS",
    };
    let (text, tone) = match connection.state.as_str() {
        "connected" => (format!("connected to {broker}, {tls}, for {since}"), Tone::Good),
        "connecting" => (format!("connecting to {broker}, for {since}"), Tone::Busy),
        _ => (format!("NOT CONNECTED to {broker}, for {since}; tries again"), Tone::Bad),
    };
    page.push("Connection", &text, tone);
    if let Some(error) = connection.last_error.as_ref().filter(|_| connection.state != "connected") {
        page.push("", error, Tone::Plain);
    }
}

fn telemetry(page: &mut Page, view: &StatusView, now_unix_s: UnixSeconds) {
    let ago = |time: Option<UnixSeconds>| {
        time.map_or_else(|| "never".to_owned(), |time| distance(time, now_unix_s))
    };
    let telemetry = &view.telemetry;
    let text = format!(
        "sent {}, answered {}, next {}",
        ago(telemetry.last_sent_unix_s),
        ago(telemetry.last_answered_unix_s),
        distance(telemetry.next_unix_s, now_unix_s)
    );
    page.push("Telemetry", &text, Tone::Plain);
    let reports = match view.reports_pending {
        0 => "all acknowledged by the center".to_owned(),
        count => format!("{count} kept until the center has acknowledged them"),
    };
    page.push("Reports", &reports, Tone::Plain);
}

fn jobs(page: &mut Page, jobs: &[JobView], pace: &Pace, now_unix_s: UnixSeconds) {
    let Some((first, others)) = jobs.split_first() else {
        return page.push("Job", "none under way", Tone::Plain);
    };
    let received = distance(first.received_at_unix_s, now_unix_s);
    let cancelled = if first.cancel.is_some() { ", cancelled" } else { "" };
    let text = format!("{} {}, received {received}{cancelled}", short_id(first), named(first));
    page.push("Job", &text, Tone::Busy);
    outcome(page, &first.outcome, now_unix_s);
    if let Some((job, fetch)) = awaited(jobs) {
        let of = if job == first { String::new() } else { format!(" of {}", short_id(job)) };
        bundle(page, &of, fetch, pace);
    }
    for (number, job) in others.iter().take(WAITING).enumerate() {
        let label = if number == 0 { "Waiting" } else { "" };
        page.push(label, &format!("{} {}", short_id(job), named(job)), Tone::Plain);
    }
    if others.len() > WAITING {
        page.push("", &format!("and {} more", others.len() - WAITING), Tone::Plain);
    }
}

fn outcome(page: &mut Page, outcome: &Outcome, now_unix_s: UnixSeconds) {
    match outcome {
        Outcome::Running { task: Some(task) } => {
            let before = u64::from(task.number.saturating_sub(1));
            let bar = bar(before, u64::from(task.count), page.columns);
            page.push(
                "",
                &format!("{bar} task {} of {}: {}", task.number, task.count, task.name),
                Tone::Busy,
            );
        }
        Outcome::Confirming { until_unix_s } => {
            let left = distance(*until_unix_s, now_unix_s);
            page.push("", &format!("waits to be confirmed by the center; undone {left}"), Tone::Busy);
        }
        other => page.push("", &other.to_string(), Tone::Busy),
    }
}

/// The job whose bundle is fetched, and how far it is here.
pub(super) fn awaited(jobs: &[JobView]) -> Option<(&JobView, &FetchView)> {
    let awaited = jobs.iter().find(|job| job.outcome == Outcome::Accepted {} && job.fetch.is_some())?;
    Some((awaited, awaited.fetch.as_ref()?))
}

fn bundle(page: &mut Page, of: &str, fetch: &FetchView, pace: &Pace) {
    let text = match fetch.total_bytes {
        Some(total) if total > 0 => {
            let bar = bar(fetch.have_bytes, total, page.columns);
            let percent = fetch.have_bytes.min(total).saturating_mul(100) / total;
            let rate = pace.bytes_per_s().map(|rate| {
                let left = duration(total.saturating_sub(fetch.have_bytes) / rate);
                format!(", {}/s, {left} left", size(rate))
            });
            let (have, total) = (size(fetch.have_bytes), size(total));
            format!("{bar} {percent} %, {have} of {total}{}{of}", rate.unwrap_or_default())
        }
        _ => format!("its size is not known yet{of}"),
    };
    page.push("Bundle", &text, Tone::Busy);
    if let Some(problem) = &fetch.problem {
        page.push("", problem, Tone::Bad);
    }
}

fn ended(page: &mut Page, jobs: &[JobView], rows: usize, now_unix_s: UnixSeconds) {
    if jobs.is_empty() {
        return page.push("Last jobs", "none", Tone::Plain);
    }
    for (number, job) in jobs.iter().take(rows).enumerate() {
        let label = if number == 0 { "Last jobs" } else { "" };
        let tone = if matches!(job.outcome, Outcome::Succeeded { .. }) { Tone::Good } else { Tone::Bad };
        let ago = distance(job.changed_at_unix_s, now_unix_s);
        page.push(label, &format!("{} {ago}: {} ({})", short_id(job), job.outcome, named(job)), tone);
    }
}

fn warning_rows(view: &StatusView) -> usize {
    view.warnings.len().min(WARNINGS)
}

fn warnings(page: &mut Page, warnings: &[String]) {
    for (number, warning) in warnings.iter().take(WARNINGS).enumerate() {
        page.push(if number == 0 { "Warnings" } else { "" }, warning, Tone::Bad);
    }
}

/// `[######----]`, a third of the screen.
fn bar(done: u64, whole: u64, columns: usize) -> String {
    let width = (columns / 3).clamp(6, MAX_BAR_CHARS);
    let filled = done.min(whole).saturating_mul(width as u64).checked_div(whole).unwrap_or(0);
    let filled = usize::try_from(filled).unwrap_or(width);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(width - filled))
}

fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        0..KIB => format!("{bytes} B"),
        _ if bytes < KIB * KIB => format!("{} KiB", bytes / KIB),
        _ => format!("{}.{} MiB", bytes / KIB / KIB, bytes / KIB % KIB * 10 / KIB),
    }
}
