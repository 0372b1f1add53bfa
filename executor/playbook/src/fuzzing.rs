//! Where fuzzing enters: whatever the input is, these must come back, soon and without much memory.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use keros_protocol::JobLimits;
use keros_protocol::executor::Event;
use serde_json::json;

use crate::helpers::Registries;
use crate::template::{self, Condition};
use crate::variables::Variables;
use crate::{BackupLog, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace, modules, run};

/// Checks a script, and runs a valid one dry against a tree without programs.
pub fn script(text: &str, tree: &Path) {
    let source = ScriptSource {
        text: text.to_owned(),
        file: "script".to_owned(),
        folder: Some(tree.to_owned()),
        ..ScriptSource::default()
    };
    let Ok(script) = Script::parse(&source) else { return };
    let mut system = HostSystem::new(tree.to_owned(), ShellPlace::Root);
    let limits = JobLimits { task_s: 2, total_s: 5, ..JobLimits::default() };
    let options = RunOptions { dry_run: true, limits, ..RunOptions::default() };
    run(&script, &mut system, &options, &mut Nobody);
}

struct Nobody;

impl Observer for Nobody {
    fn event(&mut self, _: &Event) -> io::Result<()> {
        Ok(())
    }
}

/// Compiles and renders a text as a template, and asks it as a condition.
pub fn template(text: &str) {
    let registries = Registries::new();
    let values = json!({
        "s": " Ab ", "n": 5, "f": 1.5, "z": null, "no": false, "e": "", "o": {},
        "l": ["x", "y", 3], "m": {"k": "v", "deep": {"l": [1, 2]}}, "item": {"name": "i"},
    });
    let variables = Variables::new(values.as_object().cloned().unwrap_or_default());
    let context = variables.context();
    if let Ok(template) = template::compile(text) {
        let _ = template::render(&template, &registries, context);
        let _ = registries.render_filtered(&template, context);
    }
    if let Ok(condition) = Condition::compile(text) {
        let _ = condition.holds(&registries, &variables);
    }
}

/// Reads an archive as `unpack` does before it writes anything.
pub fn archive(bytes: &[u8]) {
    let _ = modules::check_archive(bytes);
}

/// Undoes, on a tree without programs, by a record of a backup that lies in this folder from now on.
pub fn backup(record: &[u8], folder: &Path, tree: &Path) {
    if fs::create_dir_all(folder).and_then(|()| fs::write(folder.join("steps.jsonl"), record)).is_err() {
        return;
    }
    let Ok(log) = BackupLog::read(folder) else { return };
    let mut system = HostSystem::new(tree.to_owned(), ShellPlace::Root);
    log.undo(&mut system, Instant::now() + Duration::from_secs(10), &mut |_, _| {});
}

pub use crate::undo::with_sums;

/// Makes the checksums of a tar archive's headers right, so that what a fuzzer changed is read and not refused for that alone.
#[must_use]
pub fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}
