//! Sessions with the executor.

use keros_machine::{Event, SessionRequest};
use keros_protocol::{CommandId, Outcome, executor as executor_protocol};

use super::executor::{After, Nature};
use super::{World, signed};

impl World {
    pub(super) fn open(&mut self, session: u64, id: CommandId, request: SessionRequest) {
        let seed = self.seed;
        if request == SessionRequest::Run {
            assert!(!self.past_start.contains(&id), "seed {seed}: never_run_again: {id}");
        }
        if !self.executor.reachable {
            let message = "refused".to_owned();
            self.happen(Event::SessionClosed { session, handed_over: false, message });
            return;
        }
        let told = self.executor.work.get(&id).map_or(0, |work| work.journal.len());
        match request {
            SessionRequest::Run | SessionRequest::Attach => self.open_following(session, id, &request),
            SessionRequest::Cancel { statement } => {
                let event = self.executor.cancel(id, &signed(&statement));
                self.answer(session, id, told, event);
            }
            SessionRequest::Confirm { statement } => {
                let event = self.executor.confirm(id, &signed(&statement));
                self.answer(session, id, told, event);
            }
        }
    }

    /// The one answer of a side session, which may be lost; whoever follows the job hears the rest.
    pub(super) fn answer(
        &mut self,
        session: u64,
        id: CommandId,
        told: usize,
        event: executor_protocol::Event,
    ) {
        let crashes = self.counts.crashes;
        if self.calm || self.random.percent(80) {
            self.happen(Event::Executor { session, event });
        }
        if self.counts.crashes == crashes {
            self.happen(Event::SessionClosed { session, handed_over: true, message: "end".to_owned() });
        }
        if self.counts.crashes == crashes && self.executor.work.contains_key(&id) {
            self.tell_followers(id, told);
        }
    }

    fn open_following(&mut self, session: u64, id: CommandId, request: &SessionRequest) {
        let seed = self.seed;
        let busy = self.executor.running().is_some_and(|running| running != id);
        assert!(!busy, "seed {seed}: one_job_at_a_time");
        if *request == SessionRequest::Attach && !self.executor.work.contains_key(&id) {
            let event =
                executor_protocol::Event::RequestFailed { message: "unknown".to_owned(), unknown: false };
            self.happen(Event::Executor { session, event });
            return;
        }
        if self.refuses_copy(session, id) {
            return;
        }
        let expired = self.center.orders[&id].expires_at_unix_s <= self.true_s();
        let nature = Nature {
            has_window: self.random.percent(60),
            remains: self.random.percent(40),
            reboots_at: self.random.percent(20).then_some(2),
        };
        self.executor.run(id, expired, nature);
        self.executor.sessions.insert(session, id);
        // A slow pipe: the session may be lost before the first line comes.
        if self.calm || self.random.percent(60) {
            self.replay(session, id, 0);
        } else if self.random.percent(70) {
            self.lose_session();
            self.cancel();
        }
    }

    /// Before it starts a job, the executor checks its bundle.
    fn refuses_copy(&mut self, session: u64, id: CommandId) -> bool {
        let seed = self.seed;
        if self.center.orders[&id].source.is_none() || self.executor.work.contains_key(&id) {
            return false;
        }
        assert!(self.bundles.was_whole(id), "seed {seed}: no_start_without_its_bundle: {id}");
        let Some(reason) = self.bundles.refusal(id) else { return false };
        self.counts.bad_copies += 1;
        let outcome = Outcome::Refused { reason, detail: "the copy".to_owned() };
        // The word may be lost.
        if self.calm || self.random.percent(80) {
            self.happen(Event::Executor { session, event: executor_protocol::Event::Ended { outcome } });
        }
        self.happen(Event::SessionClosed { session, handed_over: true, message: "over".to_owned() });
        true
    }

    /// All events from this one on, as `attach` repeats them.
    fn replay(&mut self, session: u64, id: CommandId, from: usize) {
        let events = self.executor.work[&id].journal[from..].to_vec();
        let crashes = self.counts.crashes;
        for event in events {
            if self.counts.crashes == crashes {
                self.happen(Event::Executor { session, event });
            }
        }
    }

    /// Whoever follows the job hears what its journal has from this event on.
    pub(super) fn tell_followers(&mut self, id: CommandId, from: usize) {
        let followers: Vec<_> =
            self.executor.sessions.iter().filter(|(_, of)| **of == id).map(|(session, _)| *session).collect();
        let crashes = self.counts.crashes;
        for session in followers {
            if self.counts.crashes == crashes {
                self.replay(session, id, from);
            }
        }
    }

    /// The running job goes on by one step.
    pub(super) fn work(&mut self) {
        let Some(id) = self.executor.running() else { return };
        if self.calm && self.center.orders[&id].cancelled && self.executor.work[&id].can_be_stopped() {
            // Its task takes long: the cancellation must come through before it ends.
            let since_ms = *self.calm_cancel_ms.get_or_insert(self.true_ms);
            let (seed, waited_ms) = (self.seed, self.true_ms - since_ms);
            assert!(waited_ms < 1_200_000, "seed {seed}: cancellation_reaches_the_executor: {id}");
            return;
        }
        self.calm_cancel_ms = None;
        let before = self.executor.work[&id].journal.len();
        let after = self.executor.step(id, self.boot_ms());
        let crashes = self.counts.crashes;
        self.tell_followers(id, before);
        if matches!(after, After::Reboot) && self.counts.crashes == crashes {
            self.boot(1);
        }
    }

    pub(super) fn lose_session(&mut self) {
        if let Some((session, _)) = self.executor.sessions.pop_first() {
            self.happen(Event::SessionClosed { session, handed_over: true, message: "lost".to_owned() });
        }
    }
}
