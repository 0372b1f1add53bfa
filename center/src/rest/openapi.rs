//! The OpenAPI 3.1 document, made of the table of routes. `docs/center-api.openapi.json` is what this makes.

use axum::Json;
use axum::http::{Method, StatusCode};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::{Map, Value, json};

use super::auth::COOKIE;
use super::problem::PROBLEM_JSON;
use super::route::{Content, Route};
use super::table::routes;
use crate::api::Problem;

/// `GET /openapi.json`.
pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

/// The document.
pub(super) fn document() -> Value {
    let mut answers = components().for_serialize().into_generator();
    let mut orders = Map::new();
    let mut paths = Map::new();
    let problem = answers.subschema_for::<Problem>().to_value();
    for route in routes() {
        let operation = operation(&route, &mut answers, &mut orders, &problem);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    let mut schemas = answers.take_definitions(true);
    schemas.extend(orders);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "keros-center",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The management center's REST API. Errors are problem details (RFC 9457); `docs/rest.md` has examples.",
            "license": {"name": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/api/v1"}],
        // Either; a browser's session changes things only with what a page of this center was told.
        "security": [{"token": []}, {"session": [], "csrf": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token of a user, or the token in the file `api-token` of the center's data folder.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "The cookie that `POST /session` sets.",
                },
                "csrf": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-CSRF-Token",
                    "description": "`csrf` in what `POST /session` and `GET /session` answer.",
                },
            },
            "schemas": schemas,
        },
    })
}

fn components() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

fn operation(
    route: &Route,
    answers: &mut SchemaGenerator,
    orders: &mut Map<String, Value>,
    problem: &Value,
) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), json!(name(route)));
    operation.insert("summary".to_owned(), json!(route.summary));
    if let Some(action) = route.action {
        operation.insert("x-keros-action".to_owned(), json!(format!("{action:?}")));
        if matches!(route.method, Method::GET | Method::HEAD) {
            operation.insert("security".to_owned(), json!([{"token": []}, {"session": []}]));
        }
    } else {
        operation.insert("security".to_owned(), json!([]));
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), json!(parameters));
    }
    if let Some(media_type) = route.body.media_type() {
        let schema = order_schema(route.body, orders);
        operation
            .insert("requestBody".to_owned(), json!({"required": true, "content": {media_type: schema}}));
    }
    operation.insert("responses".to_owned(), Value::Object(responses(route, answers, problem)));
    Value::Object(operation)
}

/// `get_groups_name`.
fn name(route: &Route) -> String {
    let path = route.path.replace(['{', '}'], "").replace(['/', '-', '.'], "_");
    format!("{}{path}", route.method.as_str().to_lowercase())
}

/// What a body may be: objects with named fields have no others. It stands under its type's name.
fn order_schema(content: Content, orders: &mut Map<String, Value>) -> Value {
    let Content::Json(schema_of) = content else { return json!({"schema": {}}) };
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut generator = settings.clone().into_generator();
    let mut schema = schema_of(&mut generator);
    RecursiveTransform(|schema: &mut schemars::Schema| {
        if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    })
    .transform(&mut schema);
    // The type's name is in the reference to it, where it is not inlined.
    let mut named = components().into_generator();
    let reference = schema_of(&mut named).to_value();
    let name = reference["$ref"].as_str().and_then(|text| text.rsplit('/').next()).unwrap_or("Body");
    let name = format!("{name}Body");
    orders.insert(name.clone(), schema.to_value());
    json!({"schema": {"$ref": format!("#/components/schemas/{name}")}})
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut all: Vec<Value> = route
        .parameters()
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": path_schema(route.path, name)}))
        .collect();
    let query = route.query_schema().unwrap_or_default();
    let required = |name: &String| query["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        let mut schema = schema.clone();
        without_null(&mut schema);
        all.push(json!({"name": name, "in": "query", "required": required(name), "schema": schema}));
    }
    let mut header = |name: &str, description: &str, schema: Value| {
        all.push(json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema}));
    };
    if route.is_conditional {
        header(
            "If-Match",
            "The `ETag` of what is to be changed; 412 when it has changed since.",
            json!({"type": "string"}),
        );
    }
    if route.is_once {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"});
        header(
            "Idempotency-Key",
            "The same key again within a day does nothing twice, and answers the same.",
            schema,
        );
    }
    all
}

/// A parameter that is absent is absent: it cannot be null.
fn without_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
}

fn path_schema(path: &str, name: &str) -> Value {
    match (path.split('/').nth(1), name) {
        (_, "eui") => {
            json!({"type": "string", "description": "A gateway's EUI; any spelling is read.", "pattern": "^[0-9A-Fa-f]{16}$"})
        }
        (Some("updates"), "id") => json!({"type": "string", "format": "uuid"}),
        (Some("blobs"), _) => json!({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}),
        (_, "digest") => {
            json!({"type": "string", "description": "`sha256:` and 64 hex digits, or the first 8 or more of them.", "pattern": "^(sha256:[0-9a-f]{64}|[0-9a-f]{8,64})$"})
        }
        _ => json!({"type": "string", "description": "Its id or its name.", "minLength": 1}),
    }
}

