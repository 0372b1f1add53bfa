//! Keeps the state: moves it, stores it, and only then lets anything be done. It must not know how things are done.

use std::collections::VecDeque;

use keros_machine::{Arrival, Effect, Event, Now, State, step};
use keros_protocol::{Envelope, UnixSeconds};
use keros_service::Named;
use keros_service::log::{self, Subject};

use crate::store::{Store, StoredCommand};

/// How long after a failed write the next one is tried.
const STORE_RETRY_MS: u64 = 10_000;
/// How long the disk may be behind when nothing was done for what it does not have: what was heard comes again after a power
/// cut. So the many small messages around a job, and around telemetry, are one write.
const BEHIND_MS: u64 = 2000;

/// The state, and where it is stored.
#[derive(Debug)]
pub struct Keeper {
    /// The state. Only [`Keeper::apply`] moves it.
    pub state: State,
    /// Where it is stored.
    pub store: Store,
    unsaved: Option<Unsaved>,
    /// Since when the disk has an older state, of which nothing was told to anybody.
    behind_since_ms: Option<u64>,
}

/// The disk has an older state than this process.
#[derive(Debug)]
struct Unsaved {
    error: String,
    retry_at_ms: u64,
}

/// What acts for the state.
pub trait Hands {
    /// What the clocks say.
    fn now(&self) -> Now;

    /// Does one thing; gives back what followed at once.
    fn act(&mut self, state: &State, store: &Store, effect: Effect) -> Option<Event>;
}

impl Keeper {
    /// Of this state, as the store has it.
    #[must_use]
    pub const fn new(state: State, store: Store) -> Self {
        Self { state, store, unsaved: None, behind_since_ms: None }
    }

    /// After a start: what was owed is asked for again.
    pub fn boot(&mut self, hands: &mut impl Hands) {
        let removed = self.store.collect_orphans(self.state.jobs().iter().map(|job| job.command_id));
        if removed > 0 {
            tracing::info!(removed, "stored commands without a job were removed");
        }
        self.apply(vec![Event::Booted], hands);
    }

    /// Moves the state by these events, and does what follows.
    pub fn apply(&mut self, events: Vec<Event>, hands: &mut impl Hands) {
        let mut batches = VecDeque::from([events]);
        while let Some(events) = batches.pop_front() {
            let effects = self.step_and_store(hands.now(), events, &mut batches);
            for effect in effects {
                batches.extend(hands.act(&self.state, &self.store, effect).map(|event| vec![event]));
            }
        }
    }

    /// After the state was lost an expired command may have run: then the executor is asked first, and expiry is judged after
    /// that.
    #[must_use]
    pub fn time_to_judge_by(&self, now: Now) -> UnixSeconds {
        if self.state.is_after_loss() { 0 } else { self.state.judged_time(now) }
    }

    /// Puts a command that was judged on the disk; only then the state may hear of it. `None` when that cannot be done: the
    /// center sends it again.
    #[must_use]
    pub fn arrival(&self, arrival: Arrival, envelope: &Envelope) -> Option<Event> {
        let id = arrival.command_id;
        let command = || StoredCommand {
            envelope: envelope.clone(),
            statement: self.state.newest_statement().cloned(),
        };
        if arrival.is_eligible()
            && !self.state.knows(id)
            && self.state.has_room()
            && let Err(error) = self.store.save_command(id, &command())
        {
            let subject = Subject { command_id: id, update_id: arrival.update_id };
            let text = format_args!("the command is not taken: it cannot be stored: {error}");
            log::tell_of(Named::CommandNotTaken, subject, &text);
            self.store.remove_command(id);
            return None;
        }
        Some(Event::CommandArrived(arrival))
    }

    /// Moves and stores the state; what may be done is given back. The state in memory may go on without the disk, but a
    /// command is only taken when it is on the disk.
    fn step_and_store(
        &mut self,
        now: Now,
        events: Vec<Event>,
        batches: &mut VecDeque<Vec<Event>>,
    ) -> Vec<Effect> {
        let mut state = self.state.clone();
        let mut effects = Vec::new();
        for event in &events {
            let (moved, more) = step(now, state, event.clone());
            state = moved;
            effects.extend(more);
        }
        if self.may_be_later(now, &state, &events, &effects) {
            self.behind_since_ms.get_or_insert(now.monotonic_ms);
            self.state = state;
            return effects;
        }
        let Err(error) = self.store.save(state.kept()) else {
            self.state = state;
            self.behind_since_ms = None;
            if self.unsaved.take().is_some() {
                tracing::info!("the state is stored again");
                batches.push_back(vec![Event::StoreRecovered]);
            }
            return effects;
        };
        let error = error.to_string();
        if self.unsaved.is_none() {
            let text = format_args!("the state cannot be stored; free some room on the disk: {error}");
            log::tell(Named::StateNotStored, &text);
        }
        self.unsaved = Some(Unsaved { error, retry_at_ms: now.monotonic_ms + STORE_RETRY_MS });
        // From here on it is the retry that brings it to the disk.
        self.behind_since_ms = None;
        if events.iter().any(|event| matches!(event, Event::CommandArrived(_))) {
            batches.push_back(self.without_commands(events));
            return Vec::new();
        }
        self.state = state;
        effects.retain(|effect| !effect.needs_store());
        effects
    }

