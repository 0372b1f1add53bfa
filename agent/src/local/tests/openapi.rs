//! `docs/local-api.openapi.yaml` is what the code does: the same paths and methods, each answer that it names is given here over a real
//! socket and fits its schema, no other is given, and no field is in one of them alone.

use std::collections::BTreeSet;

use keros_protocol::magic_link::Digest;

use super::super::routes;
use super::control::envelope;
use super::*;

const EMPTY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What was documented, and what of it was seen.
struct Document {
    all: Value,
    /// Path, method, status.
    answered: BTreeSet<(String, String, String)>,
    /// Fields of the schemas.
    fields: BTreeSet<String>,
}

impl Document {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/local-api.openapi.yaml");
        let all = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        Self { all, answered: BTreeSet::new(), fields: BTreeSet::new() }
    }

    fn operations(&self) -> impl Iterator<Item = (&String, &String, &Value)> {
        let paths = self.all["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
        })
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> (Option<&'a str>, &'a Value) {
        let Some(reference) = value["$ref"].as_str() else { return (None, value) };
        let found = self.all.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} is nowhere"));
        (reference.rsplit('/').next(), found)
    }

    fn check(&mut self, schema: &Value, value: &Value) {
        let mut whole = schema.clone();
        whole["components"] = self.all["components"].clone();
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {value:#}");
        let mut fields = BTreeSet::new();
        self.see(schema, value, &mut fields);
        self.fields.extend(fields);
    }

    fn see(&self, schema: &Value, value: &Value, fields: &mut BTreeSet<String>) {
        let (name, schema) = self.resolved(schema);
        for item in value.as_array().into_iter().flatten() {
            self.see(&schema["items"], item, fields);
        }
        for (field, of_field) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(found) = value.get(field).filter(|found| !found.is_null()) {
                fields.insert(format!("{}.{field}", name.unwrap_or_default()));
                self.see(of_field, found, fields);
            }
        }
    }

    /// Asks, and holds the answer against the document.
    fn ask(&mut self, socket: &Path, request: &Asked<'_>, expected: u16) {
        let Asked { method, path, template, .. } = *request;
        let answer = request.send(socket);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{method} {path}: {answer}");
        let status = expected.to_string();
        let operation = &self.all["paths"][template][method.to_lowercase()];
        let responses = &operation["responses"];
        let response =
            responses.get(&status).unwrap_or_else(|| panic!("{method} {template} has no {status}"));
        let response = self.resolved(response).1.clone();
        self.answered.insert((template.to_owned(), method.to_lowercase(), status));
        let Some(contents) = response["content"].as_object() else { return };
        let media = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        let media = media.split(';').next().unwrap();
        let content = contents.get(media).unwrap_or_else(|| panic!("{method} {template}: {media}")).clone();
        let value = if media.ends_with("json") {
            serde_json::from_str(body).unwrap()
        } else {
            Value::String(body.to_owned())
        };
        self.check(&content["schema"], &value);
    }
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    template: &'a str,
    /// Headers and body.
    rest: &'a str,
}

impl Asked<'_> {
    fn send(&self, socket: &Path) -> String {
        let mut stream = UnixStream::connect(socket).unwrap();
        let request = format!("{} {} HTTP/1.1\r\nHost: a\r\n{}", self.method, self.path, self.rest);
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

const NO_BODY: &str = "\r\n";

fn asked<'a>(method: &'a str, path: &'a str, template: &'a str) -> Asked<'a> {
    Asked { method, path, template, rest: NO_BODY }
}

#[test]
fn the_document_has_the_paths_and_methods_of_the_code() {
    let document = Document::read();
    let documented: BTreeSet<_> = document
        .operations()
        .map(|(path, method, operation)| {
            (operation["x-socket"].as_str().unwrap().to_owned(), path.clone(), method.to_uppercase())
        })
        .collect();
    let of = |socket: &str, path: &str, allow: &str| -> Vec<_> {
        allow.split(", ").map(|method| (socket.to_owned(), path.to_owned(), method.to_owned())).collect()
    };
    let status = routes::STATUS.iter().flat_map(|route| of("status", route.path, route.allow));
    let control = routes::CONTROL.iter().flat_map(|route| of("control", route.path, route.allow));
    assert_eq!(documented, status.chain(control).collect());
}

#[test]
fn each_answer_of_the_document_is_given_and_fits_and_no_field_is_missing() {
    let mut document = Document::read();
    seen(&mut document);
    cancelled_and_commanded(&mut document);
    blobs(&mut document);
    let full = serde_json::to_value(super::super::metrics::full_view()).unwrap();
    document.check(&serde_json::json!({ "$ref": "#/components/schemas/Status" }), &full);
    let documented: BTreeSet<_> = document
        .operations()
        .flat_map(|(path, method, operation)| {
            let statuses = operation["responses"].as_object().unwrap().keys();
            statuses.map(move |status| (path.clone(), method.clone(), status.clone()))
        })
        .filter(|(_, _, status)| status != "default")
        .collect();
    assert_eq!(document.answered, documented);
    let schemas = document.all["components"]["schemas"].as_object().unwrap();
    let fields: BTreeSet<_> = schemas
        .iter()
        .flat_map(|(name, schema)| {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(move |(field, _)| format!("{name}.{field}"))
        })
        .collect();
    assert_eq!(document.fields, fields);
}

