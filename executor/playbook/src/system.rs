//! What a script can do to a machine.

use std::path::PathBuf;

/// Where shell tasks run when the work is done on a scratch tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShellPlace {
    /// In the tree, by chroot; `unsupported` where there is nothing to run.
    #[default]
    Root,
    /// Outside of it, on the host: for the demo and tests.
    Host,
}

/// What a script can do to a machine. Two implementations: [`HostSystem`], and one in memory for tests.
pub trait System {}

/// The machine itself, or a scratch tree on it.
#[derive(Debug)]
pub struct HostSystem {
    /// The tree; `/` for the machine itself.
    pub root: PathBuf,
    /// Where shell tasks run.
    pub shell: ShellPlace,
}

impl System for HostSystem {}
