//! The state: what is kept on disk, and what lives only as long as the process.

use std::collections::VecDeque;

use keros_protocol::{
    CommandId, JobUnderWay, Outcome, ReportPosition, TaskRef, UnixSeconds, limits::MAX_TEXT_BYTES,
};
use serde::{Deserialize, Serialize};

use crate::event::{Now, Setup};
use crate::job::{EndedJob, Job, Phase};
use crate::outbox::{Outbox, Sending};
use crate::session::ExecutorLink;
use crate::telemetry::TelemetryLive;
use crate::{telemetry, time_floor};

/// The whole state.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) setup: Setup,
    pub(crate) kept: Kept,
    pub(crate) live: Live,
}

/// What must survive a crash. The shell stores it as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Open jobs in the order in which they came.
    pub(crate) jobs: Vec<Job>,
    /// Ended jobs, the newest last.
    pub(crate) ended: VecDeque<EndedJob>,
    /// Ids of older ones.
    pub(crate) known: VecDeque<KnownId>,
    pub(crate) outbox: Outbox,
    /// No signed statement is older.
    pub(crate) floor_unix_s: UnixSeconds,
    /// By the clock of that moment.
    pub(crate) telemetry_sent_at_unix_s: Option<UnixSeconds>,
    /// Digest of the package list that the center has.
    pub(crate) packages_known: Option<String>,
}

/// An id that must not be taken again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownId {
    pub(crate) command_id: CommandId,
    /// From then on the command has expired anyway.
    pub(crate) until_unix_s: UnixSeconds,
}

/// What lives only as long as the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    pub(crate) sending: Sending,
    pub(crate) executor: ExecutorLink,
    pub(crate) telemetry: TelemetryLive,
}

impl Kept {
    /// Nothing yet; reports begin a new stream.
    #[must_use]
    pub fn new(stream: ReportPosition) -> Self {
        Self {
            jobs: Vec::new(),
            ended: VecDeque::new(),
            known: VecDeque::new(),
            outbox: Outbox::new(stream),
            floor_unix_s: 0,
            telemetry_sent_at_unix_s: None,
            packages_known: None,
        }
    }
}

impl State {
    /// The state of an agent that starts.
    #[must_use]
    pub fn new(setup: Setup, kept: Kept) -> Self {
        Self { setup, kept, live: Live::default() }
    }

    /// What must be stored.
    #[must_use]
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Open jobs in order.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.kept.jobs
    }

    /// The outcome so far of an open job.
    #[must_use]
    pub fn outcome_of(&self, job: &Job) -> Outcome {
        match job.phase {
            Phase::Accepted {} | Phase::Starting {} => Outcome::Accepted {},
            Phase::Running {} => Outcome::Running { task: self.task_of(job.command_id).cloned() },
        }
    }

    /// Ended jobs, the newest first.
    pub fn ended(&self) -> impl Iterator<Item = &EndedJob> {
        self.kept.ended.iter().rev()
    }

    /// The job that the executor runs, for telemetry.
    #[must_use]
    pub fn job_under_way(&self) -> Option<JobUnderWay> {
        let job = self.kept.jobs.iter().find(|job| job.phase != Phase::Accepted {})?;
        Some(JobUnderWay { command_id: job.command_id, outcome: self.outcome_of(job) })
    }

    /// Whether a command of this id was taken before.
    #[must_use]
    pub fn knows(&self, id: CommandId) -> bool {
        self.kept.jobs.iter().any(|job| job.command_id == id)
            || self.kept.ended.iter().any(|job| job.command_id == id)
            || self.kept.known.iter().any(|known| known.command_id == id)
    }

    /// Whether another command can be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.kept.jobs.len() < crate::MAX_OPEN_JOBS && self.kept.outbox.len() < crate::MAX_OUTBOX
    }

    /// Reports that the center has not acknowledged.
    #[must_use]
    pub fn reports_pending(&self) -> u32 {
        u32::try_from(self.kept.outbox.len()).unwrap_or(u32::MAX)
    }

    /// The best guess of the time: the clock, but never below the floor.
    #[must_use]
    pub fn judged_time(&self, now: Now) -> UnixSeconds {
        now.unix_s.max(self.time_floor())
    }

    /// It cannot be earlier than this.
    #[must_use]
    pub fn time_floor(&self) -> UnixSeconds {
        time_floor::floor(self)
    }

    /// Digest of the package list that the center is known to have.
    #[must_use]
    pub fn packages_known(&self) -> Option<&str> {
        self.kept.packages_known.as_deref()
    }

    /// When telemetry was last handed to the broker, by the clock of that moment.
    #[must_use]
    pub const fn telemetry_sent_at(&self) -> Option<UnixSeconds> {
        self.kept.telemetry_sent_at_unix_s
    }

    /// When telemetry is due if the broker is reachable then.
    #[must_use]
    pub fn telemetry_due_at(&self, now: Now) -> UnixSeconds {
        now.unix_s + telemetry::wait_ms(self, now).div_ceil(1000)
    }

    /// What keeps the job at the head from going on, in words.
    #[must_use]
    pub fn executor_problem(&self) -> Option<&str> {
        self.live.executor.problem.as_deref()
    }

    fn task_of(&self, id: CommandId) -> Option<&TaskRef> {
        self.live.executor.progress.as_ref().filter(|p| p.command_id == id).and_then(|p| p.task.as_ref())
    }
}

/// Bounds a text that came from outside.
pub(crate) fn bounded(text: &str) -> String {
    keros_protocol::limits::shorten(text, MAX_TEXT_BYTES)
}
