//! The table of all metrics. `docs/metrics.md` lists the same, which a test holds. Names and units as Prometheus and OpenMetrics
//! want them: base units, which the name ends with.

use std::borrow::Cow;

use keros_protocol::Outcome;

use super::Told;
use super::process::{Process, Room};
use super::text::Samples;

/// What a family's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the agent starts anew.
    Counter,
    Gauge,
    /// Always 1; its labels tell.
    Info,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

/// One metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Empty, or what the name ends with.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
    pub(super) samples: fn(&Told<'_>, &mut Samples<'_>),
}

impl Family {
    /// As it stands before a value.
    pub(super) fn sample_name(&self) -> Cow<'static, str> {
        match self.kind {
            Kind::Counter => Cow::Owned(format!("{}_total", self.name)),
            Kind::Gauge => Cow::Borrowed(self.name),
            Kind::Info => Cow::Owned(format!("{}_info", self.name)),
        }
    }
}

/// The final outcomes by name: each has its series from the start, so that the first failure is an increase.
pub(super) const OUTCOMES: [&str; 7] =
    ["succeeded", "failed", "refused", "cancelled", "timed_out", "interrupted", "rolled_back"];

const fn counter(name: &'static str, help: &'static str, samples: fn(&Told<'_>, &mut Samples<'_>)) -> Family {
    Family { name, kind: Kind::Counter, unit: "", help, samples }
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Told<'_>, &mut Samples<'_>)) -> Family {
    Family { name, kind: Kind::Gauge, unit: "", help, samples }
}

const fn info(name: &'static str, help: &'static str, samples: fn(&Told<'_>, &mut Samples<'_>)) -> Family {
    Family { name, kind: Kind::Info, unit: "", help, samples }
}

const fn bytes(family: Family) -> Family {
    Family { unit: "bytes", ..family }
}

const fn seconds(family: Family) -> Family {
    Family { unit: "seconds", ..family }
}

