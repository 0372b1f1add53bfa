//! What JSON Schema says that serde does not: fields that nobody asked for, with what was meant; NUL, which no database takes.

use serde_json::{Map, Value};

use crate::api::FieldProblem;

/// More help nobody.
const MOST: usize = 20;

/// Deeper values are not looked into: the schemas of the API end long before, what is free below them is bounded where it is used.
const MAX_DEPTH: usize = 32;

/// What is wrong with a value whose schema has no references (`inline_subschemas`).
pub(super) fn problems(schema: &Value, value: &Value) -> Vec<FieldProblem> {
    let mut found = Vec::new();
    look(schema, value, &mut String::new(), 0, &mut found);
    found.truncate(MOST);
    found
}

/// A name among those that are known that may have been meant.
pub(super) fn suggestion<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let unknown = unknown.to_lowercase().replace('-', "_");
    let likeness = |name: &str| strsim::jaro(&unknown, name);
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.8)
}

/// "unknown field", with what was meant or what there is.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let name: String = name.chars().take(64).collect();
    match suggestion(&name, known.iter().copied()) {
        Some(meant) => format!("unknown {what} `{name}`: did you mean `{meant}`?"),
        None if known.is_empty() => format!("unknown {what} `{name}`: there is none"),
        None => format!("unknown {what} `{name}`: there are {}", known.join(", ")),
    }
}

fn look(schema: &Value, value: &Value, pointer: &mut String, depth: usize, found: &mut Vec<FieldProblem>) {
    if found.len() >= MOST || depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::String(text) if text.contains('\0') => {
            found.push(problem(pointer, "it has a NUL character (U+0000)".to_owned()));
        }
        Value::Array(values) => {
            let items = one_of(schema, value).get("items").unwrap_or(&Value::Null);
            for (number, value) in values.iter().enumerate() {
                below(items, value, &number.to_string(), pointer, depth, found);
            }
        }
        Value::Object(fields) => {
            let schema = one_of(schema, value);
            let properties = schema.get("properties").and_then(Value::as_object);
            // An object without properties of its own is free.
            let closed = properties.is_some()
                && !schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false));
            for (name, value) in fields {
                let property = properties.and_then(|properties| properties.get(name));
                if closed && property.is_none() {
                    let known: Vec<&str> =
                        properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                    found.push(problem(&in_it(pointer, name), unknown("field", name, &known)));
                }
                if name.contains('\0') {
                    found.push(problem(pointer, "a name in it has a NUL character (U+0000)".to_owned()));
                }
                below(property.unwrap_or(&Value::Null), value, name, pointer, depth, found);
            }
        }
        _ => {}
    }
}

fn below(
    schema: &Value,
    value: &Value,
    name: &str,
    pointer: &mut String,
    depth: usize,
    found: &mut Vec<FieldProblem>,
) {
    let end = pointer.len();
    *pointer = in_it(pointer, name);
    look(schema, value, pointer, depth + 1, found);
    pointer.truncate(end);
}

/// RFC 6901, section 3.
fn in_it(pointer: &str, name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn problem(pointer: &str, detail: String) -> FieldProblem {
    FieldProblem { pointer: Some(pointer.to_owned()), parameter: None, detail }
}

/// Of several schemas the one that is meant: the one whose constants are in the value, or the first that has the value's type.
fn one_of<'a>(schema: &'a Value, value: &Value) -> &'a Value {
    let Some(several) = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(name)?.as_array()) else {
        return schema;
    };
    let fits = |one: &&Value| {
        let constants = one.get("properties").and_then(Value::as_object);
        constants.into_iter().flatten().all(|(name, property)| {
            property.get("const").is_none_or(|constant| value.get(name) == Some(constant))
        }) && one.get("type").and_then(Value::as_str) != Some("null")
    };
    several.iter().find(fits).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;
    use serde_json::json;

    use super::*;
    use crate::api::SendUpdate;

    fn found(value: Value) -> Vec<(String, String)> {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<SendUpdate>().to_value();
        let problems = problems(&schema, &value).into_iter();
        problems.map(|problem| (problem.pointer.unwrap_or_default(), problem.detail)).collect()
    }

    #[test]
    fn a_field_that_nobody_knows_is_told_with_its_place_and_what_was_meant() {
        let job = json!({"kind": "jetporch", "script": "", "vars": {"anything": {"goes": 1}}});
        let order = |job: &Value| json!({"group": "a", "job": job});
        assert_eq!(found(order(&job)), []);
        let mut with = order(&job);
        with["grup"] = json!("b");
        with["limits"] = json!({"totals": 5});
        with["options"] = json!({"colour": 1});
        with["job"]["scripts"] = json!("");
        let found = found(with);
        let expected = [
            ("/grup", "did you mean `group`?"),
            ("/job/scripts", "did you mean `script`?"),
            ("/limits/totals", "did you mean `total_s`?"),
            ("/options/colour", "there are confirm_window_s, dry_run"),
        ];
        for ((place, detail), (expected_place, words)) in found.iter().zip(expected) {
            assert_eq!(place, expected_place);
            assert!(detail.contains(words), "{detail}");
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
    }

    #[test]
    fn nul_is_found_wherever_it_is() {
        let job = json!({"kind": "jetporch", "script": "a\0", "vars": {"x": ["\0"], "\0": 1}});
        let places: Vec<String> =
            found(json!({"group": "a", "job": job})).into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["/job/script", "/job/vars", "/job/vars/x/0"]);
    }

    #[test]
    fn there_are_no_more_than_help() {
        let fields: Map<String, Value> = (0..1000).map(|n| (format!("x{n}"), Value::Null)).collect();
        assert_eq!(found(Value::Object(fields)).len(), MOST);
    }
}
