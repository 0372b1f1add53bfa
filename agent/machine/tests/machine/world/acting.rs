//! What the machine wants done, as the shell does it: step, store, act; with a crash at any point.

use keros_machine::{Effect, Event, Job, Note, Phase, State, step};
use keros_protocol::Report;

use super::{MIN_INTERVAL_MS, Wall, World, setup};

impl World {
    /// One event through the machine as the shell does it; what follows from its effects comes after all of them.
    pub(super) fn happen(&mut self, event: Event) {
        self.queue.push_back(event);
        while !self.acting
            && let Some(event) = self.queue.pop_front()
        {
            self.acting = true;
            self.happen_now(event);
            self.acting = false;
        }
    }

    /// Step, store, act; with a crash at any point.
    fn happen_now(&mut self, event: Event) {
        let is_command = matches!(event, Event::CommandArrived(_));
        let (state, mut effects) = step(self.now(), self.state.clone(), event);
        self.check_step(&state);
        if self.crash_now() {
            return;
        }
        if self.disk_full {
            self.unsaved = true;
            if is_command {
                return;
            }
            effects.retain(|effect| !effect.needs_store());
        } else {
            self.store(&state);
        }
        self.state = state;
        for effect in effects {
            self.counts.effects += 1;
            let crashes = self.counts.crashes;
            if self.crash_now() {
                return;
            }
            self.act(effect);
            if self.counts.crashes != crashes {
                // What was done led to another crash: the rest of this process's effects is gone.
                return;
            }
        }
        if self.unsaved && !self.disk_full {
            self.unsaved = false;
            self.happen(Event::StoreRecovered);
        }
    }

    fn store(&mut self, state: &State) {
        self.disk = state.kept().clone();
        let started = |job: &&Job| !matches!(job.phase, Phase::Accepted {} | Phase::Starting {});
        self.past_start.extend(state.jobs().iter().filter(started).map(|job| job.command_id));
        self.past_start.extend(state.ended().map(|job| job.command_id));
    }

    fn crash_now(&mut self) -> bool {
        let crash = !self.calm && self.random.percent(2);
        if crash && self.random.percent(20) {
            self.lose_power();
        } else if crash {
            self.crash();
        }
        crash
    }

    /// The agent's process is lost, and begins anew with what the disk has.
    fn crash(&mut self) {
        self.counts.crashes += 1;
        self.queue.clear();
        self.acting = false;
        self.executor.sessions.clear();
        self.bundles.crashed();
        self.connected = false;
        self.reset = false;
        self.unsaved = false;
        self.process_at_ms = self.true_ms;
        self.telemetry_at_ms = None;
        self.exempt.clear();
        let disk = serde_json::to_string(&self.disk).unwrap();
        self.state = State::new(setup(), serde_json::from_str(&disk).unwrap());
        self.happen(Event::Booted);
    }

    /// The gateway is without power for a moment, or for days.
    fn lose_power(&mut self) {
        let off_s = if self.random.percent(60) { self.random.below(3 * 86_400) } else { 1 };
        self.boot(off_s);
    }

    pub(super) fn boot(&mut self, off_s: u64) {
        self.counts.boots += 1;
        self.true_ms += off_s * 1000;
        self.boot_at_ms = self.true_ms;
        self.wall = match self.random.below(4) {
            0 => Wall::SinceBoot,
            1 => Wall::FiftyYearsAhead,
            _ => Wall::Right,
        };
        self.executor.booted(0);
        self.crash();
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(report) => self.publish(&report),
            Effect::SendTelemetry { nonces } => self.telemetry(nonces),
            Effect::Reconnect => self.reset = true,
            Effect::OpenSession { session, command_id, request } => self.open(session, command_id, request),
            Effect::CloseSession { session } => {
                self.executor.sessions.remove(&session);
            }
            Effect::Fetch { command_id, rehash } => self.fetch_ordered(command_id, rehash),
            Effect::StopFetch { command_id } => self.fetch_stopped(command_id),
            Effect::Note(Note::BadCopy(id, _)) => self.bundles.doubted(id),
            Effect::ForgetEnvelope { .. } | Effect::Note(_) => {}
        }
    }

    fn telemetry(&mut self, nonces: Vec<String>) {
        let soon_ms = self.telemetry_at_ms.map_or(u64::MAX, |at_ms| self.true_ms - at_ms);
        let exempt = nonces.iter().any(|nonce| !self.exempt.contains(nonce));
        let seed = self.seed;
        assert!(
            soon_ms >= MIN_INTERVAL_MS || exempt,
            "seed {seed}: telemetry_is_bounded: {soon_ms} ms after the last one, with {nonces:?}"
        );
        assert!(self.connected, "seed {seed}: telemetry without a connection");
        self.telemetry_at_ms = Some(self.true_ms);
        self.exempt.extend(nonces.clone());
        if self.calm || self.random.percent(80) {
            self.center.nonces = nonces;
        }
    }

    fn publish(&mut self, report: &Report) {
        let (number, seed) = (report.position.number, self.seed);
        let said = (report.command_id, report.outcome.clone());
        let before = self.published.insert(number, said.clone());
        assert!(
            before.is_none_or(|before| before == said),
            "seed {seed}: number_given_once: {number} was given twice"
        );
        assert!(report.after < number, "seed {seed}: reports_in_order: {number} after {}", report.after);
        if self.connected && (self.calm || self.random.percent(80)) {
            self.center.report(report);
        }
    }
}
