//! The state: what is kept on disk, and what lives only as long as the process.

use std::collections::{BTreeMap, VecDeque};

use keros_protocol::{
    CommandId, Envelope, JobUnderWay, Outcome, ReportPosition, UnixSeconds, limits::MAX_TEXT_BYTES,
};
use serde::{Deserialize, Serialize};

use crate::event::{Now, Setup};
use crate::fetch::FetchLive;
use crate::intake::RepeatBudget;
use crate::job::{EndedJob, Job, Phase};
use crate::outbox::{Outbox, Sending};
use crate::progress::{self, Progress};
use crate::proof::ProofLive;
use crate::session::ExecutorLink;
use crate::side::SideLive;
use crate::telemetry::{self, TelemetryLive};
use crate::time::{self, TimeJudge};

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
    /// How many commands have ended in each way since this state began; by the names of the outcomes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ended_total: BTreeMap<String, u64>,
    /// Ids of older ones.
    pub(crate) known: VecDeque<KnownId>,
    /// Ids of commands that were cancelled before they came.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) cancelled: VecDeque<CommandId>,
    pub(crate) outbox: Outbox,
    /// No signed statement is older.
    pub(crate) floor_unix_s: UnixSeconds,
    /// By the clock of that moment.
    pub(crate) telemetry_sent_at_unix_s: Option<UnixSeconds>,
    /// Digest of the package list that the center has.
    pub(crate) packages_known: Option<String>,
    /// An earlier state was lost: the executor may know commands that this one does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) after_loss: bool,
}

/// An id that must not be taken again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownId {
    pub(crate) command_id: CommandId,
    /// From then on the command has expired anyway.
    pub(crate) until_unix_s: UnixSeconds,
}

/// What lives only as long as the process.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) sending: Sending,
    pub(crate) executor: ExecutorLink,
    pub(crate) side: SideLive,
    pub(crate) fetch: FetchLive,
    pub(crate) progress: Option<Progress>,
    pub(crate) telemetry: TelemetryLive,
    pub(crate) proof: ProofLive,
    /// The newest statement, as it came.
    pub(crate) statement: Option<Envelope>,
    pub(crate) time: TimeJudge,
    pub(crate) repeats: RepeatBudget,
    /// When the waiting jobs of this run came, by the monotonic clock; the others were there when it began.
    pub(crate) came_ms: BTreeMap<CommandId, u64>,
}

impl Kept {
    /// Nothing yet; reports begin a new stream.
    #[must_use]
    pub fn new(stream: ReportPosition) -> Self {
        Self {
            jobs: Vec::new(),
            ended: VecDeque::new(),
            ended_total: BTreeMap::new(),
            known: VecDeque::new(),
            cancelled: VecDeque::new(),
            outbox: Outbox::new(stream),
            floor_unix_s: 0,
            telemetry_sent_at_unix_s: None,
            packages_known: None,
            after_loss: false,
        }
    }

    /// Nothing any more: an earlier state was lost. From now on the executor is asked about each command before it is judged.
    #[must_use]
    pub fn after_loss(stream: ReportPosition) -> Self {
        Self { after_loss: true, ..Self::new(stream) }
    }
}

impl State {
    /// The state of an agent that starts.
    #[must_use]
    pub fn new(setup: Setup, kept: Kept) -> Self {
        let live = Live {
            sending: Sending::default(),
            executor: ExecutorLink::default(),
            side: SideLive::default(),
            fetch: FetchLive::default(),
            progress: None,
            telemetry: TelemetryLive::default(),
            proof: ProofLive::default(),
            statement: None,
            time: TimeJudge::new(kept.floor_unix_s.max(setup.built_at_unix_s)),
            repeats: RepeatBudget::default(),
            came_ms: BTreeMap::new(),
        };
        Self { setup, kept, live }
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
            Phase::Running {} => Outcome::Running { task: progress::task_of(self, job.command_id).cloned() },
            Phase::Confirming { until_unix_s, .. } => Outcome::Confirming { until_unix_s },
        }
    }

    /// Ended jobs, the newest first.
    pub fn ended(&self) -> impl Iterator<Item = &EndedJob> {
        self.kept.ended.iter().rev()
    }

    /// How many commands have ended in each way since this state began, by the names of the outcomes.
    #[must_use]
    pub const fn ended_total(&self) -> &BTreeMap<String, u64> {
        &self.kept.ended_total
    }

    /// The job that the executor runs, for telemetry.
    #[must_use]
    pub fn job_under_way(&self) -> Option<JobUnderWay> {
        let job = self.kept.jobs.iter().find(|job| job.phase != Phase::Accepted {})?;
        Some(JobUnderWay { command_id: job.command_id, outcome: self.outcome_of(job) })
    }

    /// The command whose bundle is fetched, also between two attempts.
    #[must_use]
    pub fn fetching(&self) -> Option<CommandId> {
        self.live.fetch.command_id()
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

    /// The stream of the reports, and the last number given in it.
    #[must_use]
    pub const fn last_report(&self) -> ReportPosition {
        self.kept.outbox.last()
    }

    /// Whether a command may have been started that this state does not know: expired or not, the executor is asked about it
    /// before it is judged.
    #[must_use]
    pub const fn is_after_loss(&self) -> bool {
        self.kept.after_loss
    }

    /// The best guess of the time.
    #[must_use]
    pub fn judged_time(&self, now: Now) -> UnixSeconds {
        self.live.time.judged(now)
    }

    /// By which the clock is judged.
    #[must_use]
    pub const fn time_judge(&self) -> TimeJudge {
        self.live.time
    }

    /// It cannot be earlier than this.
    #[must_use]
    pub fn time_floor(&self) -> UnixSeconds {
        time::floor(self)
    }

    /// The newest statement of this run, as it came.
    #[must_use]
    pub const fn newest_statement(&self) -> Option<&Envelope> {
        self.live.statement.as_ref()
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

    /// What keeps the job at the head from going on, in words. Of a bundle that does not come the fetching itself tells.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        if self.live.executor.clock_waits {
            return Some("the clock is wrong: jobs wait until the center has told the time");
        }
        self.live.executor.problem.as_deref()
    }
}

/// Bounds a text that came from outside.
pub(crate) fn bounded(text: &str) -> String {
    keros_protocol::limits::shorten(text, MAX_TEXT_BYTES)
}