/// All of them, in the order in which they are written.
pub(super) const FAMILIES: &[Family] = &[
    info("keros_agent_build", "The agent that answers.", |told, samples| {
        samples.with(&[("version", &told.view.agent_version)], 1);
    }),
    info("keros_agent_gateway", "The gateway that it runs on.", |told, samples| {
        let view = told.view;
        let labels = [
            ("eui", &*view.eui.to_string()),
            ("codename", view.codename.as_deref().unwrap_or_default()),
            ("keros_version", view.keros_version.as_deref().unwrap_or_default()),
        ];
        samples.with(&labels, 1);
    }),
    gauge("keros_agent_broker_connected", "1 while the connection to the broker is up.", |told, samples| {
        samples.is(u8::from(told.view.connection.state == "connected"));
    }),
    seconds(gauge(
        "keros_agent_broker_state_timestamp_seconds",
        "Since when it is up, or down.",
        |told, samples| samples.is(told.view.connection.since_unix_s),
    )),
    counter("keros_agent_broker_connections", "Connections that came up.", |told, samples| {
        samples.is(told.numbers.connections.get());
    }),
    counter(
        "keros_agent_broker_connections_lost",
        "Attempts to connect that failed, and connections that ended.",
        |told, samples| samples.is(told.numbers.connections_lost.get()),
    ),
    counter("keros_agent_telemetry_sent", "Telemetry handed to the broker.", |told, samples| {
        samples.is(told.numbers.telemetry_sent.get());
    }),
    counter("keros_agent_telemetry_answered", "Telemetry that the center has answered.", |told, samples| {
        samples.is(told.numbers.telemetry_answered.get());
    }),
    seconds(gauge(
        "keros_agent_telemetry_sent_timestamp_seconds",
        "When telemetry was last sent; also by an agent before this one.",
        |told, samples| samples.maybe(told.view.telemetry.last_sent_unix_s),
    )),
    seconds(gauge(
        "keros_agent_telemetry_answered_timestamp_seconds",
        "When the center last answered.",
        |told, samples| samples.maybe(told.view.telemetry.last_answered_unix_s),
    )),
    seconds(gauge(
        "keros_agent_telemetry_age_seconds",
        "Time since the center last answered, by a clock that never jumps.",
        |told, samples| samples.maybe(age_s(told)),
    )),
    seconds(gauge(
        "keros_agent_telemetry_due_timestamp_seconds",
        "When telemetry is sent next, if the broker is connected then.",
        |told, samples| samples.is(told.view.telemetry.next_unix_s),
    )),
    gauge(
        "keros_agent_reports_waiting",
        "Reports that the center has not acknowledged yet.",
        |told, samples| samples.is(told.view.reports_pending),
    ),
    counter(
        "keros_agent_commands_ended",
        "Commands that ended, by outcome; kept over restarts of the agent.",
        |told, samples| {
            for outcome in OUTCOMES {
                let total = told.view.ended_total.get(outcome).copied().unwrap_or(0);
                samples.with(&[("outcome", outcome)], total);
            }
        },
    ),
    gauge("keros_agent_jobs_open", "Jobs that have not ended.", |told, samples| {
        samples.is(told.view.open_jobs.len());
    }),
    gauge("keros_agent_job_task", "The number of the task that runs now, from 1 on.", |told, samples| {
        samples.maybe(task(told).map(|(number, _)| number));
    }),
    gauge("keros_agent_job_tasks", "How many tasks the job that runs now has.", |told, samples| {
        samples.maybe(task(told).map(|(_, count)| count));
    }),
    bytes(counter(
        "keros_agent_fetched_bytes",
        "Bytes from the network for Magic Links, all that was paid for.",
        |told, samples| samples.is(told.numbers.fetched_bytes.get()),
    )),
    bytes(gauge(
        "keros_agent_bundle_present_bytes",
        "What is here of the Magic Link that is fetched.",
        |told, samples| samples.maybe(fetched(told).map(|(have, _)| have)),
    )),
    bytes(gauge("keros_agent_bundle_size_bytes", "All of it, once that is known.", |told, samples| {
        samples.maybe(fetched(told).and_then(|(_, all)| all));
    })),
    bytes(gauge(
        "keros_agent_state_free_bytes",
        "Room that the agent may use on the disk of its state folder.",
        |told, samples| samples.maybe(told.room.map(|room: Room| room.free_bytes)),
    )),
    bytes(gauge("keros_agent_state_size_bytes", "Size of that disk.", |told, samples| {
        samples.maybe(told.room.map(|room| room.size_bytes));
    })),
    gauge(
        "keros_agent_clock_believed",
        "1 while the time is good enough to start a job.",
        |told, samples| samples.is(u8::from(told.judge.is_believed(told.now))),
    ),
    seconds(gauge(
        "keros_agent_clock_timestamp_seconds",
        "The time that expiry and certificates are judged by; compare it with the time of the scrape.",
        |told, samples| samples.is(told.judge.judged(told.now)),
    )),
    seconds(gauge(
        "keros_agent_clock_floor_timestamp_seconds",
        "The time that it is at least, from what the center has signed.",
        |told, samples| samples.is(told.judge.floor_unix_s()),
    )),
    gauge(
        "keros_agent_warnings",
        "Things that a technician should look at: see keros-agent status.",
        |told, samples| samples.is(told.view.warnings.len()),
    ),
    counter("keros_agent_local_requests", "Requests on the local sockets.", |told, samples| {
        samples.is(told.numbers.local_requests.get());
    }),
    counter(
        "keros_agent_local_clients_refused",
        "Local clients that were turned away, by reason.",
        |told, samples| {
            samples.with(&[("reason", "not_root")], told.numbers.not_root.get());
            samples.with(&[("reason", "too_slow")], told.numbers.too_slow.get());
            samples.with(&[("reason", "too_many")], told.numbers.too_many.get());
            samples.with(&[("reason", "too_often")], told.numbers.too_often.get());
        },
    ),
    seconds(gauge("process_start_time_seconds", "When the agent started.", |told, samples| {
        samples.is(told.view.started_at_unix_s);
    })),
    seconds(counter("process_cpu_seconds", "Processor time of the agent.", |told, samples| {
        let Process { cpu_ms, .. } = told.process;
        samples.maybe(cpu_ms.map(|ms| format!("{}.{:03}", ms / 1000, ms % 1000)));
    })),
    bytes(gauge("process_resident_memory_bytes", "Memory of the agent.", |told, samples| {
        samples.maybe(told.process.resident_bytes);
    })),
];

fn age_s(told: &Told<'_>) -> Option<u64> {
    let at_ms = told.numbers.telemetry_answered_ms.get();
    (at_ms > 0).then(|| told.now.monotonic_ms.saturating_sub(at_ms) / 1000)
}

fn task(told: &Told<'_>) -> Option<(u32, u32)> {
    told.view.open_jobs.iter().find_map(|job| match &job.outcome {
        Outcome::Running { task: Some(task) } => Some((task.number, task.count)),
        _ => None,
    })
}

fn fetched(told: &Told<'_>) -> Option<(u64, Option<u64>)> {
    told.view.open_jobs.iter().find_map(|job| {
        let fetch = job.fetch.as_ref()?;
        Some((fetch.have_bytes, fetch.total_bytes))
    })
}
