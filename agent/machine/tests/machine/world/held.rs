//! What holds after each step, and at the end of a history.

use keros_machine::{ClockFit, MAX_OPEN_JOBS, MAX_OUTBOX, Phase, State};
use keros_protocol::{Outcome, RefusalReason};

use super::{TIME_ANSWER_S, World, executor};

impl World {
    /// Nothing fails any more, only the clock may stay wrong: all must come to an end.
    pub(crate) fn settle(&mut self) {
        self.calm = true;
        self.disk_full = false;
        self.executor.reachable = true;
        self.hard_windows = self.executor.with_window().collect();
        for _ in 0..3000 {
            if self.is_settled() {
                return;
            }
            self.link();
            self.downlink();
            self.work();
            self.fetch();
            self.root_asks();
            self.sleep();
            self.check_fetching();
        }
        let open: Vec<_> = self
            .center
            .orders
            .iter()
            .filter(|(_, order)| order.terminal.is_none())
            .map(|(id, _)| id)
            .collect();
        panic!("seed {}: everything_ends: {open:?} have no end; {:?}", self.seed, self.state);
    }

    fn is_settled(&self) -> bool {
        let told = self.center.orders.values().all(|order| order.terminal.is_some());
        told && self.state.reports_pending() == 0 && self.bundles.is_idle() && self.root_wish.is_none()
    }

    /// What must hold between two states.
    pub(super) fn check_step(&mut self, after: &State) {
        let (seed, true_s) = (self.seed, self.true_s());
        for job in after.jobs().iter().filter(|job| job.phase == Phase::Starting {}) {
            let expires = self.center.orders[&job.command_id].expires_at_unix_s;
            let was = self.state.jobs().iter().find(|before| before.command_id == job.command_id);
            let starts = was.is_none_or(|before| before.phase == Phase::Accepted {});
            let id = job.command_id;
            assert!(
                !starts || true_s < expires + TIME_ANSWER_S || job.by_hand,
                "seed {seed}: nothing_expired_runs: {id}, {} s late, clock {:?}",
                true_s - expires,
                self.wall
            );
            assert!(!(starts && job.cancelled_by_root), "seed {seed}: cancelled_by_root_never_starts: {id}");
            if starts {
                self.check_order(after, id);
                let absurd = after.time_judge().fit(self.now()) != ClockFit::Fits;
                self.counts.by_hand += u64::from(job.by_hand && absurd);
            }
        }
        let waits_for_clock = after.problem().is_some_and(|problem| problem.contains("clock"));
        let by_hand = after.jobs().first().is_some_and(|job| job.by_hand && job.phase == Phase::Accepted {});
        assert!(!(by_hand && waits_for_clock), "seed {seed}: what_is_brought_needs_no_clock");
        let newest = after
            .ended()
            .next()
            .filter(|job| self.state.jobs().iter().any(|j| j.command_id == job.command_id));
        if let Some(job) = newest {
            self.check_unfetched(job.command_id, &job.outcome);
            self.check_refused_copy(job.command_id, &job.outcome);
        }
        if let Some(job) = newest
            && matches!(job.outcome, Outcome::Refused { reason: RefusalReason::Expired, .. })
            && !self.executor.work.contains_key(&job.command_id)
        {
            let expires = self.center.orders[&job.command_id].expires_at_unix_s;
            assert!(expires <= true_s + 1, "seed {seed}: nothing_expires_early: {}", job.command_id);
        }
        assert!(after.time_floor() <= true_s, "seed {seed}: floor_is_never_ahead");
        assert!(after.jobs().len() <= MAX_OPEN_JOBS, "seed {seed}: stores_are_bounded: jobs");
        let most = MAX_OUTBOX + 3 * MAX_OPEN_JOBS;
        assert!(after.reports_pending() as usize <= most, "seed {seed}: stores_are_bounded: reports");
    }

    /// The center's truth is the executor's.
    pub(crate) fn check(&mut self) {
        let seed = self.seed;
        for (id, order) in &self.center.orders {
            let work = self.executor.work.get(id);
            let starts = work.map_or(0, |work| work.starts);
            assert!(starts <= 1, "seed {seed}: started_at_most_once: {id}, {starts} times");
            assert!(!order.never_to_start || starts == 0, "seed {seed}: cancelled_before_it_came: {id}");
            let told = order.terminal.as_ref().unwrap();
            let by_root = matches!(told, Outcome::Cancelled { task: None, by_root: true, .. });
            assert!(
                by_root || !self.cancelled_by_root.contains(id),
                "seed {seed}: root_was_told_the_truth: {id} is {told}"
            );
            match work.and_then(|work| work.end.as_ref()) {
                Some(end) => assert_eq!(told, end, "seed {seed}: the_center_knows_the_truth: {id}"),
                None => assert!(
                    starts == 0
                        && matches!(told, Outcome::Refused { .. } | Outcome::Cancelled { task: None, .. }),
                    "seed {seed}: the_center_knows_the_truth: {id} was started {starts} times, yet {told}"
                ),
            }
            let unconfirmed =
                matches!(told, Outcome::RolledBack { reason, .. } if reason == executor::NOT_CONFIRMED);
            assert!(
                !unconfirmed || self.hard_windows.contains(id),
                "seed {seed}: reachable_center_confirms: {id} was undone"
            );
            match told {
                Outcome::RolledBack { .. } => self.counts.rolled_back += 1,
                Outcome::Cancelled { .. } => self.counts.cancelled += 1,
                Outcome::Refused { reason: RefusalReason::Expired, .. } => self.counts.expired += 1,
                Outcome::Refused { reason: RefusalReason::FetchFailed, .. } => self.counts.unfetched += 1,
                Outcome::Interrupted { .. } => self.counts.interrupted += 1,
                Outcome::Succeeded { .. } => self.counts.succeeded += 1,
                _ => {}
            }
            self.counts.confirmed += u64::from(work.is_some_and(|work| work.confirmed));
        }
        assert!(self.state.jobs().is_empty(), "seed {seed}");
    }
}
