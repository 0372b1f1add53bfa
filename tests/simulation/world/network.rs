//! The connection, and the messages on it.

use keros_machine::Event;

use super::{Up, World};

impl World {
    pub(super) fn connect(&mut self) {
        if self.agent.is_some() && !self.connected {
            self.sim.tell(|| "connected".to_owned());
            self.connected = true;
            self.agent_does(|agent| {
                let fresh_nonce = agent.hands.nonce();
                agent.happen(Event::Connected { fresh_nonce });
            });
        }
    }

    pub(super) fn disconnect(&mut self) {
        if self.connected {
            self.sim.tell(|| "disconnected".to_owned());
            self.connected = false;
            self.down.clear();
            self.agent_does(|agent| agent.happen(Event::Disconnected));
        }
    }

    pub(super) fn wish_telemetry(&mut self) {
        if self.connected {
            self.agent_does(|agent| agent.happen(Event::TelemetryWanted));
        }
    }

    pub(super) fn send(&mut self, up: Up) {
        if self.connected {
            self.up.push(up);
        }
    }

    /// A message arrives, twice or not at all, in any order.
    pub(super) fn network(&mut self) -> Result<(), String> {
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
}
