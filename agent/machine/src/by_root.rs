//! Root wants a job cancelled, on the gateway. The agent can do that by itself only with what waits: a job that was handed over
//! is the executor's, which does not take the agent's word for it. There root asks by itself.

use keros_protocol::{CommandId, Outcome};

use crate::effect::Effect;
use crate::event::Now;
use crate::job::{JobEvent, Phase};
use crate::state::State;
use crate::step::job_event;

/// What becomes of root's wish.
#[derive(Debug, Clone, PartialEq)]
pub enum RootCancel {
    /// It waits, and ends as it is told.
    Waits,
    /// It was handed to the executor, which root must ask. It ends as cancelled too, should it turn out that it was not started.
    HandedOver,
    /// It has ended; the outcome is absent when that was so long ago that only the id is kept.
    TooLate(Option<Outcome>),
    /// No such command was taken.
    Unknown,
}

impl State {
    /// What [`crate::Event::CancelledByRoot`] means for this command now.
    #[must_use]
    pub fn root_cancel(&self, id: CommandId) -> RootCancel {
        if let Some(job) = self.jobs().iter().find(|job| job.command_id == id) {
            return if job.phase == (Phase::Accepted {}) {
                RootCancel::Waits
            } else {
                RootCancel::HandedOver
            };
        }
        let ended = self.ended().find(|job| job.command_id == id);
        match ended {
            Some(job) => RootCancel::TooLate(Some(job.outcome.clone())),
            None if self.knows(id) => RootCancel::TooLate(None),
            None => RootCancel::Unknown,
        }
    }
}

/// Takes root's wish.
pub(crate) fn cancel(state: &mut State, now: Now, id: CommandId, effects: &mut Vec<Effect>) {
    let Some(job) = state.kept.jobs.iter_mut().find(|job| job.command_id == id) else { return };
    // It may come back to wait.
    job.cancelled_by_root = true;
    job_event(state, now, id, JobEvent::RootCancels, effects);
}