    /// Whether the state may be stored with the next one: nothing follows from it that needs it on the disk, and the time that is
    /// known to have passed is there.
    fn may_be_later(&self, now: Now, state: &State, events: &[Event], effects: &[Effect]) -> bool {
        let is_due = self.behind_since_ms.is_some_and(|since| now.monotonic_ms >= since + BEHIND_MS);
        let is_small = |event: &Event| {
            matches!(
                event,
                Event::StatementVerified(_)
                    | Event::TelemetryAnswered { .. }
                    | Event::Connected { .. }
                    | Event::Woken
            )
        };
        let is_urgent = !events.iter().all(is_small) || effects.iter().any(Effect::needs_store);
        let is_time_known = state.time_floor() == self.state.time_floor();
        self.unsaved.is_none() && !is_due && !is_urgent && is_time_known
    }

    /// Stores what the disk does not have yet, at the end.
    pub fn flush(&mut self) {
        let is_behind = self.behind_since_ms.take().is_some() || self.unsaved.is_some();
        if is_behind && let Err(error) = self.store.save(self.state.kept()) {
            tracing::error!(%error, "the state cannot be stored; free some room on the disk");
        }
    }

    fn without_commands(&self, mut events: Vec<Event>) -> Vec<Event> {
        events.retain(|event| {
            let Event::CommandArrived(arrival) = event else { return true };
            let subject = Subject { command_id: arrival.command_id, update_id: arrival.update_id };
            log::tell_of(Named::CommandNotTaken, subject, &"the command is not taken: it cannot be stored");
            if !self.state.knows(arrival.command_id) {
                self.store.remove_command(arrival.command_id);
            }
            false
        });
        events
    }

    /// When time must come around at the latest, on the monotonic clock.
    #[must_use]
    pub fn next_wake_ms(&self, now: Now) -> Option<u64> {
        let wake = keros_machine::next_wake_ms(&self.state, now);
        let retry = self.unsaved.as_ref().map(|unsaved| unsaved.retry_at_ms);
        let behind = self.behind_since_ms.map(|since| since + BEHIND_MS);
        [wake, retry, behind].into_iter().flatten().min()
    }

    /// Why the disk has an older state than this process, when it has.
    #[must_use]
    pub fn store_problem(&self) -> Option<&str> {
        self.unsaved.as_ref().map(|unsaved| unsaved.error.as_str())
    }
}

#[cfg(test)]
mod tests {
    use keros_machine::Setup;
    use keros_protocol::{Eui, ReportPosition};

    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    struct Clock(u64);

    impl Hands for Clock {
        fn now(&self) -> Now {
            Now { unix_s: 1_800_000_000, monotonic_ms: self.0 }
        }

        fn act(&mut self, _: &State, _: &Store, _: Effect) -> Option<Event> {
            None
        }
    }

    fn answered(digest: &str) -> Vec<Event> {
        vec![Event::TelemetryAnswered { packages_known: Some(digest.to_owned()) }]
    }

    fn keeper(folder: &std::path::Path, clock: &mut Clock) -> Keeper {
        let stream = ReportPosition { stream: uuid::Uuid::from_u128(1), number: 0 };
        let (store, kept, _) = Store::open(folder, EUI, stream, 1_800_000_000).unwrap();
        let setup = Setup {
            eui: EUI,
            telemetry_interval_ms: 3_600_000,
            telemetry_min_interval_ms: 60_000,
            built_at_unix_s: 1_700_000_000,
        };
        let mut keeper = Keeper::new(State::new(setup, kept), store);
        keeper.boot(clock);
        keeper
    }

    #[test]
    fn what_comes_again_anyway_is_stored_two_seconds_later_or_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut clock = Clock(10_000);
        let mut keeper = keeper(folder.path(), &mut clock);
        let on_disk = || std::fs::read_to_string(folder.path().join("state.json")).unwrap();

        keeper.apply(answered("sha256:first"), &mut clock);
        assert!(!on_disk().contains("first"), "nobody was told anything by it");
        let wake_ms = keeper.next_wake_ms(clock.now()).unwrap();
        assert!(wake_ms <= clock.0 + BEHIND_MS, "{wake_ms}");
        clock.0 += BEHIND_MS;
        keeper.apply(vec![Event::Woken], &mut clock);
        assert!(on_disk().contains("first"));

        keeper.apply(answered("sha256:second"), &mut clock);
        assert!(!on_disk().contains("second"));
        keeper.flush();
        assert!(on_disk().contains("second"));
    }

    #[test]
    fn with_a_full_disk_what_is_behind_waits_for_the_next_try() {
        let folder = tempfile::tempdir().unwrap();
        let mut clock = Clock(10_000);
        let mut keeper = keeper(folder.path(), &mut clock);
        keeper.apply(answered("sha256:first"), &mut clock);
        // As a full disk: nothing can be written there any more.
        let elsewhere = folder.path().with_extension("away");
        std::fs::rename(folder.path(), &elsewhere).unwrap();
        clock.0 += BEHIND_MS;
        keeper.apply(vec![Event::Woken], &mut clock);
        assert!(keeper.store_problem().is_some());
        let wake_ms = keeper.next_wake_ms(clock.now()).unwrap();
        assert_eq!(wake_ms, clock.0 + STORE_RETRY_MS, "or the agent would try without a pause");

        std::fs::rename(&elsewhere, folder.path()).unwrap();
        keeper.flush();
        assert!(std::fs::read_to_string(folder.path().join("state.json")).unwrap().contains("first"));
    }
}
