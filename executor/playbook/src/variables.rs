//! The variables of a run, by level, and what they come to together.
//!
//! Low to high: play defaults; role defaults; what `set` and `save` stored; facts; play vars with vars_files; what the call
//! of the role says; extra vars; the item of a loop.

use handlebars::Context;
use serde_json::{Map, Value};

use crate::secrets::Secrets;
use crate::unknown::Unknown;

/// Text that `set` and `save` may store in one run, bytes.
const MAX_STORED_BYTES: usize = 4 * 1024 * 1024;

/// Merges one value over another: map into map key by key, list after list; nothing over a map keeps the map.
#[must_use]
fn merged(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            merge_variables(&mut base, over);
            Value::Object(base)
        }
        (Value::Array(mut base), Value::Array(over)) => {
            base.extend(over);
            Value::Array(base)
        }
        (base @ Value::Object(_), Value::Null) => base,
        (_, over) => over,
    }
}

/// Merges variables over others, as the language does at each level of precedence.
pub fn merge_variables(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        let value = match base.remove(&key) {
            Some(below) => merged(below, value),
            None => value,
        };
        base.insert(key, value);
    }
}

/// The two levels of a play, or of a role.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Levels {
    pub(crate) defaults: Map<String, Value>,
    /// `vars` of a play, with `vars_files` merged over them; `vars` of a role's call.
    pub(crate) vars: Map<String, Value>,
}

/// The variables of a run.
pub(crate) struct Variables {
    play: Levels,
    role: Levels,
    stored: Map<String, Value>,
    stored_bytes: usize,
    facts: Map<String, Value>,
    extra: Map<String, Value>,
    /// All levels merged; kept up to date key by key.
    context: Context,
    /// Hears of every value that did not come with the script.
    secrets: Secrets,
    /// What a dry run cannot know.
    pub(crate) unknown: Unknown,
    /// Names that are laid over all others.
    laid_over: Vec<String>,
}

impl Variables {
    pub(crate) fn new(extra: Map<String, Value>) -> Self {
        let context = Context::from(Value::Object(extra.clone()));
        let (play, role, stored, facts) = (Levels::default(), Levels::default(), Map::new(), Map::new());
        let (secrets, unknown, laid_over) = (Secrets::default(), Unknown::default(), Vec::new());
        Self { play, role, stored, stored_bytes: 0, facts, extra, context, secrets, unknown, laid_over }
    }

    /// The same, with somebody who hears of new values.
    pub(crate) fn heard_by(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// The one who hears of new values.
    pub(crate) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Goes on to another play: its levels replace those of the play before.
    pub(crate) fn enter_play(&mut self, play: &Levels) {
        self.play = play.clone();
        self.role = Levels::default();
        self.renew_all();
    }

    /// Goes on to a role, or back to the play itself, whose levels are empty: nothing stays of the role before.
    pub(crate) fn enter_role(&mut self, role: &Levels) {
        if self.role != *role {
            self.role = role.clone();
            self.renew_all();
        }
    }

    fn renew_all(&mut self) {
        let mut all = Map::new();
        for level in self.levels() {
            merge_variables(&mut all, level.clone());
        }
        self.context = Context::from(Value::Object(all));
    }

    /// All variables together.
    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// A variable's value.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.context.data().get(name)
    }

    /// Stores a result of `set` or `save`; it replaces an earlier one of that name, and lasts for the run.
    ///
    /// # Errors
    /// When all stored values together are too large.
    pub(crate) fn store(&mut self, name: &str, value: Value) -> Result<(), String> {
        self.secrets.learn(name, &value);
        let size = size_of(&value) + name.len();
        let freed = self.stored.get(name).map_or(0, |old| size_of(old) + name.len());
        if self.stored_bytes + size > MAX_STORED_BYTES + freed {
            return Err(format!("set and save would hold more than {MAX_STORED_BYTES} bytes"));
        }
        self.stored_bytes = self.stored_bytes + size - freed;
        self.stored.insert(name.to_owned(), value);
        self.unknown.remove(name);
        self.renew(name);
        Ok(())
    }

    /// What `set`, `save` and facts stored so far.
    pub(crate) const fn kept(&self) -> (&Map<String, Value>, &Map<String, Value>) {
        (&self.stored, &self.facts)
    }

    /// Has what [`Variables::kept`] gave, as if it had been stored here.
    pub(crate) fn restore(&mut self, stored: Map<String, Value>, facts: Map<String, Value>) {
        stored.iter().chain(&facts).for_each(|(name, value)| self.secrets.learn(name, value));
        self.stored_bytes = stored.iter().map(|(name, value)| size_of(value) + name.len()).sum();
        (self.stored, self.facts) = (stored, facts);
        self.renew_all();
    }

    /// Only a run would know what is stored under this name from here on.
    pub(crate) fn forget(&mut self, name: &str) {
        self.unknown.insert(name);
    }

