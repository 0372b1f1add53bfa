//! Nothing fails any more: all must come to its end.

use super::World;
use crate::plan::Rates;

/// Rounds after the last fault, in which all must come to its end.
const CALM_ROUNDS: u32 = 20_000;

impl World {
    /// Nothing fails any more: all must come to an end.
    pub(super) fn calm_down(&mut self) -> Result<(), String> {
        self.be_calm();
        self.rounds()
    }

    pub(super) fn be_calm(&mut self) {
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

    pub(super) fn rounds(&mut self) -> Result<(), String> {
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

    pub(super) fn round(&mut self) -> Result<(), String> {
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

    pub(super) fn is_over(&self) -> bool {
        let now_unix_s = self.sim.true_unix_s();
        let Some(agent) = &self.agent else { return false };
        self.center.orders.values().all(|order| order.is_closed(now_unix_s))
            && agent.keeper.state.reports_pending() == 0
            && agent.keeper.state.jobs().is_empty()
    }

    /// After the last fault everything is told, and nothing is left over.
    pub(super) fn ends(&mut self) -> Result<(), String> {
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
