//! What has happened in the histories.

/// What has happened, to show that the histories are not tame.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) orders: u64,
    pub(crate) crashes: u64,
    pub(crate) boots: u64,
    pub(crate) effects: u64,
    pub(crate) jumps: u64,
    pub(crate) old_messages: u64,
    pub(crate) confirmed: u64,
    pub(crate) rolled_back: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) interrupted: u64,
    pub(crate) succeeded: u64,
    pub(crate) fetched: u64,
    pub(crate) fetch_failures: u64,
    /// Fetches that were stopped.
    pub(crate) stopped: u64,
    pub(crate) bad_copies: u64,
    /// Magic Links that nothing could be had of.
    pub(crate) unfetched: u64,
    /// Jobs of a technician that started with an absurd clock.
    pub(crate) by_hand: u64,
    /// Jobs that root has cancelled while they waited.
    pub(crate) by_root: u64,
}

impl Counts {
    fn fields(&mut self) -> [&mut u64; 19] {
        [
            &mut self.orders,
            &mut self.crashes,
            &mut self.boots,
            &mut self.effects,
            &mut self.jumps,
            &mut self.old_messages,
            &mut self.confirmed,
            &mut self.rolled_back,
            &mut self.cancelled,
            &mut self.expired,
            &mut self.interrupted,
            &mut self.succeeded,
            &mut self.fetched,
            &mut self.fetch_failures,
            &mut self.stopped,
            &mut self.bad_copies,
            &mut self.unfetched,
            &mut self.by_hand,
            &mut self.by_root,
        ]
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        for (sum, count) in self.fields().into_iter().zip(other.fields()) {
            *sum += *count;
        }
    }

    pub(crate) fn least(mut self) -> u64 {
        self.fields().into_iter().map(|count| *count).min().unwrap_or_default()
    }
}