    /// Refuses names whose values a dry run cannot know.
    ///
    /// # Errors
    /// The reason, for a person.
    pub(crate) fn refuse_unknown<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<(), String> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        for name in names {
            let mut meant = self.unknown.meant_by(name).filter(|unknown| !self.is_hidden(unknown));
            meant.try_for_each(|unknown| self.unknown.refuse(unknown))?;
        }
        Ok(())
    }

    /// Something of a higher level takes the place of what is stored, and is not merged with it.
    fn is_hidden(&self, name: &str) -> bool {
        let replaces = |value: &Value| !value.is_object() && !value.is_null();
        let mut above = [&self.facts, &self.play.vars, &self.role.vars, &self.extra].into_iter();
        self.laid_over.iter().any(|over| over == name)
            || above.any(|level| level.get(name).is_some_and(replaces))
    }

    /// Stores a fact about the machine.
    pub(crate) fn fact(&mut self, name: &str, value: Value) {
        self.secrets.learn(name, &value);
        self.facts.insert(name.to_owned(), value);
        self.renew(name);
    }

    /// Lays values over all others until the returned ones are laid back.
    pub(crate) fn overlay(&mut self, values: Map<String, Value>) -> Vec<(String, Option<Value>)> {
        values.iter().for_each(|(name, value)| self.secrets.learn(name, value));
        let Value::Object(all) = self.context.data_mut() else { return Vec::new() };
        self.laid_over.extend(values.keys().cloned());
        values.into_iter().map(|(name, value)| (name.clone(), all.insert(name, value))).collect()
    }

    /// Undoes [`Variables::overlay`].
    pub(crate) fn lay_back(&mut self, before: Vec<(String, Option<Value>)>) {
        self.laid_over.truncate(self.laid_over.len().saturating_sub(before.len()));
        let Value::Object(all) = self.context.data_mut() else { return };
        for (name, value) in before {
            match value {
                Some(value) => all.insert(name, value),
                None => all.remove(&name),
            };
        }
    }

    fn levels(&self) -> [&Map<String, Value>; 7] {
        let (play, role) = (&self.play, &self.role);
        [&play.defaults, &role.defaults, &self.stored, &self.facts, &play.vars, &role.vars, &self.extra]
    }

    /// Merges one name anew.
    fn renew(&mut self, name: &str) {
        let values = self.levels().into_iter().filter_map(|level| level.get(name)).cloned();
        let value = values.reduce(merged);
        if let (Value::Object(all), Some(value)) = (self.context.data_mut(), value) {
            all.insert(name.to_owned(), value);
        }
    }
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(size_of).sum::<usize>() + list.len(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size_of(value)).sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn maps_merge_lists_concatenate_and_nothing_keeps_a_map() {
        let mut base = map(json!({"m": {"a": 1, "b": 1}, "l": [1], "k": {"x": 1}, "s": 1}));
        merge_variables(&mut base, map(json!({"m": {"b": 2}, "l": [2], "k": null, "s": null})));
        assert_eq!(
            Value::Object(base),
            json!({"m": {"a": 1, "b": 2}, "l": [1, 2], "k": {"x": 1}, "s": null})
        );
    }

    #[test]
    fn stored_values_stand_above_defaults_and_below_vars_and_extra() {
        let mut variables = Variables::new(map(json!({"e": "extra"})));
        let defaults = map(json!({"d": "default", "s": "default"}));
        variables.enter_play(&Levels { defaults, vars: map(json!({"v": "var"})) });
        for name in ["s", "v", "e"] {
            variables.store(name, json!("stored")).unwrap();
        }
        let found: Vec<_> = ["d", "s", "v", "e"].iter().map(|n| variables.get(n).unwrap().clone()).collect();
        assert_eq!(found, [json!("default"), json!("stored"), json!("var"), json!("extra")]);
    }

    #[test]
    fn set_again_replaces_and_lasts_into_the_next_play() {
        let mut variables = Variables::new(Map::new());
        variables.store("l", json!([1])).unwrap();
        variables.store("l", json!([2])).unwrap();
        variables.enter_play(&Levels::default());
        assert_eq!(variables.get("l"), Some(&json!([2])));
    }

    #[test]
    fn a_role_has_its_own_levels_and_leaves_nothing_behind() {
        let mut variables = Variables::new(Map::new());
        let play = Levels { defaults: map(json!({"a": 1, "b": 1})), vars: map(json!({"c": 1, "d": 1})) };
        let role = Levels { defaults: map(json!({"b": 2, "c": 2})), vars: map(json!({"d": 2})) };
        variables.enter_play(&play);
        variables.enter_role(&role);
        let all = json!({"a": 1, "b": 2, "c": 1, "d": 2});
        assert_eq!(variables.context().data(), &all);
        variables.enter_role(&Levels::default());
        assert_eq!(variables.context().data(), &json!({"a": 1, "b": 1, "c": 1, "d": 1}));
    }

    #[test]
    fn an_overlay_hides_and_is_taken_back() {
        let mut variables = Variables::new(map(json!({"item": "mine"})));
        let before = variables.overlay(map(json!({"item": 1, "new": 2})));
        assert_eq!(variables.get("item"), Some(&json!(1)));
        variables.lay_back(before);
        assert_eq!(variables.get("item"), Some(&json!("mine")));
        assert_eq!(variables.get("new"), None);
    }

    #[test]
    fn stored_values_have_a_bound() {
        let mut variables = Variables::new(Map::new());
        assert!(variables.store("a", json!("x".repeat(3_000_000))).is_ok());
        assert!(variables.store("a", json!("y".repeat(3_000_000))).is_ok(), "the first is replaced");
        assert!(variables.store("b", json!("z".repeat(3_000_000))).is_err());
    }
}
