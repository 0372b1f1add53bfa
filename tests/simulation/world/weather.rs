//! What goes wrong: power, processes, disk, clock.

use super::World;
use crate::disk::{Damage, Fault};
use crate::executor::start_finishing;

impl World {
    pub(super) fn clock_jumps(&self) {
        let fifty_years_s = 50 * 365 * 86_400;
        let ahead_s = match self.below(4) {
            0 => fifty_years_s,
            1 => -fifty_years_s,
            2 => 0,
            _ => self.below(7200) as i64 - 3600,
        };
        self.set_clock(ahead_s);
    }

    pub(super) fn set_clock(&self, ahead_s: i64) {
        let mut inner = self.sim.inner();
        inner.clock_ahead_s = ahead_s;
        inner.truth.clock_was_wrong |= ahead_s != 0;
        inner.tell(|| format!("the clock is {ahead_s} s ahead"));
    }

    pub(super) fn disk_fails(&self) {
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

    pub(super) fn lose_session_process(&self) {
        let alive = self.sim.alive();
        if !alive.is_empty() {
            let process = alive[self.below(alive.len() as u64) as usize];
            self.sim.tell(|| format!("process {process} is killed"));
            self.sim.inner().counts.process_losses += 1;
            self.sim.kill(process);
        }
    }

    pub(super) fn lose_power(&self) {
        self.sim.tell(|| "the power is cut".to_owned());
        self.sim.kill_all();
        self.sim.inner().power_lost = true;
    }

    pub(super) fn power_returns(&mut self) {
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

    pub(super) fn damage(&self) {
        // The lock files' content means nothing to a start or an end.
        let files: Vec<_> =
            self.disk.files().into_iter().filter(|(path, _)| !path.ends_with("/lock")).collect();
        let Some((path, length)) = files.get(self.below(files.len().max(1) as u64) as usize) else { return };
        let at = self.below((*length).max(1) as u64) as usize;
        let damage = if self.chance(70) { Damage::Bit(at, self.below(8) as u8) } else { Damage::CutAt(at) };
        self.damage_file(path, damage);
    }

    pub(super) fn damage_file(&self, path: &str, damage: Damage) {
        let found = self.disk.damage(path, damage);
        let mut inner = self.sim.inner();
        inner.truth.damaged |= found;
        inner.tell(|| format!("{path}: {damage:?}"));
    }
}