fn responses(route: &Route, answers: &mut SchemaGenerator, problem: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for (status, content) in &route.answers {
        let mut answer = json!({"description": words(*status)});
        if let Some(media_type) = content.media_type() {
            let body = match content {
                Content::Json(schema) => json!({"schema": schema(answers).to_value()}),
                _ => json!({}),
            };
            answer["content"] = json!({media_type: body});
        }
        if route.is_paged {
            answer["headers"] = json!({"Link": {"description": "`rel=\"next\"`: the next part (RFC 8288).", "schema": {"type": "string"}}});
        }
        all.insert(status.to_string(), answer);
    }
    let is_read = route.method == "GET"
        && !route.is_endless
        && !matches!(route.answers.first(), Some((_, Content::Events)));
    if is_read {
        all.insert("304".to_owned(), json!({"description": "It is as `If-None-Match` says."}));
    }
    for status in route.all_refusals() {
        let mut refusal = json!({"description": words(status)});
        if route.method != "HEAD" {
            refusal["content"] = json!({PROBLEM_JSON: {"schema": problem}});
        }
        all.insert(status.to_string(), refusal);
    }
    all
}

fn words(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("See its status")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::problem::Kind;
    use super::*;

    /// A file of `docs/` says what it should; with `KEROS_BLESS` it is made to.
    fn held(file: &str, expected: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
        if std::env::var_os("KEROS_BLESS").is_some() {
            std::fs::write(&path, expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/{file} is stale: KEROS_BLESS=1 cargo test -p keros-center --lib rest"
        );
    }

    #[test]
    fn the_document_in_the_folder_is_the_one_that_is_served() {
        held("center-api.openapi.json", &format!("{:#}\n", document()));
    }

    /// The table of `docs/rest.md`.
    fn table() -> String {
        use std::fmt::Write as _;

        use crate::access::{Role, permissions};
        let mut table =
            "| route | roles | what it does | answers | refusals |\n| --- | --- | --- | --- | --- |\n"
                .to_owned();
        let list = |statuses: Vec<u16>| statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        for route in routes() {
            let roles = route.action.map_or_else(
                || "everybody".to_owned(),
                |action| {
                    let may = Role::ALL.into_iter().filter(|role| permissions::allows(*role, action));
                    may.map(letter).collect::<Vec<_>>().join(" ")
                },
            );
            let answers = list(route.answers.iter().map(|(status, _)| *status).collect());
            let refusals = list(route.all_refusals());
            let mut summary = route.summary.to_owned();
            for (is, note) in [
                (route.is_paged, "In parts."),
                (route.is_once, "Once by key."),
                (route.is_conditional, "`If-Match`."),
            ] {
                if is {
                    summary = format!("{summary} {note}");
                }
            }
            let (method, path) = (&route.method, route.path);
            let _ = writeln!(table, "| `{method} {path}` | {roles} | {summary} | {answers} | {refusals} |");
        }
        table
    }

    fn letter(role: crate::access::Role) -> &'static str {
        use crate::access::Role;
        match role {
            Role::ServiceViewer => "V",
            Role::ServiceOperator => "O",
            Role::ServiceAdministrator => "A",
            Role::CustomerAdministrator => "C",
            Role::ChannelAdministrator => "H",
        }
    }

    #[test]
    fn the_page_has_every_route_with_its_roles_and_every_kind_of_problem() {
        let page =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rest.md")).unwrap();
        let (before, rest) = page.split_once("<!-- routes -->").unwrap();
        let (_, after) = rest.split_once("<!-- end of routes -->").unwrap();
        held("rest.md", &format!("{before}<!-- routes -->\n{}<!-- end of routes -->{after}", table()));
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Blank) {
            assert!(before.contains(kind.uri()), "docs/rest.md does not say what {} is", kind.uri());
        }
    }

    #[test]
    fn every_route_has_a_name_of_its_own_an_answer_and_a_sentence() {
        let mut names = std::collections::BTreeSet::new();
        for route in routes() {
            let name = name(&route);
            assert!(!route.answers.is_empty(), "{name} answers nothing");
            assert!(route.summary.ends_with('.') && route.summary.len() < 80, "{name}: {:?}", route.summary);
            assert!(names.insert(name.clone()), "{name} is there twice");
        }
    }

    #[test]
    fn no_reference_of_the_document_leads_nowhere() {
        fn look(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let found = document.pointer(reference.trim_start_matches('#'));
                        assert!(found.is_some(), "{reference}");
                    }
                    fields.values().for_each(|value| look(value, document));
                }
                Value::Array(values) => values.iter().for_each(|value| look(value, document)),
                _ => {}
            }
        }
        let document = document();
        look(&document, &document);
    }
}
