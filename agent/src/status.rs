//! The technician's view of the daemon, from its state. It reads nothing by itself.

use keros_machine::{Now, Phase, State};
use keros_platform::Identity;
use keros_protocol::{CommandId, UnixSeconds};

use crate::config::BrokerSettings;
use crate::local::{ConnectionView, FetchView, JobView, StatusView, TelemetryView};

/// The connection as the main loop knows it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    state: &'static str,
    since_unix_s: UnixSeconds,
    last_error: Option<String>,
}

impl Connection {
    /// Not begun.
    pub(crate) const fn new(since_unix_s: UnixSeconds) -> Self {
        Self { state: "connecting", since_unix_s, last_error: None }
    }

    /// `connected`, `connecting` or `waiting`.
    pub(crate) fn set(&mut self, state: &'static str, now_unix_s: UnixSeconds) {
        if self.state != state {
            self.state = state;
            self.since_unix_s = now_unix_s;
        }
    }

    /// Why there is none.
    pub(crate) fn failed(&mut self, error: String, now_unix_s: UnixSeconds) {
        self.set("waiting", now_unix_s);
        self.last_error = Some(error);
    }

    /// One line for the service manager.
    pub(crate) fn line(&self) -> String {
        match (&self.last_error, self.state) {
            (Some(error), "waiting") => format!("waiting for the broker: {error}"),
            (_, state) => format!("{state} to the broker"),
        }
    }
}

/// What does not change while the agent runs.
pub(crate) struct Fixed<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) broker: &'a BrokerSettings,
    pub(crate) started_at_unix_s: UnixSeconds,
}

/// The view of this moment.
pub(crate) fn view(
    fixed: &Fixed<'_>,
    connection: &Connection,
    state: &State,
    answered_unix_s: Option<UnixSeconds>,
    fetch: impl Fn(CommandId) -> Option<FetchView>,
    now: Now,
    warnings: Vec<String>,
) -> StatusView {
    StatusView {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        eui: fixed.identity.eui,
        identity_source: name_of(fixed.identity),
        codename: fixed.identity.codename.clone(),
        keros_version: fixed.identity.keros_version.as_ref().map(ToString::to_string),
        started_at_unix_s: fixed.started_at_unix_s,
        connection: ConnectionView {
            state: connection.state.to_owned(),
            broker: format!("{}:{}", fixed.broker.host, fixed.broker.port),
            tls: tls_name(fixed.broker).to_owned(),
            since_unix_s: connection.since_unix_s,
            last_error: connection.last_error.clone(),
        },
        telemetry: TelemetryView {
            last_sent_unix_s: state.telemetry_sent_at(),
            last_answered_unix_s: answered_unix_s,
            next_unix_s: state.telemetry_due_at(now),
        },
        reports_pending: state.reports_pending(),
        open_jobs: open_jobs(state, fetch),
        ended_jobs: ended_jobs(state),
        ended_total: state.ended_total().clone(),
        warnings: state.problem().map(str::to_owned).into_iter().chain(warnings).collect(),
    }
}

fn open_jobs(state: &State, fetch: impl Fn(CommandId) -> Option<FetchView>) -> Vec<JobView> {
    let view = |job: &keros_machine::Job| JobView {
        command_id: job.command_id,
        update_id: job.update_id,
        kind: Some(job.kind.clone()),
        digest: job.link,
        received_at_unix_s: job.received_at_unix_s,
        changed_at_unix_s: job.changed_at_unix_s,
        outcome: state.outcome_of(job),
        cancel: job.cancel,
        due_unix_s: Some(due_unix_s(job)),
        fetch: fetch(job.command_id),
    };
    state.jobs().iter().map(view).collect()
}

/// The executor's own limits end a job; a waiting one expires.
fn due_unix_s(job: &keros_machine::Job) -> UnixSeconds {
    match job.phase {
        Phase::Accepted {} => job.expires_at_unix_s,
        Phase::Starting {} | Phase::Running {} => job.changed_at_unix_s.saturating_add(job.total_s.into()),
        Phase::Confirming { until_unix_s, .. } => until_unix_s,
    }
}

fn ended_jobs(state: &State) -> Vec<JobView> {
    let view = |job: &keros_machine::EndedJob| JobView {
        command_id: job.command_id,
        update_id: job.update_id,
        kind: job.kind.clone(),
        digest: job.link,
        received_at_unix_s: job.received_at_unix_s,
        changed_at_unix_s: job.ended_at_unix_s,
        outcome: job.outcome.clone(),
        cancel: job.cancel,
        due_unix_s: None,
        fetch: None,
    };
    state.ended().map(view).collect()
}

fn name_of(identity: &Identity) -> String {
    // Its wire name, e.g. `board_info_env`.
    let name = serde_json::to_value(identity.source).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

const fn tls_name(broker: &BrokerSettings) -> &'static str {
    match &broker.tls {
        None => "none",
        Some(tls) if tls.client.is_some() => "mutual",
        Some(_) => "server",
    }
}