fn seen(document: &mut Document) {
    let server = Server::start(Some(TelemetryAnswer::Due { at_unix_s: 7 }));
    let socket = server.socket();
    for path in ["/metrics", "/v1/status", "/v1/jobs", "/v1/config"] {
        document.ask(&socket, &asked("GET", path, path), 200);
    }
    let old = Asked { rest: "Accept: text/plain\r\n\r\n", ..asked("GET", "/metrics", "/metrics") };
    document.ask(&socket, &old, 200);
    for (id, status) in [("00000000-0000-0000-0000-000000000001", 200), ("x", 400)] {
        document.ask(&socket, &asked("GET", &format!("/v1/jobs/{id}"), "/v1/jobs/{id}"), status);
    }
    let none = "/v1/jobs/00000000-0000-0000-0000-000000000009";
    document.ask(&socket, &asked("GET", none, "/v1/jobs/{id}"), 404);
    let now = asked("POST", "/v1/telemetry", "/v1/telemetry");
    document.ask(&socket, &now, 202);
    let server = Server::start(Some(TelemetryAnswer::TooSoon { retry_after_s: 42 }));
    document.ask(&server.socket(), &now, 429);
    document.ask(&Server::start(None).socket(), &now, 503);
}

fn cancelled_and_commanded(document: &mut Document) {
    let server = Server::start(None);
    let socket = server.control();
    for (id, status) in [(1, 200), (2, 202), (3, 200), (4, 200), (5, 503), (6, 404)] {
        let path = format!("/v1/jobs/00000000-0000-0000-0000-00000000000{id}/cancel");
        document.ask(&socket, &asked("POST", &path, "/v1/jobs/{id}/cancel"), status);
    }
    document.ask(&socket, &asked("POST", "/v1/jobs/x/cancel", "/v1/jobs/{id}/cancel"), 400);
    for template in ["/v1/commands", "/v1/commands/check"] {
        let taken = if template.ends_with("check") { 200 } else { 202 };
        for (payload, status) in [("x", taken), ("refused", 200), ("full", 503), ("nameless", 400)] {
            let json = serde_json::to_string(&envelope(payload)).unwrap();
            let rest = format!("Content-Length: {}\r\n\r\n{json}", json.len());
            document.ask(&socket, &Asked { rest: &rest, ..asked("POST", template, template) }, status);
        }
        let long = format!("Content-Length: 10000000\r\n\r\n{}", "x".repeat(10_000_000));
        for (rest, status) in [("Content-Length: 9\r\n\r\n{", 408), (&*long, 413)] {
            document.ask(&socket, &Asked { rest, ..asked("POST", template, template) }, status);
        }
    }
}

fn blobs(document: &mut Document) {
    const TEMPLATE: &str = "/v1/blobs/{digest}";
    let server = Server::start_with(None, 1 << 45);
    let socket = server.control();
    let path = format!("/v1/blobs/{}", Digest::of(b"right"));
    let put = |rest| Asked { rest, ..asked("PUT", &path, TEMPLATE) };
    document.ask(&socket, &asked("HEAD", &path, TEMPLATE), 404);
    for (rest, status) in [
        ("Content-Length: 5\r\n\r\nwrong", 422),
        ("Content-Length: 5\r\n\r\nrig", 408),
        (NO_BODY, 411),
        ("Content-Length: 70368744177664\r\n\r\n", 413),
        ("Content-Length: 17592186044416\r\n\r\n", 507),
    ] {
        document.ask(&socket, &put(rest), status);
    }
    let mut slow = UnixStream::connect(&socket).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nr");
    slow.write_all(head.as_bytes()).unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    while server.files().is_empty() {
        assert!(Instant::now() < limit, "the first one was not begun");
        std::thread::yield_now();
    }
    document.ask(&socket, &put("Content-Length: 5\r\n\r\nright"), 503);
    drop(slow);
    let whole = put("Content-Length: 5\r\n\r\nright");
    document.ask(&socket, &whole, 201);
    document.ask(&socket, &whole, 200);
    document.ask(&socket, &asked("HEAD", &path, TEMPLATE), 200);
    for (method, rest) in [("HEAD", NO_BODY), ("PUT", "Content-Length: 0\r\n\r\n")] {
        document.ask(&socket, &Asked { rest, ..asked(method, "/v1/blobs/x", TEMPLATE) }, 400);
    }
    let server = Server::start(None);
    let _ = std::fs::remove_dir_all(server.bundles());
    std::fs::write(server.bundles(), "a file where a folder should be").unwrap();
    let other = format!("/v1/blobs/sha256:{EMPTY}");
    for (method, rest) in [("HEAD", NO_BODY), ("PUT", "Content-Length: 5\r\n\r\nright")] {
        document.ask(&server.control(), &Asked { rest, ..asked(method, &other, TEMPLATE) }, 500);
    }
}

#[test]
fn what_any_path_may_answer_is_a_problem_of_the_document() {
    let mut document = Document::read();
    let server = Server::start(None);
    let socket = server.socket();
    let silent: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let long = "x".repeat(9000);
    for (method, path, rest, status) in [
        ("GET", "/v1/status", NO_BODY, 429),
        ("GET", "/nowhere", NO_BODY, 404),
        ("BREW", "/v1/status", NO_BODY, 405),
        ("GET", "/v1/status", "Content-Length: 5000\r\n\r\n", 413),
        ("GET", "/v1/status", &*long, 431),
    ] {
        let asked = Asked { method, path, template: "", rest };
        let limit = Instant::now() + 20 * TIMEOUT;
        let mut answer = asked.send(&socket);
        while status != 429 && answer.starts_with("HTTP/1.1 429 ") {
            assert!(Instant::now() < limit, "the silent ones are never dropped");
            std::thread::sleep(Duration::from_millis(10));
            answer = asked.send(&socket);
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        // What is no request is answered by the HTTP library, without a body.
        if status != 431 {
            let problem = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
            document.check(&serde_json::json!({ "$ref": "#/components/schemas/Problem" }), &problem);
        }
    }
    drop(silent);
}
