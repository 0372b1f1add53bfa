//! How a job stands, in words and for programs.

use std::fmt;

use keros_protocol::executor::Event;
use keros_protocol::{CommandId, Outcome};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::life::Phase;
use crate::state::State;
use crate::state::job::Job;
use crate::state::story::Story;

/// How a job stands.
pub(crate) struct Standing {
    phase: Phase,
    /// A process carries it on.
    is_held: bool,
    /// Seconds that are left of its window.
    left_s: Option<u64>,
    /// It can be undone on demand.
    can_be_undone: bool,
}

impl Standing {
    /// Reads it.
    pub(crate) fn of(state: &State, job: &Job) -> Result<Self, Failure> {
        let doing = format!("read the journal of job {}", job.id());
        let story = Story::read(job.disk(), &job.journal_path()).map_err(Failure::io(doing))?;
        let phase = match (story.life.phase, job.outcome()) {
            (phase @ Phase::Ended { .. }, _) => phase,
            // The end is kept twice: an old job has no journal any more, another one may be damaged.
            (_, Some(Event::Ended { outcome })) => Phase::Ended { outcome: Box::new(outcome), undone: None },
            (phase, _) => phase,
        };
        let has_ended = matches!(phase, Phase::Ended { .. });
        Ok(Self {
            is_held: !has_ended && state.running()? == Some(job.id()),
            left_s: left_s(state, &phase),
            can_be_undone: has_ended && job.disk().exists(&job.backup_folder()).unwrap_or(false),
            phase,
        })
    }

    /// For programs.
    pub(crate) fn json(&self, id: CommandId) -> Value {
        let mut value = json!({ "command_id": id, "standing": self.word(), "outcome": self.outcome() });
        let more = match &self.phase {
            Phase::Provisional(provisional) => {
                json!({ "when_confirmed": provisional.outcome, "left_s": self.left_s })
            }
            Phase::RollingBack { reason, .. } => json!({ "reason": reason }),
            Phase::Undone { reason, remains, .. } | Phase::Rebooting { reason, remains, .. } => {
                json!({ "reason": reason, "remains": remains })
            }
            Phase::Ended { undone, .. } => {
                json!({ "can_be_undone": self.can_be_undone, "undone": undone.is_some() })
            }
            Phase::Unborn | Phase::Tasks { .. } | Phase::PartEnded { .. } | Phase::Confirmed { .. } => {
                json!({})
            }
        };
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    }

    const fn word(&self) -> &'static str {
        match &self.phase {
            Phase::Ended { .. } => "ended",
            _ if !self.is_held => "unsettled",
            Phase::Unborn | Phase::Tasks { .. } | Phase::Confirmed { .. } => "running",
            Phase::Provisional(_) => "confirming",
            Phase::RollingBack { .. } | Phase::Undone { .. } => "rolling_back",
            Phase::PartEnded { .. } | Phase::Rebooting { .. } => "rebooting",
        }
    }

    fn outcome(&self) -> Option<&Outcome> {
        if let Phase::Ended { outcome, .. } = &self.phase { Some(outcome) } else { None }
    }
}

fn left_s(state: &State, phase: &Phase) -> Option<u64> {
    let Phase::Provisional(provisional) = phase else { return None };
    let host = state.host();
    let left_ms = provisional.until_boottime_ms.saturating_sub(host.boottime_ms());
    // After another boot it is begun anew.
    Some(if provisional.boot_id == host.boot_id() {
        left_ms.div_ceil(1000)
    } else {
        provisional.window_s.into()
    })
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.phase {
            Phase::Ended { outcome, undone } => {
                outcome.fmt(f)?;
                match undone {
                    Some(remains) if remains.is_empty() => f.write_str(", undone on demand")?,
                    Some(_) => f.write_str(", undone on demand in part")?,
                    None => {}
                }
            }
            Phase::Unborn | Phase::Tasks { .. } | Phase::Confirmed { .. } => f.write_str("running")?,
            Phase::PartEnded { task, .. } => write!(f, "waits for the reboot that task {task} asked for")?,
            Phase::Provisional(provisional) => {
                let left_s = self.left_s.unwrap_or_default();
                write!(f, "{}, to be confirmed within {left_s} s, else undone", provisional.outcome)?;
            }
            Phase::RollingBack { reason, .. } => write!(f, "is being undone: {reason}")?,
            Phase::Undone { reason, .. } => {
                write!(f, "undone: {reason}; waits for the center, else reboots")?
            }
            Phase::Rebooting { reason, .. } => write!(f, "undone: {reason}; waits for the reboot")?,
        }
        if self.is_held || self.outcome().is_some() {
            return Ok(());
        }
        f.write_str(
            " (its process is gone; `keros-executor settle`, or the agent's next request, carries it on)",
        )
    }
}
