//! One history: a gateway, its network and its center, and what goes wrong between them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use keros_machine::Event;
use keros_protocol::eligibility::claimed_ids;
use keros_protocol::executor::{self, Request};
use keros_protocol::{CommandId, Report};

use crate::agent::{Agent, Wish};
use crate::bundles::{Bundles, LINKS, Link, Source};
use crate::center::{BEGIN_UNIX_S, Center, Down, Script};
use crate::disk::{Damage, Fault, SimDisk};
use crate::executor::{Said, TASKS, start_finishing, start_session};
use crate::sim::{Counts, Lie, Plan, Rates, Sim};

/// Things that happen before all faults stop.
const TICKS: u32 = 160;
/// Rounds after that, in which all must come to its end.
const CALM_ROUNDS: u32 = 20_000;

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

    fn order(&mut self) {
        let life_s = if self.chance(15) { self.below(60) + 1 } else { 1_000_000 };
        let any_task =
            |percent| if self.chance(percent) { self.below(u64::from(TASKS)) as u32 + 1 } else { 0 };
        let window_s = if self.chance(40) { self.below(90) as u32 + 5 } else { 0 };
        let script =
            Script { fails_at: any_task(20), reboots_at: any_task(15), cannot_undo: any_task(30), window_s };
        let link = self.chance(30).then(|| self.link());
        self.order_this(script, link, life_s);
        // The operator's nudge.
        self.wish_telemetry();
    }

    fn link(&self) -> Link {
        let source = match self.below(10) {
            0 => Source::Away,
            1 => Source::Refuses,
            _ => Source::Gives,
        };
        Link { number: self.below(LINKS as u64) as usize, source, by_hand: self.chance(30) }
    }

    fn order_this(&mut self, script: Script, link: Option<Link>, life_s: u64) {
        let now_unix_s = self.sim.true_unix_s();
        let (id, expires_at_unix_s) = self.center.order(now_unix_s, life_s, script, link);
        self.sim.tell(|| format!("center: order {id}, {script:?}, {link:?}, lives {life_s} s"));
        let mut inner = self.sim.inner();
        let story = inner.truth.stories.entry(id).or_default();
        story.expires_at_unix_s = expires_at_unix_s;
        story.script = script;
        story.link = link;
    }

    fn cancel(&mut self) {
        let open: Vec<CommandId> = self
            .center
            .orders
            .iter()
            .filter(|(_, order)| order.terminal.is_none())
            .map(|(id, _)| *id)
            .collect();
        if open.is_empty() {
            return;
        }
        let id = open[self.below(open.len() as u64) as usize];
        self.sim.tell(|| format!("center: cancel {id}"));
        if let Some(order) = self.center.orders.get_mut(&id) {
            order.cancelled = true;
        }
        self.sim.inner().truth.stories.entry(id).or_default().cancelled = true;
        self.center_says(None);
    }

    /// The center says something without being asked.
    fn center_says(&mut self, nonces: Option<Vec<String>>) {
        let now_unix_s = self.sim.true_unix_s();
        let repeat = !self.calm && self.chance(5);
        self.sim.inner().truth.signed.extend(nonces.iter().flatten().cloned());
        let down = self.center.downlink(now_unix_s, nonces, repeat);
        if self.connected {
            self.down.push(down);
        }
    }

    fn connect(&mut self) {
        if self.agent.is_some() && !self.connected {
            self.sim.tell(|| "connected".to_owned());
            self.connected = true;
            self.agent_does(|agent| {
                let fresh_nonce = agent.hands.nonce();
                agent.happen(Event::Connected { fresh_nonce });
            });
        }
    }

    fn disconnect(&mut self) {
        if self.connected {
            self.sim.tell(|| "disconnected".to_owned());
            self.connected = false;
            self.down.clear();
            self.agent_does(|agent| agent.happen(Event::Disconnected));
        }
    }

    fn wish_telemetry(&mut self) {
        if self.connected {
            self.agent_does(|agent| agent.happen(Event::TelemetryWanted));
        }
    }

    fn clock_jumps(&self) {
        let fifty_years_s = 50 * 365 * 86_400;
        let ahead_s = match self.below(4) {
            0 => fifty_years_s,
            1 => -fifty_years_s,
            2 => 0,
            _ => self.below(7200) as i64 - 3600,
        };
        self.set_clock(ahead_s);
    }

    fn set_clock(&self, ahead_s: i64) {
        let mut inner = self.sim.inner();
        inner.clock_ahead_s = ahead_s;
        inner.truth.clock_was_wrong |= ahead_s != 0;
        inner.tell(|| format!("the clock is {ahead_s} s ahead"));
    }

    fn disk_fails(&self) {
        let fault = match self.below(6) {
            0 => Some(Fault::Full),
            1 => Some(Fault::ReadOnly),
            2 => Some(Fault::Broken),
            _ => None,
        };
        let mut inner = self.sim.inner();
        inner.fault = fault;
        inner.tell(|| format!("the disk: {fault:?}"));
    }

    fn lose_session_process(&self) {
        let alive = self.sim.alive();
        if !alive.is_empty() {
            let process = alive[self.below(alive.len() as u64) as usize];
            self.sim.tell(|| format!("process {process} is killed"));
            self.sim.inner().counts.process_losses += 1;
            self.sim.kill(process);
        }
    }

    fn lose_power(&self) {
        self.sim.tell(|| "the power is cut".to_owned());
        self.sim.kill_all();
        self.sim.inner().power_lost = true;
    }

    fn power_returns(&mut self) {
        self.sim.kill_all();
        self.agent_is_gone();
        self.sessions.clear();
        let mut inner = self.sim.inner();
        inner.power_lost = false;
        inner.reboot_at_ms = None;
        let lost = self.disk.cut_power(&mut inner.random);
        self.bundles.cut_power(&mut inner.random);
        inner.counts.power_cuts += 1;
        inner.counts.lost_writes += lost;
        inner.boot += 1;
        inner.now_ms += 20_000;
        inner.booted_at_ms = inner.now_ms;
        inner.truth.power_lost();
        if inner.fault == Some(Fault::ReadOnly) {
            inner.fault = None;
        }
        let boot = inner.boot;
        inner.tell(|| format!("boot {boot}; {lost} files and folders have lost something"));
        drop(inner);
        if self.calm || self.chance(50) {
            start_finishing(&self.sim, &self.disk);
        }
        if self.weather.damage && !self.calm && self.chance(30) {
            self.damage();
        }
        if self.weather.damage && !self.calm && self.chance(30) {
            let mut inner = self.sim.inner();
            let now_ms = inner.now_ms;
            let damaged = self.bundles.damage(&mut inner.random);
            inner.truth.copies_damaged_ms.extend(damaged.map(|number| (number, now_ms)));
            inner.tell(|| format!("the copy of a bundle is damaged: {damaged:?}"));
        }
        if self.weather.clock_jumps && !self.calm && self.chance(50) {
            // No battery: 1970.
            self.set_clock(-(self.sim.true_unix_s() as i64) + 1000);
        }
    }

    fn damage(&self) {
        // The lock files' content means nothing to a start or an end.
        let files: Vec<_> =
            self.disk.files().into_iter().filter(|(path, _)| !path.ends_with("/lock")).collect();
        let Some((path, length)) = files.get(self.below(files.len().max(1) as u64) as usize) else { return };
        let at = self.below((*length).max(1) as u64) as usize;
        let damage = if self.chance(70) { Damage::Bit(at, self.below(8) as u8) } else { Damage::CutAt(at) };
        self.damage_file(path, damage);
    }

    fn damage_file(&self, path: &str, damage: Damage) {
        let found = self.disk.damage(path, damage);
        let mut inner = self.sim.inner();
        inner.truth.damaged |= found;
        inner.tell(|| format!("{path}: {damage:?}"));
    }

    fn start_agent(&mut self) -> Result<(), String> {
        let (sim, disk) = (Arc::clone(&self.sim), Arc::clone(&self.disk));
        let before = self.sim.inner().truth.disk_failed;
        match catch_unwind(AssertUnwindSafe(|| Agent::start(&sim, &disk))) {
            Ok(Ok((agent, warnings))) => {
                let excused = {
                    let truth = &self.sim.inner().truth;
                    truth.damaged || truth.disk_failed
                };
                self.sim.tell(|| format!("the agent starts {warnings:?}"));
                if !warnings.is_empty() && !excused {
                    return Err(format!("not true: a power cut damages no state: {warnings:?}"));
                }
                self.agent = Some(agent);
                self.agent_does(Agent::boot);
            }
            Ok(Err(error)) => {
                self.sim.tell(|| format!("the agent does not start: {error}"));
                if !self.sim.inner().truth.disk_failed && !before {
                    return Err(format!("not true: the agent starts: {error}"));
                }
            }
            Err(payload) => self.sim.note_end(payload.as_ref()),
        }
        self.after()
    }

    /// The agent's process does something, and may be lost in it.
    pub(crate) fn agent_does(&mut self, what: impl FnOnce(&mut Agent)) {
        let Some(agent) = &mut self.agent else { return };
        let lost = catch_unwind(AssertUnwindSafe(|| what(agent)));
        let wishes = std::mem::take(&mut agent.hands.wishes);
        for wish in wishes {
            self.fulfil(wish);
        }
        if let Err(payload) = lost {
            self.sim.note_end(payload.as_ref());
            self.agent_is_gone();
        }
    }

    fn agent_is_gone(&mut self) {
        if self.agent.take().is_some() {
            self.sim.tell(|| "the agent is gone".to_owned());
        }
        self.connected = false;
        self.down.clear();
        self.bundles.agent_is_gone();
        for said in std::mem::take(&mut self.sessions).into_values().filter_map(|session| session.said) {
            said.close();
        }
    }

    fn fulfil(&mut self, wish: Wish) {
        match wish {
            Wish::Report(report) => {
                let checked = self.sim.inner().truth.published(&report);
                checked.unwrap_or_else(|text| self.sim.fail(text));
                self.send(Up::Report(report));
            }
            Wish::Telemetry { stream, nonces } => self.send(Up::Telemetry { stream, nonces }),
            Wish::Reconnect => self.reconnects = true,
            Wish::Open { session, request } => self.open(session, request),
            Wish::Fetch { command_id, rehash } => self.fetch_ordered(command_id, rehash),
            Wish::StopFetch { command_id } => self.fetch_stopped(command_id),
            Wish::Close { session } => {
                if let Some(said) = self.sessions.remove(&session).and_then(|session| session.said) {
                    said.close();
                }
            }
        }
    }

    fn send(&mut self, up: Up) {
        if self.connected {
            self.up.push(up);
        }
    }

    fn open(&mut self, number: u64, mut request: Request) {
        let id = match &mut request {
            Request::Run { envelope, bundle, .. } => {
                let id = claimed_ids(envelope).map(|(id, _)| id);
                *bundle = id.and_then(|id| self.bundle_of(id));
                id
            }
            Request::Attach { command_id }
            | Request::Cancel { command_id, .. }
            | Request::Confirm { command_id, .. } => Some(*command_id),
            Request::Status {} => None,
        };
        self.sim.tell(|| format!("session {number}: {}", of_request(&request)));
        if !self.executor_reachable {
            self.sessions.insert(number, Session { id, said: None });
            return;
        }
        let (process, said) = start_session(&self.sim, &self.disk, request);
        if let Some(id) = id {
            let mut inner = self.sim.inner();
            let honest = !inner.truth.clock_was_wrong;
            let now_unix_s = BEGIN_UNIX_S + inner.now_ms / 1000;
            inner.truth.asked(process, id, honest.then_some(now_unix_s));
        }
        self.sessions.insert(number, Session { id, said: Some(said) });
    }

    fn bundle_of(&self, id: CommandId) -> Option<PathBuf> {
        let link = self.sim.inner().truth.stories.get(&id)?.link?;
        Some(self.bundles.folder_of(link.number))
    }

    /// The agent hears the next thing of one of its sessions.
    fn hear(&mut self) {
        if self.sessions.is_empty() || self.agent.is_none() {
            return;
        }
        let chosen = self.below(self.sessions.len() as u64) as usize;
        let Some((number, session)) = self.sessions.iter().nth(chosen) else { return };
        let (number, id) = (*number, session.id);
        if let Some(event) = session.said.as_ref().and_then(Said::take) {
            self.sim.tell(|| format!("session {number} says {event:?}"));
            if let (Some(id), executor::Event::Confirming { nonce, .. }) = (id, &event) {
                self.sim.inner().truth.asks(id, nonce);
            }
            self.agent_does(|agent| agent.happen(Event::Executor { session: number, event }));
        } else if session.said.as_ref().is_none_or(Said::is_over) {
            let handed_over = session.said.is_some();
            self.sessions.remove(&number);
            let message = "the session is over".to_owned();
            self.agent_does(|agent| {
                agent.happen(Event::SessionClosed { session: number, handed_over, message });
            });
        }
    }

    /// A message arrives, twice or not at all, in any order.
    fn network(&mut self) -> Result<(), String> {
        let fails = self.weather.network_fails && !self.calm;
        let any = |length: usize| self.below(length as u64) as usize;
        if !self.up.is_empty() && self.chance(50) {
            let at = if fails { any(self.up.len()) } else { 0 };
            let up = if fails && self.chance(10) { self.up[at].clone() } else { self.up.remove(at) };
            if fails && self.chance(10) {
                return Ok(());
            }
            match up {
                Up::Telemetry { stream, nonces } => {
                    self.gateway_counts_in(stream)?;
                    self.center_says(Some(nonces));
                }
                Up::Report(report) => {
                    self.gateway_counts_in(report.position.stream)?;
                    self.center.report(&report)?;
                    self.center_says(None);
                }
            }
        } else if !self.down.is_empty() && self.connected {
            let at = if fails { any(self.down.len()) } else { 0 };
            let down = if fails && self.chance(10) { self.down[at].clone() } else { self.down.remove(at) };
            if !fails || self.chance(90) {
                self.sim.tell(|| {
                    let said = &down.statement;
                    format!("the agent is told {:?}, {} commands", said.last_report, down.commands.len())
                });
                self.agent_does(|agent| agent.downlink(down));
            }
        }
        Ok(())
    }

    fn gateway_counts_in(&mut self, stream: uuid::Uuid) -> Result<(), String> {
        let lost = self.center.heard_of(stream);
        let mut inner = self.sim.inner();
        inner.counts.sent_again += lost;
        if lost > 0 && !inner.truth.damaged && !inner.truth.disk_failed {
            return Err("not true: only a damaged disk loses the agent's state".to_owned());
        }
        Ok(())
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

    /// Nothing fails any more: all must come to an end.
    fn calm_down(&mut self) -> Result<(), String> {
        self.be_calm();
        self.rounds()
    }

    fn be_calm(&mut self) {
        self.calm = true;
        self.executor_reachable = true;
        {
            let mut inner = self.sim.inner();
            inner.rates = Rates { switch_percent: 5, ..Rates::default() };
            inner.fault = None;
            inner.tell(|| "all faults stop".to_owned());
        }
        self.set_clock(0);
    }

    fn rounds(&mut self) -> Result<(), String> {
        for _ in 0..CALM_ROUNDS {
            self.round()?;
            if self.is_over() {
                return self.holds();
            }
        }
        let now_unix_s = self.sim.true_unix_s();
        let open = self.center.orders.iter().find(|(_, order)| !order.is_closed(now_unix_s));
        let jobs = self.agent.as_ref().map(|agent| agent.keeper.state.jobs().to_vec());
        Err(format!(
            "not true: every received command ends, and the center learns it: {open:?}, the agent has {jobs:?}"
        ))
    }

    fn round(&mut self) -> Result<(), String> {
        if self.agent.is_none() {
            self.start_agent()?;
        }
        self.connect();
        while self.sim.run_one() {
            self.after()?;
        }
        for _ in 0..4 {
            self.hear();
            self.network()?;
            self.fetch();
        }
        self.sleep();
        self.after()
    }

    fn is_over(&self) -> bool {
        let now_unix_s = self.sim.true_unix_s();
        let Some(agent) = &self.agent else { return false };
        self.center.orders.values().all(|order| order.is_closed(now_unix_s))
            && agent.keeper.state.reports_pending() == 0
            && agent.keeper.state.jobs().is_empty()
    }

    /// After the last fault everything is told, and nothing is left over.
    fn ends(&mut self) -> Result<(), String> {
        while self.sim.next_wake_ms().is_some() {
            self.sleep();
            while self.sim.run_one() {}
        }
        self.holds()?;
        for (path, length) in self.disk.files() {
            let left_over = path.starts_with("/agent/commands/") || path.ends_with(".new");
            if left_over && !self.sim.inner().truth.disk_failed && !self.weather.losses {
                return Err(format!(
                    "not true: the stores keep nothing that is not needed: {path}, {length} bytes"
                ));
            }
        }
        Ok(())
    }
}

const fn of_request(request: &Request) -> &'static str {
    match request {
        Request::Run { .. } => "run",
        Request::Attach { .. } => "attach",
        Request::Cancel { .. } => "cancel",
        Request::Confirm { .. } => "confirm",
        Request::Status {} => "status",
    }
}
