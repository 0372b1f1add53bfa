//! One history: a gateway, its network and its center, and what goes wrong between them.

mod calm;
mod gateway;
mod network;
mod operator;
mod weather;

use std::collections::BTreeMap;
use std::sync::Arc;

use keros_machine::Event;
use keros_protocol::{CommandId, Report};

use crate::agent::Agent;
use crate::bundles::{Bundles, Link, Source};
use crate::center::{Center, Down, Script};
use crate::counts::Counts;
use crate::disk::{Damage, SimDisk};
use crate::executor::Said;
use crate::plan::{Lie, Plan, Rates};
use crate::sim::Sim;

/// Things that happen before all faults stop.
const TICKS: u32 = 160;

/// What goes wrong in this history.
#[derive(Debug, Clone, Copy)]
struct Weather {
    losses: bool,
    disk_fails: bool,
    damage: bool,
    clock_jumps: bool,
    network_fails: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sim: Arc<Sim>,
    disk: Arc<SimDisk>,
    weather: Weather,
    pub(crate) calm: bool,
    agent: Option<Agent>,
    connected: bool,
    /// The agent has asked for a new connection.
    reconnects: bool,
    executor_reachable: bool,
    sessions: BTreeMap<u64, Session>,
    pub(crate) bundles: Bundles,
    up: Vec<Up>,
    down: Vec<Down>,
    center: Center,
}

#[derive(Debug)]
struct Session {
    /// Which command it is about.
    id: Option<CommandId>,
    /// None: the executor could not be reached.
    said: Option<Said>,
}

#[derive(Debug, Clone)]
enum Up {
    Telemetry { stream: uuid::Uuid, nonces: Vec<String> },
    Report(Box<Report>),
}

/// Why a history is wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) text: String,
    pub(crate) trace: Vec<String>,
}

/// A short history in which one thing goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Episode {
    pub(crate) plan: Plan,
    /// After so many operations the power is cut, and this file is damaged when it returns.
    pub(crate) damage: Option<(u64, String, Damage)>,
}

/// What a history leaves.
pub(crate) type Left = (Counts, Vec<(String, usize)>);

/// Lives through one history.
///
/// # Errors
/// The first thing in it that is not as it must be.
pub(crate) fn history(seed: u64, traced: bool, lie: Option<Lie>) -> Result<Counts, Wrong> {
    let mut world = World::new(seed, traced);
    world.sim.inner().plan.lie = lie;
    let result = world.live();
    world.close(result).map(|(counts, _)| counts)
}

/// Lives through three commands: one is confirmed, one is undone, one is a Magic Link that reboots. Gives the files that are left, besides.
///
/// # Errors
/// The first thing that is not as it must be.
pub(crate) fn episode(seed: u64, traced: bool, episode: Episode) -> Result<Left, Wrong> {
    let mut world = World::new(seed, traced);
    let result = world.live_episode(episode);
    world.close(result)
}

impl World {
    /// Ends it: whatever became of it, no thread stays.
    fn close(self, result: Result<(), String>) -> Result<Left, Wrong> {
        self.sim.inner().rates = Rates::default();
        self.sim.kill_all();
        let counts = self.sim.inner().counts.clone();
        let weather = self.weather;
        result
            .map(|()| (counts, self.disk.files()))
            .map_err(|text| Wrong { text: format!("{text} ({weather:?})"), trace: self.sim.trace() })
    }

    fn new(seed: u64, traced: bool) -> Self {
        let sim = Sim::new(seed, traced);
        let disk = SimDisk::new(Arc::clone(&sim));
        let weather = sim.with_random(|random| {
            let calm = random.percent(5);
            Weather {
                losses: !calm && random.percent(90),
                disk_fails: !calm && random.percent(25),
                damage: !calm && random.percent(15),
                clock_jumps: !calm && random.percent(40),
                network_fails: !calm && random.percent(80),
            }
        });
        sim.tell(|| format!("{weather:?}"));
        Self {
            sim,
            disk,
            weather,
            calm: false,
            agent: None,
            connected: false,
            reconnects: false,
            executor_reachable: true,
            sessions: BTreeMap::new(),
            bundles: Bundles::default(),
            up: Vec::new(),
            down: Vec::new(),
            center: Center::default(),
        }
    }

