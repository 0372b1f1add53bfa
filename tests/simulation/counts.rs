//! What was met on the way.

use std::collections::BTreeMap;

use crate::disk::Op;

/// What was met on the way.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) histories: u64,
    pub(crate) operations: u64,
    pub(crate) crash_points: u64,
    pub(crate) power_cuts: u64,
    pub(crate) process_losses: u64,
    pub(crate) lost_writes: u64,
    pub(crate) failed_operations: u64,
    /// Bundles of Magic Links.
    pub(crate) fetched: u64,
    /// Commands that were sent again, because a disk has lost the agent's state.
    pub(crate) sent_again: u64,
    /// Crash points by who was doing what to which file.
    pub(crate) sites: BTreeMap<(&'static str, Op, String), u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.crash_points += other.crash_points;
        self.power_cuts += other.power_cuts;
        self.process_losses += other.process_losses;
        self.lost_writes += other.lost_writes;
        self.failed_operations += other.failed_operations;
        self.fetched += other.fetched;
        self.sent_again += other.sent_again;
        for (site, count) in &other.sites {
            *self.sites.entry(site.clone()).or_default() += count;
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} histories with {} operations: {} crash points at {} distinct sites, {} power cuts, {} lost processes, {} \
             files and folders that lost writes, {} failed operations, {} fetched bundles, {} commands sent again for a state that the disk lost",
            self.histories,
            self.operations,
            self.crash_points,
            self.sites.len(),
            self.power_cuts,
            self.process_losses,
            self.lost_writes,
            self.failed_operations,
            self.fetched,
            self.sent_again,
        )
    }
}
