//! What must be durable before the machine is changed.

use std::fmt;
use std::io;
use std::sync::Arc;

type Pass = dyn Fn() -> io::Result<()> + Send + Sync;

/// Makes durable what was recorded so far: of the tasks, and of what they are about to change. It is passed before each change,
/// so it costs next to nothing when nothing was recorded since the last time.
#[derive(Clone)]
pub struct Barrier(Arc<Pass>);

impl Barrier {
    /// A barrier that does this.
    #[must_use]
    pub fn new(pass: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(pass))
    }

    /// Both: this one first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(move || self.pass().and_then(|()| other.pass()))
    }

    /// Passes it: what was recorded is durable from here on.
    ///
    /// # Errors
    /// When it is not. Nothing may be changed then.
    pub fn pass(&self) -> io::Result<()> {
        (self.0)()
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Barrier")
    }
}