    fn live(&mut self) -> Result<(), String> {
        {
            let mut inner = self.sim.inner();
            let switch_percent = 1 + inner.random.below(20);
            let loss_once_in = if self.weather.losses { 30 + inner.random.below(300) } else { 0 };
            let power_percent = 50;
            let error_once_in = if self.weather.disk_fails { 100 + inner.random.below(1000) } else { 0 };
            inner.rates = Rates { loss_once_in, power_percent, switch_percent, error_once_in };
        }
        for _ in 0..TICKS {
            self.tick()?;
            self.holds()?;
        }
        self.calm_down()?;
        self.ends()
    }

    fn live_episode(&mut self, episode: Episode) -> Result<(), String> {
        self.weather = Weather {
            losses: true,
            disk_fails: false,
            damage: false,
            clock_jumps: false,
            network_fails: false,
        };
        self.be_calm();
        self.sim.inner().plan = episode.plan;
        let link = Link { number: 0, source: Source::Gives, by_hand: false };
        for (script, link) in [
            (Script { window_s: 30, cannot_undo: 2, ..Script::default() }, None),
            (Script { window_s: 10, fails_at: 3, ..Script::default() }, None),
            (Script { reboots_at: 2, ..Script::default() }, Some(link)),
        ] {
            self.order_this(script, link, 1_000_000);
        }
        let Some((after, path, damage)) = episode.damage else { return self.rounds() };
        while self.sim.inner().counts.operations < after && !self.is_over() {
            self.round()?;
        }
        self.lose_power();
        self.after()?;
        self.damage_file(&path, damage);
        self.rounds()
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.sim.with_random(|random| random.percent(percent))
    }

    fn below(&self, end: u64) -> u64 {
        self.sim.with_random(|random| random.below(end))
    }

    fn holds(&self) -> Result<(), String> {
        self.sim.failure().map_or(Ok(()), Err)
    }

    /// Something happens.
    fn tick(&mut self) -> Result<(), String> {
        let step_ms = self.below(300);
        self.sim.inner().now_ms += step_ms;
        if self.agent.is_none() && self.chance(50) {
            self.start_agent()?;
        }
        match self.below(33) {
            0 | 1 => self.order(),
            2 => self.cancel(),
            3 => self.connect(),
            4 if self.weather.network_fails => self.disconnect(),
            5 if self.weather.network_fails => self.executor_reachable = self.chance(70),
            6 if self.weather.clock_jumps => self.clock_jumps(),
            7 if self.weather.disk_fails => self.disk_fails(),
            8 if self.weather.losses && self.chance(30) => self.lose_session_process(),
            9 if self.weather.losses && self.chance(10) => self.lose_power(),
            10 => self.wish_telemetry(),
            11..=14 => self.sleep(),
            15..=19 => self.network()?,
            20..=22 => self.hear(),
            23..=25 => self.fetch(),
            _ => {
                for _ in 0..=self.below(6) {
                    self.sim.run_one();
                    self.after()?;
                }
            }
        }
        self.after()
    }

    /// What an operation may have left to be done.
    fn after(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.reconnects) {
            self.disconnect();
        }
        let reboots = {
            let mut inner = self.sim.inner();
            let now_ms = inner.now_ms;
            inner.reboot_at_ms.take_if(|at_ms| *at_ms <= now_ms).is_some()
        };
        if reboots {
            self.sim.tell(|| "the gateway reboots".to_owned());
            self.sim.stop_all();
            self.sim.inner().power_lost = true;
        }
        if self.sim.inner().power_lost {
            self.power_returns();
        }
        self.holds()
    }

    /// Time passes, to the next moment that somebody waits for, or less far.
    fn sleep(&mut self) {
        let now_ms = self.sim.inner().now_ms;
        let agent = self.agent.as_ref().and_then(Agent::next_wake_ms);
        let next = [agent, self.sim.next_wake_ms()].into_iter().flatten().min();
        let longest_ms = now_ms + if self.calm { 3_600_000 } else { 60_000 };
        let until_ms = next.unwrap_or(longest_ms).clamp(now_ms + 1, longest_ms);
        self.sim.inner().now_ms = until_ms;
        self.agent_does(|agent| agent.happen(Event::Woken));
    }
}
