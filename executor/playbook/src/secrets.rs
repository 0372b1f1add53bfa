//! Variables whose values are never shown: a play names them in `secrets`, and every event of the run, and its outcome, has
//! `***` in their place.
//!
//! The values are learned wherever variables get theirs; the events are searched on their way out, whatever module made them.

mod event;
mod mask;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::rc::Rc;

use keros_protocol::executor::Event;
use keros_protocol::{Outcome, TaskRef};
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::findings::Findings;
use crate::play::Play;
use crate::run::Observer;
use crate::variables::Levels;
use crate::yaml::Position;
use crate::{Barrier, Script};
use mask::{MIN_CHARS, Mask};

/// A name of a variable, or a dotted path into maps; through a list it leads into each element.
#[derive(Debug, Clone)]
pub(crate) struct SecretPath {
    at: Position,
    steps: Vec<String>,
}

impl SecretPath {
    /// Reads the `secrets` of a play.
    pub(crate) fn of_play(fields: &mut Fields<'_, '_>) -> Vec<Self> {
        let mut paths = Vec::new();
        for node in fields.texts("secrets").unwrap_or_default() {
            let text = node.text().unwrap_or_default();
            let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
            if steps
                .iter()
                .any(|step| step.is_empty() || step.contains(|c: char| c.is_whitespace() || c == '{'))
            {
                let message =
                    format!("`{text}` is no variable: write a name, or a path such as `account.password`");
                fields.findings.invalid(node.at, &message);
            } else {
                paths.push(Self { at: node.at, steps });
            }
        }
        paths
    }

    /// The values that the path leads to from the value of a variable, each with its own path.
    fn leaves(&self, name: &str, value: &Value) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if let Some((first, rest)) = self.steps.split_first()
            && first == name
        {
            collect(value, rest, &mut first.clone(), &mut found);
        }
        found
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join("."))
    }
}

/// Texts and numbers below a value. True, false and nothing hide nothing.
fn collect(value: &Value, steps: &[String], path: &mut String, found: &mut Vec<(String, String)>) {
    match (value, steps.split_first()) {
        (Value::Array(list), _) => list.iter().for_each(|element| collect(element, steps, path, found)),
        (Value::Object(map), step) => {
            let rest = step.map_or(&[][..], |(_, rest)| rest);
            for (key, value) in map.iter().filter(|(key, _)| step.is_none_or(|(step, _)| step == *key)) {
                let length = path.len();
                path.push('.');
                path.push_str(key);
                collect(value, rest, path, found);
                path.truncate(length);
            }
        }
        (Value::String(text), None) => found.push((path.clone(), text.clone())),
        (Value::Number(number), None) => found.push((path.clone(), number.to_string())),
        _ => {}
    }
}

/// Why a value cannot be hidden; nothing when it can be, or when there is nothing to hide. `named` is what the play names, `path`
/// the value's own.
fn complaint(named: &SecretPath, path: &str, value: &str) -> Option<String> {
    let length = value.trim().chars().count();
    if !(1..MIN_CHARS).contains(&length) {
        return None;
    }
    let named = named.to_string();
    let advice = if named == path { String::new() } else { format!("; name what is secret below `{named}`") };
    let bound = format!("its value has {length} of at least {MIN_CHARS} characters");
    Some(format!("the secret `{path}` is too short to be hidden: {bound}{advice}"))
}

/// Reports what the script and its variables give to secrets and is too short.
pub(crate) fn check(plays: &[Play], extra_vars: &Map<String, Value>, findings: &mut Findings) {
    for path in plays.iter().flat_map(|play| &play.secrets) {
        let values = levels(plays, extra_vars).flat_map(|level| level.iter());
        let leaves = values.flat_map(|(name, value)| path.leaves(name, value));
        let complaints: Vec<String> =
            leaves.filter_map(|(place, value)| complaint(path, &place, &value)).collect();
        // One value may stand at several levels.
        if let Some(message) = complaints.first() {
            findings.invalid(path.at, message);
        }
    }
}

/// All variables that a script comes with.
fn levels<'s>(
    plays: &'s [Play],
    extra_vars: &'s Map<String, Value>,
) -> impl Iterator<Item = &'s Map<String, Value>> {
    let of_play = |play: &'s Play| {
        let parts = play.parts.iter().map(|part| &part.variables);
        std::iter::once(&play.variables).chain(parts).flat_map(|Levels { defaults, vars }| [defaults, vars])
    };
    plays.iter().flat_map(of_play).chain([extra_vars])
}

/// The secrets of a run. Clones share what is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Rc<RefCell<Known>>);

#[derive(Debug, Default)]
struct Known {
    paths: Vec<SecretPath>,
    mask: Mask,
    /// Values of the mask that did not come with the script.
    learned: BTreeSet<String>,
    complaint: Option<String>,
}

impl Secrets {
    /// Those of all plays, with every value that the script comes with: a value is hidden from the first event on.
    pub(crate) fn of(script: &Script) -> Self {
        let paths = script.plays.iter().flat_map(|play| play.secrets.clone()).collect();
        let secrets = Self(Rc::new(RefCell::new(Known { paths, ..Known::default() })));
        for (name, value) in levels(&script.plays, &script.extra_vars).flatten() {
            secrets.learn(name, value);
        }
        secrets.0.borrow_mut().learned.clear();
        secrets
    }

    /// A variable has this value now. What was a secret once stays one.
    pub(crate) fn learn(&self, name: &str, value: &Value) {
        let known = &mut *self.0.borrow_mut();
        for named in &known.paths {
            for (path, value) in named.leaves(name, value) {
                let kept = known.mask.add(&value);
                if kept.is_ok() {
                    known.learned.insert(value.clone());
                }
                let message = complaint(named, &path, &value).or(kept.err());
                known.complaint = known.complaint.take().or(message);
            }
        }
    }

    /// Values that were learned since the script was read.
    pub(crate) fn learned(&self) -> BTreeSet<String> {
        self.0.borrow().learned.clone()
    }

    /// Hides what an earlier part of the run had learned.
    pub(crate) fn remember(&self, values: &BTreeSet<String>) {
        let known = &mut *self.0.borrow_mut();
        for value in values {
            if let Err(message) = known.mask.add(value) {
                known.complaint = known.complaint.take().or(Some(message));
            }
        }
        known.learned.extend(values.iter().cloned());
    }

    /// Hides them in the name of a task.
    pub(crate) fn hide_in_task(&self, task: &mut TaskRef) {
        event::hide_in_task(task, &self.0.borrow().mask);
    }

    /// Why a value that was learned since the last call cannot be hidden.
    pub(crate) fn take_complaint(&self) -> Option<String> {
        self.0.borrow_mut().complaint.take()
    }

    /// Hides them in an outcome.
    pub(crate) fn hide(&self, outcome: &mut Outcome) {
        event::hide_in_outcome(outcome, &self.0.borrow().mask);
    }

    /// An observer that is told nothing of them.
    pub(crate) fn around<'o>(&self, observer: &'o mut dyn Observer) -> Discreet<'o> {
        Discreet { observer, secrets: self.clone() }
    }
}

/// Passes events on, without secrets.
pub(crate) struct Discreet<'o> {
    observer: &'o mut dyn Observer,
    secrets: Secrets,
}

impl Observer for Discreet<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let known = self.secrets.0.borrow();
        if known.mask.is_empty() {
            return self.observer.event(event);
        }
        let mut event = event.clone();
        event::hide(&mut event, &known.mask);
        self.observer.event(&event)
    }

    fn barrier(&self) -> Option<Barrier> {
        self.observer.barrier()
    }
}
