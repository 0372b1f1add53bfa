//! The JetPorch language: parse and check a script whole, then run it against a [`System`].
//!
//! It must not know of commands, signatures or journals: it takes a text and gives events.
//!
//! Reading order: the text ([`ScriptSource`], `yaml`, `fields`, `findings`), what it says ([`Script`], `play`, `role`, `task`,
//! `modules`), what it is filled with (`variables`, `template`), how it runs ([`run`], `engine`), on what ([`System`]), how it is undone (`undo`).

mod barrier;
mod cancel;
mod diagnostic;
mod else_if;
mod engine;
mod fields;
mod findings;
#[doc(hidden)]
pub mod fuzzing;
mod helpers;
mod mentions;
mod modules;
mod parts;
mod play;
mod resume;
mod role;
mod run;
mod script;
mod secrets;
mod suggestions;
mod system;
mod task;
mod template;
mod undo;
mod unknown;
mod variables;
mod yaml;

pub use barrier::Barrier;
pub use cancel::Cancel;
pub use diagnostic::{Diagnostic, DiagnosticKind};
pub use resume::{Resume, RunEnd};
pub use run::{Observer, RunOptions, run};
pub use script::{Script, ScriptSource, parse_variables};
pub use system::{
    Actor, Attributes, Content, Durability, FileKind, HostSystem, MAX_TREE_ENTRIES, Manager, Metadata,
    Program, ProgramCommand, ProgramEnd, ShellPlace, Stream, System, SystemError, Upcoming,
};
pub use undo::{BackupEstimate, BackupLog, BackupSpec, estimate_backup};
pub use variables::merge_variables;
