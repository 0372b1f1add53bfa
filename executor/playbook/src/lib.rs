//! The JetPorch language: parse and check a script whole, then run it against a [`System`].
//!
//! It must not know of commands, signatures or journals: it takes a text and gives events.

mod diagnostic;
mod run;
mod script;
mod system;

pub use diagnostic::{Diagnostic, DiagnosticKind};
pub use run::{Observer, RunOptions, run};
pub use script::{Script, ScriptSource};
pub use system::{HostSystem, ShellPlace, System};
