//! What the operator and the center do.

use keros_protocol::CommandId;

use super::World;
use crate::bundles::{LINKS, Link, Source};
use crate::center::Script;
use crate::executor::TASKS;

impl World {
    pub(super) fn order(&mut self) {
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

    pub(super) fn link(&self) -> Link {
        let source = match self.below(10) {
            0 => Source::Away,
            1 => Source::Refuses,
            _ => Source::Gives,
        };
        Link { number: self.below(LINKS as u64) as usize, source, by_hand: self.chance(30) }
    }

    pub(super) fn order_this(&mut self, script: Script, link: Option<Link>, life_s: u64) {
        let now_unix_s = self.sim.true_unix_s();
        let (id, expires_at_unix_s) = self.center.order(now_unix_s, life_s, script, link);
        self.sim.tell(|| format!("center: order {id}, {script:?}, {link:?}, lives {life_s} s"));
        let mut inner = self.sim.inner();
        let story = inner.truth.stories.entry(id).or_default();
        story.expires_at_unix_s = expires_at_unix_s;
        story.script = script;
        story.link = link;
    }

    pub(super) fn cancel(&mut self) {
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
    pub(super) fn center_says(&mut self, nonces: Option<Vec<String>>) {
        let now_unix_s = self.sim.true_unix_s();
        let repeat = !self.calm && self.chance(5);
        self.sim.inner().truth.signed.extend(nonces.iter().flatten().cloned());
        let down = self.center.downlink(now_unix_s, nonces, repeat);
        if self.connected {
            self.down.push(down);
        }
    }
}
