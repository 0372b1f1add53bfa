//! What has changed between two answers of the agent. Pure.

use std::collections::BTreeMap;

use keros_protocol::{CommandId, Outcome};
use serde::Serialize;

use super::super::text::{named, short_id};
use super::super::time::utc;
use super::Seen;
use crate::local::{ConnectionView, JobView, TelemetryView};

/// A bundle's progress is told in such steps.
const PERCENT_STEP: u64 = 10;

/// One thing that has changed, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    /// The agent answers again, or no more.
    Agent {
        reachable: bool,
        /// Its version, while it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// When it was started, while it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        started_at_unix_s: Option<u64>,
        /// Why it does not answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Connection(ConnectionView),
    Telemetry(TelemetryView),
    Reports {
        pending: u32,
    },
    Job(Box<JobView>),
    Warnings {
        warnings: Vec<String>,
    },
}

/// What was last told, by what it is about.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: BTreeMap<Key, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Agent,
    Connection,
    Telemetry,
    Reports,
    Job(CommandId),
    Warnings,
}

impl Told {
    /// What is new, each with its sentence. With `exact`, every byte of a bundle is a change; else only what a person would
    /// want to read.
    pub(super) fn news(&mut self, seen: &Seen, exact: bool) -> Vec<(Change, String)> {
        let mut news = Vec::new();
        let all = all(seen);
        let jobs: Vec<Key> = all.iter().map(|(key, ..)| key.clone()).collect();
        for (key, change, sentence) in all {
            let mark =
                if exact { serde_json::to_string(&change).unwrap_or_default() } else { sentence.clone() };
            if self.last.get(&key) != Some(&mark) {
                self.last.insert(key, mark);
                news.push((change, sentence));
            }
        }
        // Jobs that the agent has forgotten; while it is away nothing is.
        if seen.away.is_none() {
            self.last.retain(|key, _| !matches!(key, Key::Job(_)) || jobs.contains(key));
        }
        news
    }
}

fn all(seen: &Seen) -> Vec<(Key, Change, String)> {
    let mut all = vec![agent(seen)];
    let Some(view) = seen.view.as_ref().filter(|_| seen.away.is_none()) else { return all };
    let connection = view.connection.clone();
    all.push((Key::Connection, Change::Connection(connection), connection_sentence(&view.connection)));
    all.push((
        Key::Telemetry,
        Change::Telemetry(view.telemetry.clone()),
        telemetry_sentence(&view.telemetry),
    ));
    let pending = view.reports_pending;
    let reports = match pending {
        0 => "reports: all acknowledged by the center".to_owned(),
        count => format!("reports: {count} not yet acknowledged"),
    };
    all.push((Key::Reports, Change::Reports { pending }, reports));
    // The oldest first, as it happened.
    for job in view.ended_jobs.iter().rev().chain(&view.open_jobs) {
        all.push((Key::Job(job.command_id), Change::Job(Box::new(job.clone())), job_sentence(job)));
    }
    if !view.warnings.is_empty() {
        let sentence = format!("warning: {}", view.warnings.join("; "));
        all.push((Key::Warnings, Change::Warnings { warnings: view.warnings.clone() }, sentence));
    }
    all
}

fn agent(seen: &Seen) -> (Key, Change, String) {
    let reachable = seen.away.is_none();
    let view = seen.view.as_ref().filter(|_| reachable);
    let change = Change::Agent {
        reachable,
        version: view.map(|view| view.agent_version.clone()),
        started_at_unix_s: view.map(|view| view.started_at_unix_s),
        error: seen.away.as_ref().map(|(_, why)| why.clone()),
    };
    let sentence = match (&seen.away, view) {
        (Some((since, why)), _) => format!("agent not reachable since {}: {why}", utc(*since)),
        (None, Some(view)) => {
            let started = utc(view.started_at_unix_s);
            format!("agent {} of {} runs, started {started}", view.agent_version, view.eui)
        }
        (None, None) => "agent not asked yet".to_owned(),
    };
    (Key::Agent, change, sentence)
}

fn connection_sentence(connection: &ConnectionView) -> String {
    let broker = &connection.broker;
    match (connection.state.as_str(), &connection.last_error) {
        ("connected", _) => format!("connected to {broker}"),
        ("connecting", _) => format!("connecting to {broker}"),
        (_, Some(error)) => format!("not connected to {broker}: {error}"),
        (_, None) => format!("not connected to {broker}"),
    }
}

fn telemetry_sentence(telemetry: &TelemetryView) -> String {
    let time = |time: Option<u64>| time.map_or_else(|| "never".to_owned(), utc);
    format!(
        "telemetry: sent {}, answered {}",
        time(telemetry.last_sent_unix_s),
        time(telemetry.last_answered_unix_s)
    )
}

fn job_sentence(job: &JobView) -> String {
    let mut sentence = format!("job {} ({}): {}", short_id(job), named(job), job.outcome);
    if job.cancel.is_some() && !job.outcome.is_terminal() {
        sentence.push_str(", cancelled");
    }
    let Some(fetch) = job.fetch.as_ref().filter(|_| job.outcome == Outcome::Accepted {}) else {
        return sentence;
    };
    match fetch.total_bytes {
        Some(total) if total > 0 => {
            let percent = fetch.have_bytes.min(total).saturating_mul(100) / total;
            sentence.push_str(&format!(", bundle {} %", percent / PERCENT_STEP * PERCENT_STEP));
        }
        _ => sentence.push_str(", bundle is looked for"),
    }
    if let Some(problem) = &fetch.problem {
        sentence.push_str(&format!(" ({problem})"));
    }
    sentence
}
