//! What agent and executor say to the service manager, and where their log lines go. It knows nothing of how a job is run.

pub mod journal;
pub mod log;
mod named;
mod notify;
pub mod panics;

pub use named::Named;
pub use notify::Notify;
