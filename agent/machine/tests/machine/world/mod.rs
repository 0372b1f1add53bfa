//! A small world around the machine: a gateway with a disk and a clock, an executor, a network and a center. Each of them
//! fails at random, and the machine is crashed between any two of its effects. The invariants are named where they are held;
//! `INVARIANTS.md` lists them.

mod acting;
mod bundles;
mod center;
mod counts;
mod executor;
mod held;
mod network;
mod random;
mod root;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keros_machine::{Event, Kept, Now, Setup, State, next_wake_ms};
use keros_protocol::{CommandId, Envelope, Eui, Outcome, ReportPosition, Statement};

use bundles::Bundles;
use center::Center;
pub(crate) use counts::Counts;
use executor::Executor;
use random::Random;

pub(crate) const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const START_UNIX_S: u64 = 1_800_000_000;
const FIFTY_YEARS_S: u64 = 50 * 365 * 86_400;
const MIN_INTERVAL_MS: u64 = 60_000;
/// An answer to a question for the time may be that old.
const TIME_ANSWER_S: u64 = 601;

pub(crate) struct World {
    random: Random,
    seed: u64,
    /// Nothing fails any more.
    calm: bool,
    /// What the clock of the gateway says.
    wall: Wall,
    true_ms: u64,
    boot_at_ms: u64,
    process_at_ms: u64,
    state: State,
    disk: Kept,
    disk_full: bool,
    unsaved: bool,
    connected: bool,
    /// The connection is to be ended.
    reset: bool,
    /// What has happened while the effects of something else were carried out.
    queue: VecDeque<Event>,
    acting: bool,
    executor: Executor,
    bundles: Bundles,
    center: Center,
    /// Every report ever published, by number.
    published: BTreeMap<u64, (CommandId, Outcome)>,
    /// Commands that the disk has as running or ended: they must never be run again.
    past_start: BTreeSet<CommandId>,
    telemetry_at_ms: Option<u64>,
    /// Nonces that were exempt from the shortest interval, on this connection.
    exempt: BTreeSet<String>,
    nonces: u64,
    /// Jobs whose window began while things still failed.
    hard_windows: BTreeSet<CommandId>,
    /// What root wants cancelled on the gateway, and has no final answer to.
    root_wish: Option<CommandId>,
    /// Jobs that root was told are cancelled.
    cancelled_by_root: BTreeSet<CommandId>,
    /// Since when a cancellation is on its way to the executor.
    calm_cancel_ms: Option<u64>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wall {
    Right,
    FiftyYearsAhead,
    FiftyYearsBehind,
    /// A gateway without a clock battery.
    SinceBoot,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let stream = r#"{"stream":"00000000-0000-0000-0000-00000000000a","number":0}"#;
        let kept = Kept::new(serde_json::from_str::<ReportPosition>(stream).unwrap());
        Self {
            random: Random::new(seed),
            seed,
            calm: false,
            wall: Wall::Right,
            true_ms: START_UNIX_S * 1000,
            boot_at_ms: START_UNIX_S * 1000,
            process_at_ms: START_UNIX_S * 1000,
            disk: kept.clone(),
            state: State::new(setup(), kept),
            disk_full: false,
            unsaved: false,
            connected: false,
            reset: false,
            queue: VecDeque::new(),
            acting: false,
            executor: Executor { reachable: true, ..Executor::default() },
            bundles: Bundles::default(),
            center: Center::default(),
            published: BTreeMap::new(),
            past_start: BTreeSet::new(),
            telemetry_at_ms: None,
            exempt: BTreeSet::new(),
            nonces: 0,
            hard_windows: BTreeSet::new(),
            root_wish: None,
            cancelled_by_root: BTreeSet::new(),
            calm_cancel_ms: None,
            counts: Counts::default(),
        }
    }

    fn now(&self) -> Now {
        let true_s = self.true_s();
        let unix_s = match self.wall {
            Wall::Right => true_s,
            Wall::FiftyYearsAhead => true_s + FIFTY_YEARS_S,
            Wall::FiftyYearsBehind => true_s - FIFTY_YEARS_S,
            Wall::SinceBoot => 1000 + self.boot_ms() / 1000,
        };
        Now { unix_s, monotonic_ms: self.true_ms - self.process_at_ms }
    }

    fn true_s(&self) -> u64 {
        self.true_ms / 1000
    }

    fn boot_ms(&self) -> u64 {
        self.true_ms - self.boot_at_ms
    }

    /// Sleeps as the shell does, to the next deadline or a while.
    fn sleep(&mut self) {
        let now_ms = self.now().monotonic_ms;
        let a_while = now_ms + self.random.below(120_000) + 1;
        let wake = next_wake_ms(&self.state, self.now()).unwrap_or(a_while);
        self.true_ms += if self.calm { wake.clamp(now_ms + 10, now_ms + 600_000) } else { wake.min(a_while) }
            .saturating_sub(now_ms);
        self.happen(Event::Woken);
    }

    /// Something happens.
    pub(crate) fn tick(&mut self) {
        match self.random.below(26) {
            0 => self.order(),
            1..=3 => self.downlink(),
            4 => self.lose_session(),
            5 => self.executor.reachable = self.random.percent(60),
            6 | 7 => self.link(),
            8 => self.disconnect(),
            9 => self.disk_full = self.random.percent(30),
            10 if self.random.percent(60) => self.cancel(),
            11 => self.happen(Event::TelemetryWanted),
            12..=14 => self.work(),
            15 => self.old_message(),
            16 => {
                self.counts.jumps += 1;
                let walls = [
                    Wall::Right,
                    Wall::FiftyYearsAhead,
                    Wall::FiftyYearsBehind,
                    Wall::Right,
                    Wall::SinceBoot,
                ];
                self.wall = walls[self.random.below(5) as usize];
            }
            17 | 18 => self.damage_a_copy(),
            19..=21 => self.fetch(),
            22 => self.root(),
            _ => self.sleep(),
        }
        self.check_fetching();
    }
}

fn setup() -> Setup {
    Setup {
        eui: EUI,
        telemetry_interval_ms: 3_600_000,
        telemetry_min_interval_ms: MIN_INTERVAL_MS,
        built_at_unix_s: START_UNIX_S - 1_000_000,
    }
}

fn id(number: u64) -> CommandId {
    format!("{number:032x}").parse().unwrap()
}

/// What a statement's envelope carries, as the executor reads it.
fn signed(envelope: &Envelope) -> Statement {
    serde_json::from_str(&envelope.payload).unwrap()
}
