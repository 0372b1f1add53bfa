//! What goes wrong.

use crate::disk::Fault;

/// How often things go wrong; 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// An operation is the last one of its process.
    pub(crate) loss_once_in: u64,
    /// Of these losses, in percent: it is the power of the whole gateway.
    pub(crate) power_percent: u64,
    /// An operation lets somebody else go on, in percent.
    pub(crate) switch_percent: u64,
    /// An operation fails once.
    pub(crate) error_once_in: u64,
}

/// A promise that the disk or the machine breaks without a word. The real code cannot know, so that something must become
/// wrong: what the simulation is there to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Files whose path ends so are not made durable by a sync.
    Sync(&'static str),
    /// The names in folders whose path ends so are not.
    FolderSync(&'static str),
    /// A lock is given to everybody who asks, where the path ends so.
    Lock(&'static str),
    /// A file whose path ends so is not replaced: the old one stays.
    Rename(&'static str),
    /// What a lost process left running goes on.
    Ending,
}

/// What goes wrong once, at the operation of this number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    /// So many operations in a row fail.
    pub(crate) fails: Option<(u64, u64, Fault)>,
    /// Its process is lost, or the power of the whole gateway.
    pub(crate) lost: Option<(u64, bool)>,
    /// All the time.
    pub(crate) lie: Option<Lie>,
}
