//! What Magic Links need: sources that fail, refuse or never give anything, a fetcher that is lost with the agent's process, and
//! copies on a disk that loses what was whole.

use std::collections::{BTreeMap, BTreeSet};

use keros_machine::{Event, FetchEnd, Job, Phase, State};
use keros_protocol::{CommandId, Outcome, RefusalReason};

use super::World;

/// A bundle comes in so many parts.
const PARTS: u32 = 3;
const DAY_MS: u64 = 86_400_000;
/// What the world's sources refuse.
pub(crate) const UNDECLARED: RefusalReason = RefusalReason::NotDeclared;

/// What becomes of the attempts to fetch a bundle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Source {
    Gives,
    /// It cannot be reached, ever.
    Away,
    /// The manifest shows that this gateway must not have it.
    Refuses,
}

/// The fetcher, and the disk that it writes to.
#[derive(Default)]
pub(crate) struct Bundles {
    copies: BTreeMap<CommandId, Copy>,
    under_way: Option<Attempt>,
    /// What the machine was told to be there, in this run of the agent.
    told: BTreeSet<CommandId>,
    /// Since when nothing has come, in this run of the agent.
    stuck_since_ms: BTreeMap<CommandId, u64>,
}

#[derive(Clone, Copy)]
struct Attempt {
    id: CommandId,
    rehash: bool,
}

#[derive(Default)]
struct Copy {
    parts: u32,
    bad: bool,
    /// It was whole at some time.
    was_whole: bool,
    /// Once the executor has found it bad.
    damaged_since_doubt: Option<bool>,
}

impl Bundles {
    /// What the executor says to the copy that it is given.
    pub(crate) fn refusal(&self, id: CommandId) -> Option<RefusalReason> {
        let copy = self.copies.get(&id)?;
        match (copy.parts, copy.bad) {
            (PARTS, false) => None,
            (PARTS, true) => Some(RefusalReason::DigestMismatch),
            _ => Some(RefusalReason::NotFound),
        }
    }

    /// The machine orders a bad copy to be fetched again.
    pub(crate) fn doubted(&mut self, id: CommandId) {
        if let Some(copy) = self.copies.get_mut(&id) {
            copy.damaged_since_doubt = Some(false);
        }
    }

    pub(crate) fn was_whole(&self, id: CommandId) -> bool {
        self.copies.get(&id).is_some_and(|copy| copy.was_whole)
    }

    /// The agent's process is lost; the disk is not.
    pub(crate) fn crashed(&mut self) {
        let copies = std::mem::take(&mut self.copies);
        *self = Self { copies, ..Self::default() };
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }
}

impl World {
    pub(crate) fn fetch_ordered(&mut self, id: CommandId, rehash: bool) {
        let (seed, true_ms) = (self.seed, self.true_ms);
        let other = self.bundles.under_way.replace(Attempt { id, rehash }).map(|attempt| attempt.id);
        assert!(other.is_none(), "seed {seed}: one_fetch_at_a_time: {id} beside {other:?}");
        self.bundles.stuck_since_ms.entry(id).or_insert(true_ms);
    }

    pub(crate) fn fetch_stopped(&mut self, id: CommandId) {
        let seed = self.seed;
        let stopped = self.bundles.under_way.take().map(|attempt| attempt.id);
        assert_eq!(stopped, Some(id), "seed {seed}: what_is_fetched_is_wanted: the other one was stopped");
        self.counts.stopped += 1;
        // Its end is on the way already.
        if !self.calm && self.random.percent(30) {
            self.happen(Event::FetchEnded { command_id: id, end: failed(false) });
        }
    }

    /// The fetcher goes on.
    pub(crate) fn fetch(&mut self) {
        let Some(attempt) = self.bundles.under_way else { return };
        let id = attempt.id;
        let end = match self.center.orders[&id].source.unwrap() {
            Source::Away => Some(failed(false)),
            Source::Refuses => Some(FetchEnd::Refused { reason: UNDECLARED, detail: "no".to_owned() }),
            Source::Gives => self.part_comes(attempt),
        };
        let Some(end) = end else { return };
        self.bundles.under_way = None;
        match &end {
            FetchEnd::Complete => {
                self.counts.fetched += 1;
                self.bundles.told.insert(id);
            }
            FetchEnd::Failed { progressed, .. } => {
                self.counts.fetch_failures += 1;
                if *progressed {
                    self.bundles.stuck_since_ms.insert(id, self.true_ms);
                }
            }
            FetchEnd::Refused { .. } => {}
        }
        self.happen(Event::FetchEnded { command_id: id, end });
    }

