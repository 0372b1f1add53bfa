//! Root at the gateway, who cancels a job as `keros-agent cancel` does: the agent is asked, then the executor where the job is, and
//! again as long as neither knows.

use keros_machine::{Event, RootCancel};
use keros_protocol::executor::CancelAnswer;

use super::World;

impl World {
    /// Now and then root wants something cancelled, or asks again.
    pub(super) fn root(&mut self) {
        let open: Vec<_> = self.state.jobs().iter().map(|job| job.command_id).collect();
        if self.root_wish.is_none() && !open.is_empty() && self.random.percent(12) {
            self.root_wish = Some(open[self.random.below(open.len() as u64) as usize]);
        }
        self.root_asks();
    }

    pub(super) fn root_asks(&mut self) {
        let Some(id) = self.root_wish else { return };
        let crashes = self.counts.crashes;
        let answer = self.state.root_cancel(id);
        if matches!(answer, RootCancel::Waits | RootCancel::HandedOver) {
            self.happen(Event::CancelledByRoot { command_id: id });
        }
        // The agent was lost before it could answer, or says that it cannot store it.
        if self.counts.crashes != crashes || self.unsaved {
            return;
        }
        match answer {
            RootCancel::Waits => {
                assert!(self.state.jobs().iter().all(|job| job.command_id != id), "it has ended");
                self.counts.by_root += 1;
                self.cancelled_by_root.insert(id);
                self.root_wish = None;
            }
            RootCancel::HandedOver if self.executor.reachable => {
                let told = self.executor.work.get(&id).map_or(0, |work| work.journal.len());
                if self.executor.cancel_by_root(id) != CancelAnswer::Unknown {
                    self.root_wish = None;
                    self.tell_followers(id, told);
                }
            }
            RootCancel::HandedOver => {}
            RootCancel::TooLate(_) | RootCancel::Unknown => self.root_wish = None,
        }
    }
}
