//! `echo`, `debug`, `fail`, `assert`, `set`: they change nothing on the machine, and run in a dry run too.

use keros_protocol::executor::{TaskResult, TaskStatus};
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};
use serde_json::{Map, Value};

use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;
use crate::template::{Condition, Text};
use crate::yaml::{Node, Yaml, refuse_tags};

/// A passive task that says something.
struct Say(String);

impl Action for Say {
    fn apply(&mut self, _: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let message = Some(shorten(&self.0, MAX_TEXT_BYTES)).filter(|message| !message.is_empty());
        Ok(TaskResult { message, ..TaskResult::of(TaskStatus::Passive) })
    }
}

/// A task that fails with these words.
struct Refuse(String);

impl Action for Refuse {
    fn apply(&mut self, _: &mut Run<'_>) -> Result<TaskResult, Failure> {
        Err(self.0.clone().into())
    }
}

#[derive(Debug)]
pub(super) struct Echo(Text);

impl Echo {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        Some(Box::new(Self(fields.required_text("msg")?)))
    }
}

impl Module for Echo {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        Ok(Box::new(Say(scope.message(&self.0)?)))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

#[derive(Debug)]
pub(super) struct Fail(Option<Text>);

impl Fail {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        Some(Box::new(Self(fields.text("msg"))))
    }
}

impl Module for Fail {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let message = self.0.as_ref().map(|text| scope.message(text)).transpose()?;
        Ok(Box::new(Refuse(message.unwrap_or_else(|| "fail invoked".to_owned()))))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

/// `debug`: shows variables; all of them but the loop's item when none is named.
#[derive(Debug)]
pub(super) struct Debug(Option<Vec<String>>);

impl Debug {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        // Two versions of the language have two names for it.
        let (old, new) = (fields.texts("variables"), fields.texts("vars"));
        let names = new.or(old);
        let names = names.map(|list| list.iter().filter_map(|node| node.text()).map(str::to_owned).collect());
        Some(Box::new(Self(names)))
    }
}

impl Module for Debug {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        scope.variables.refuse_unknown(self.0.iter().flatten().map(String::as_str))?;
        let Some(all) = scope.variables.context().data().as_object() else {
            return Ok(Box::new(Say(String::new())));
        };
        let is_shown = |name: &String| match &self.0 {
            Some(names) => names.contains(name),
            None => name != "item",
        };
        let shown = all.iter().filter(|(name, _)| is_shown(name));
        let mut lines: Vec<String> = shown.map(|(name, value)| format!("{name}: {value}")).collect();
        for name in self.0.iter().flatten().filter(|name| !all.contains_key(*name)) {
            lines.push(format!("{name} is not defined"));
        }
        Ok(Box::new(Say(lines.join("\n"))))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

/// `assert`: all of these must hold.
#[derive(Debug)]
pub(super) struct Assert {
    claims: Vec<(Claim, Vec<Condition>)>,
    message: Option<Text>,
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    AllTrue,
    AllFalse,
    SomeTrue,
}

impl Assert {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let keys = [
            ("true", Claim::AllTrue),
            ("false", Claim::AllFalse),
            ("all_true", Claim::AllTrue),
            ("all_false", Claim::AllFalse),
            ("some_true", Claim::SomeTrue),
        ];
        let mut claims = Vec::new();
        for (key, claim) in keys {
            if let Some(node) = fields.node(key) {
                claims.push((claim, conditions(key, node, fields)));
            }
        }
        Some(Box::new(Self { claims, message: fields.text("msg") }))
    }

    fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        for (claim, conditions) in &self.claims {
            let mut results = Vec::with_capacity(conditions.len());
            for condition in conditions {
                results.push(scope.holds(condition)?);
            }
            let holds = match claim {
                Claim::AllTrue => results.iter().all(|holds| *holds),
                Claim::AllFalse => !results.contains(&true),
                Claim::SomeTrue => results.contains(&true),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// One condition or a list of them.
fn conditions(key: &str, node: &Node, fields: &mut Fields<'_, '_>) -> Vec<Condition> {
    let nodes = match &node.value {
        Yaml::List(list) => list.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut conditions = Vec::new();
    for node in nodes {
        match node.text() {
            Some(text) => conditions.extend(Condition::of_field(text, node.at, fields.findings)),
            None => fields.wrong(key, node, "a condition or a list of conditions"),
        }
    }
    conditions
}

impl Module for Assert {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let message = self.message.as_ref().map(|text| scope.message(text)).transpose()?;
        if self.holds(scope)? {
            return Ok(Box::new(Say(String::new())));
        }
        let message =
            message.map_or_else(|| "assertion failed".to_owned(), |text| format!("assertion failed: {text}"));
        Ok(Box::new(Refuse(message)))
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

/// `set`: stores variables; texts at the top are rendered, all else is taken as it is.
#[derive(Debug)]
pub(super) struct Set {
    texts: Vec<(String, Text)>,
    values: Map<String, Value>,
}

impl Set {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let mut set = Self { texts: Vec::new(), values: Map::new() };
        let Some(node) = fields.node("vars") else { return Some(Box::new(set)) };
        refuse_tags(node, fields.findings);
        let Yaml::Map(pairs) = &node.value else {
            fields.wrong("vars", node, "a mapping");
            return None;
        };
        for (key, value) in pairs {
            let name = key.text().unwrap_or_default().to_owned();
            match value.to_json() {
                Value::String(text) => {
                    let text = Text::compile(&text, "vars", value.at, fields.findings);
                    set.texts.extend(text.map(|text| (name, text)));
                }
                other => {
                    set.values.insert(name, other);
                }
            }
        }
        Some(Box::new(set))
    }
}

impl Module for Set {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let mut values = self.values.clone();
        for (name, text) in &self.texts {
            match scope.message(text) {
                Ok(value) => _ = values.insert(name.clone(), Value::String(value)),
                // As in jetp: a failure of the act, unless a dry run only does not know.
                Err(message) => {
                    scope.refuse_unknown(text)?;
                    return Ok(Box::new(Refuse(message)));
                }
            }
        }
        Ok(Box::new(Store(values)))
    }

    fn saves(&self, _: &Scope<'_>) -> Vec<String> {
        self.texts.iter().map(|(name, _)| name).chain(self.values.keys()).cloned().collect()
    }

    fn only_touches_files(&self) -> bool {
        true
    }
}

struct Store(Map<String, Value>);

impl Action for Store {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        for (name, value) in &self.0 {
            run.variables.store(name, value.clone())?;
        }
        Ok(TaskResult::of(TaskStatus::Passive))
    }
}