    fn part_comes(&mut self, attempt: Attempt) -> Option<FetchEnd> {
        let fails = !self.calm && self.random.percent(40);
        let copy = self.bundles.copies.entry(attempt.id).or_default();
        if attempt.rehash && copy.bad {
            (copy.parts, copy.bad) = (0, false);
        }
        if copy.parts == PARTS {
            return Some(FetchEnd::Complete);
        }
        copy.parts += 1;
        copy.bad = false;
        copy.was_whole |= copy.parts == PARTS;
        fails.then(|| failed(true))
    }

    /// The disk loses a part of a copy, or a bit of it.
    pub(crate) fn damage_a_copy(&mut self) {
        let count = self.bundles.copies.len() as u64;
        if count == 0 {
            return;
        }
        let chosen = self.random.below(count) as usize;
        let is_bit = self.random.percent(50);
        let Some(copy) = self.bundles.copies.values_mut().nth(chosen) else { return };
        copy.damaged_since_doubt = copy.damaged_since_doubt.and(Some(true));
        if is_bit {
            copy.bad = true;
        } else {
            copy.parts = copy.parts.saturating_sub(1);
        }
    }

    /// Of what is fetched when all that was ordered is done.
    pub(crate) fn check_fetching(&self) {
        let Some(Attempt { id, .. }) = self.bundles.under_way else { return };
        let waits = |job: &&Job| {
            job.needs_bundle
                && job.phase == Phase::Accepted {}
                && (job.command_id == id || !self.bundles.told.contains(&job.command_id))
        };
        let oldest = self.state.jobs().iter().find(waits).map(|job| job.command_id);
        assert_eq!(oldest, Some(id), "seed {}: what_is_fetched_is_wanted", self.seed);
    }

    /// A job that ends so was not given up too early.
    pub(crate) fn check_unfetched(&self, id: CommandId, outcome: &Outcome) {
        let Outcome::Refused { reason: RefusalReason::FetchFailed, detail } = outcome else { return };
        let (seed, order) = (self.seed, &self.center.orders[&id]);
        let stuck_ms = self.bundles.stuck_since_ms.get(&id).map_or(0, |since_ms| self.true_ms - since_ms);
        let is_over = detail.contains("time was over") && order.expires_at_unix_s <= self.true_s() + 1;
        assert!(
            is_over || stuck_ms >= DAY_MS,
            "seed {seed}: nothing_is_given_up_early: {id} after {stuck_ms} ms: {detail}"
        );
    }

    /// A job that is refused for its copy: it was fetched anew, and damaged again since then.
    pub(crate) fn check_refused_copy(&self, id: CommandId, outcome: &Outcome) {
        let of_copy = matches!(
            outcome,
            Outcome::Refused { reason: RefusalReason::DigestMismatch | RefusalReason::NotFound, .. }
        );
        let again = self.bundles.copies.get(&id).is_some_and(|copy| copy.damaged_since_doubt == Some(true));
        assert!(!of_copy || again, "seed {}: a_bad_copy_is_mended: {id}", self.seed);
    }

    /// Jobs start in the order in which they came.
    pub(crate) fn check_order(&self, after: &State, started: CommandId) {
        let before = after.jobs().iter().take_while(|job| job.command_id != started);
        let waits = before.filter(|job| job.phase == Phase::Accepted {}).map(|job| job.command_id).next();
        assert!(waits.is_none(), "seed {}: in_the_order_of_arrival: {started} before {waits:?}", self.seed);
    }
}

fn failed(progressed: bool) -> FetchEnd {
    FetchEnd::Failed { message: "no route".to_owned(), progressed }
}
