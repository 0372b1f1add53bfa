//! Bad input to every route of the API and to every form of the pages: it is refused by name, and nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use super::pages::encoded;
use super::things::{EUI as THERE, Things, body_of, filled, things};
use super::*;
use crate::bounds::TEND_PERIOD;
use crate::store::Store;

/// What changes while requests are refused: it is written down that somebody was refused, and webhooks go out.
const NOT_COMPARED: &[&str] = &["audit", "webhook_messages"];

/// What is in the database, by table.
async fn dump(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut snapshot = store.snapshot().await.unwrap();
    let mut all = BTreeMap::new();
    for table in snapshot.tables().await.unwrap() {
        let mut lines = Vec::new();
        let take = |part: &crate::store::Rows| {
            lines.extend(part.rows.iter().map(|row| serde_json::to_string(row).unwrap()));
            Ok::<(), crate::store::StoreError>(())
        };
        snapshot.rows(&table, 1 << 20, take).await.unwrap();
        lines.sort();
        if !NOT_COMPARED.contains(&table.as_str()) {
            all.insert(table, lines);
        }
    }
    all
}

/// The same, once the center has done what it does by itself: it looks after its updates.
async fn settled(store: &Store) -> BTreeMap<String, Vec<String>> {
    loop {
        let before = dump(store).await;
        tokio::time::sleep(3 * TEND_PERIOD).await;
        if before == dump(store).await {
            return before;
        }
    }
}

/// The tables that are not the same.
fn changed(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let tables = before.keys().chain(after.keys()).collect::<BTreeSet<_>>();
    let differs = tables.into_iter().filter(|table| before.get(*table) != after.get(*table));
    differs.map(|table| format!("{table}: {:?} -> {:?}", before.get(table), after.get(table))).collect()
}

/// A request that is not as it should be.
struct Case {
    what: String,
    path: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
}

/// Values that are of another type than this one.
fn other_types(value: &Value) -> Vec<Value> {
    let all = [json!("word"), json!(true), json!(-1), json!(1.5), json!(["a", 1]), json!({"a": {"b": 1}})];
    let same = |a: &Value, b: &Value| std::mem::discriminant(a) == std::mem::discriminant(b);
    all.into_iter().filter(|other| !same(other, value)).collect()
}

/// What is wrong with a JSON body in each way, but for fields of the body that are free.
fn bodies(good: &Value, schema: &Value) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: String, body: Value| all.push((what, serde_json::to_vec(&body).unwrap()));
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        add(format!("no {name}"), body);
    }
    add("an unknown field".to_owned(), with("colour", json!(1)));
    for (name, value) in good.as_object().into_iter().flatten() {
        for other in other_types(value) {
            add(format!("{name} is {other}"), with(name, other));
        }
        if value.is_string() {
            add(format!("{name} has a NUL"), with(name, json!("a\0b")));
            add(format!("{name} has 1.5 MB"), with(name, json!("x".repeat(1_500_000))));
        }
    }
    let text = serde_json::to_string(good).unwrap();
    let deep = format!("{{\"colour\": {}", "[".repeat(100_000));
    all.extend([
        ("nothing".to_owned(), Vec::new()),
        ("half of it".to_owned(), text.as_bytes()[..text.len() / 2].to_vec()),
        ("no UTF-8".to_owned(), [b"{\"colour\": \"", &b"\xff\xfe"[..], b"\"}"].concat()),
        ("arrays in arrays".to_owned(), deep.into_bytes()),
        ("3 MB".to_owned(), format!("{{\"colour\": \"{}\"}}", "x".repeat(3_000_000)).into_bytes()),
        ("a number beyond all".to_owned(), br#"{"colour": 1e999}"#.to_vec()),
    ]);
    all
}

/// Names of things that nobody has given: in place of the last parameter of a path.
const ODD_NAMES: &[&str] =
    &["%00", "%FF", "a%00b", "%2e%2e%2f", "%27%20OR%201%3D1%20--", "%F0%9F%92%A9", "%"];

fn cases(method: &str, route: &str, operation: &Value, document: &Value, things: &Things) -> Vec<Case> {
    let path = filled(route, things);
    let mut all = Vec::new();
    let mut case = |what: &str, path: String, content_type, body: &[u8]| {
        all.push(Case { what: format!("{method} {route}: {what}"), path, content_type, body: body.to_vec() });
    };
    let content = operation["requestBody"]["content"].as_object().and_then(|all| all.iter().next());
    let (content_type, good) = match content {
        Some((name, _)) => {
            let known = ["application/json", "text/csv", "application/octet-stream"];
            let name = known.into_iter().find(|known| known == name);
            (name.or(Some("application/vnd.oci.image.manifest.v1+json")), body_of(method, route))
        }
        None => (None, None),
    };
    let good = good.unwrap_or_default();
    let right = serde_json::to_vec(&good).unwrap();
    for query in ["colour=red", "a=%FF", "limit=%00", "limit=-1&limit=2", "%zz"] {
        case(&format!("?{query}"), format!("{path}?{query}"), content_type, &right);
    }
    for parameter in
        operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query")
    {
        let name = parameter["name"].as_str().unwrap();
        for value in ["%00", "a%FF"] {
            case(&format!("?{name}={value}"), format!("{path}?{name}={value}"), content_type, &right);
        }
        if parameter["schema"]["type"] == "integer" {
            for value in ["-1", "x", "1e3", "99999999999999999999"] {
                case(&format!("?{name}={value}"), format!("{path}?{name}={value}"), content_type, &right);
            }
        }
    }
    if let Some((before, _)) = route.rsplit_once('{').filter(|(_, name)| name.ends_with('}')) {
        // To put something under another name is no mistake, and an account is named by nobody else.
        let before = filled(before, things);
        let huge = "a".repeat(5000);
        for odd in ODD_NAMES.iter().copied().chain([huge.as_str()]) {
            case(&format!("named {odd:.20}"), format!("{before}{odd}"), content_type, &right);
        }
    }
    match content_type {
        Some("application/json") => {
            let reference = content.unwrap().1["schema"]["$ref"].as_str().unwrap().trim_start_matches('#');
            for (what, body) in bodies(&good, document.pointer(reference).unwrap()) {
                case(&what, path.clone(), content_type, &body);
            }
            case("no media type", path.clone(), None, &right);
            case("another media type", path.clone(), Some("text/csv"), &right);
        }
        Some("text/csv") => {
            for (what, body) in [
                ("nothing", Vec::new()),
                ("no UTF-8", b"eui,name\n\xff\xfe,a\n".to_vec()),
                ("a NUL", format!("eui,name\n{THERE},a\0b\n").into_bytes()),
                ("an unknown column", format!("eui,colour\n{THERE},red\n").into_bytes()),
                ("no EUI", b"eui,name\nnobody,a\n".to_vec()),
                ("the same twice", format!("eui\n{THERE}\n{THERE}\n").into_bytes()),
                ("a huge field", format!("eui,name\n{THERE},{}\n", "x".repeat(1_000_000)).into_bytes()),
                ("a quote without an end", format!("eui,name\n{THERE},\"a\n").into_bytes()),
                ("3 MB", format!("eui,name\n{THERE},{}\n", "x".repeat(3_000_000)).into_bytes()),
            ] {
                case(what, path.clone(), content_type, &body);
            }
        }
        Some(_) => {
            for (what, body) in [("nothing", &b""[..]), ("garbage", b"\xff\0{"), ("another digest", b"{}")] {
                case(what, path.clone(), content_type, body);
            }
            case("arrays in arrays", path.clone(), content_type, "[".repeat(100_000).as_bytes());
        }
        None => {}
    }
    all
}

/// What is wrong with the answer, if anything is.
fn judged(case: &Case, answer: ureq::http::Response<ureq::Body>) -> Option<String> {
    let status = answer.status().as_u16();
    let is_problem =
        answer.headers().get("content-type").is_some_and(|found| found == "application/problem+json");
    let text = answer.into_body().read_to_string().unwrap_or_default();
    let is_refused = (400..500).contains(&status) && is_problem;
    (!is_refused).then(|| format!("{}: {status} {text:.300}", case.what))
}

/// Where something else than a refusal is right.
fn is_fine(what: &str) -> bool {
    // What a gateway would say of a script is the answer.
    let is_told = what.starts_with("POST /scripts/check: script has 1.5 MB");
    // Nobody reads a body there.
    is_told || what.starts_with("HEAD ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_bad_input_with_a_problem_and_nothing_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let things = things(&center).await;
    let chief = center.user("chief", &[("*", "CHANNEL_ADMINISTRATOR")]).await;
    let document = center.ask("GET", "/openapi.json", Value::Null).await.1;
    let (store, _) = Store::open_as_it_is(&folder.path().join("data"), None, false).await.unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        // A connection ends with a body that was refused unread: the next request needs another one.
        .max_idle_connections(0)
        .timeout_global(Some(LIMIT))
        .build()
        .into();
    let (mut wrong, mut tried) = (Vec::new(), 0);
    let mut before = settled(&store).await;
    for (route, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let cases = cases(&method, route, operation, &document, &things);
            tried += cases.len();
            let (agent, rest, token) = (agent.clone(), center.rest, chief.clone());
            let asked = tokio::task::spawn_blocking(move || {
                let mut wrong = Vec::new();
                for case in cases.into_iter().filter(|case| !is_fine(&case.what)) {
                    let mut request = ureq::http::Request::builder()
                        .method(method.as_str())
                        .uri(format!("http://{rest}/api/v1{}", case.path))
                        .header("Authorization", format!("Bearer {token}"));
                    if let Some(content_type) = case.content_type {
                        request = request.header("Content-Type", content_type);
                    }
                    match agent.run(request.body(case.body.clone()).unwrap()) {
                        Ok(answer) => wrong.extend(judged(&case, answer)),
                        // A body that is too large is refused before all of it has come.
                        Err(_) if case.body.len() > 2 << 20 => {}
                        Err(error) => wrong.push(format!("{}: {error}", case.what)),
                    }
                }
                wrong
            });
            wrong.extend(asked.await.unwrap());
            let after = dump(&store).await;
            wrong.extend(
                changed(&before, &after).into_iter().map(|what| format!("{route} changed {what:.300}")),
            );
            before = after;
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 1200, "{tried}");
    println!("{tried} bad requests were refused");
    store.close().await;
    center.stop().await;
}

/// A form of a page: where it is sent, and its fields with what is in them.
type Form = (String, Vec<(String, String)>);

/// What stands between two texts, each time.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    Some(value.replace("&#38;", "&").replace("&amp;", "&").replace("&#34;", "\""))
}

/// The forms of a page that change something.
fn forms(page: &str) -> Vec<Form> {
    let all = between(page, "<form", "</form>").into_iter().filter(|form| form.contains("method=\"post\""));
    all.filter_map(|form| {
        let fields =
            ["<input", "<textarea", "<select", "<button"].into_iter().flat_map(|tag| between(form, tag, ">"));
        let fields = fields
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())));
        Some((attribute(form, "action")?, fields.collect()))
    })
    .collect()
}

/// Every form of every page that can be reached by links.
async fn all_forms(center: &Running, session: &str) -> BTreeMap<String, Form> {
    let cookie = format!("keros-session={session}");
    let (mut seen, mut next) = (BTreeSet::new(), vec!["/groups".to_owned()]);
    let mut all = BTreeMap::new();
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) || seen.len() > 200 {
            continue;
        }
        let page = center.browse("GET", &path, &[("Cookie", &cookie)], None).await;
        assert!(page.status < 400, "{path}: {page:?}");
        for (action, fields) in forms(&page.body) {
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            let order =
                fields.iter().find(|(name, _)| name == "order").map_or("", |(_, value)| value.as_str());
            all.insert(format!("{action} {names:?} {order}"), (action, fields));
        }
        let links = between(&page.body, "<a", ">").into_iter().filter_map(|tag| attribute(tag, "href"));
        let files = [".csv", "/export", "/logout"];
        next.extend(
            links.filter(|link| link.starts_with('/') && !files.iter().any(|file| link.contains(file))),
        );
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_the_pages_refuses_bad_input_and_nothing_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    things(&center).await;
    let chief = center.user("chief", &[("*", "CHANNEL_ADMINISTRATOR")]).await;
    let cookie = format!("keros-session={chief}");
    let forms = all_forms(&center, &chief).await;
    let (store, _) = Store::open_as_it_is(&folder.path().join("data"), None, false).await.unwrap();
    let mut before = settled(&store).await;
    let mut wrong = Vec::new();
    // The log-out is right whatever else the form says.
    for (action, fields) in forms.values().filter(|(action, _)| action != "/logout") {
        let form = |name: &str, value: Option<&str>| {
            let pairs = fields.iter().filter(|(field, _)| field != name);
            let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>();
            let changed =
                value.map(|value| format!("&{}={value}", encoded(&[(name, "")]).trim_end_matches('=')));
            encoded(&pairs) + &changed.unwrap_or_default()
        };
        let mut cases: Vec<(String, String)> = vec![
            ("no csrf".to_owned(), form("csrf", None)),
            ("csrf of nobody".to_owned(), form("csrf", Some("00"))),
            ("csrf twice".to_owned(), form("", None) + "&csrf=00"),
            ("nothing".to_owned(), String::new()),
            ("an unencoded NUL".to_owned(), form("colour", Some("\0"))),
        ];
        for (name, _) in fields {
            cases.push((format!("{name} no UTF-8"), form(name, Some("a%FFb"))));
            cases.push((format!("{name} with a NUL"), form(name, Some("a%00b"))));
            // Which button was pressed: what is none of the others is the usual one.
            if name != "action" {
                cases.push((format!("{name} of 1.5 MB"), form(name, Some(&"x".repeat(1_500_000)))));
            }
            cases.push((format!("{name} twice"), form("", None) + &format!("&{name}=1&{name}=2")));
        }
        for (what, body) in cases {
            let answer = center.browse("POST", action, &[("Cookie", &cookie)], Some(&body)).await;
            if !(400..500).contains(&answer.status) {
                wrong.push(format!("{action}, {what}: {} {:.200}", answer.status, answer.body));
            }
        }
        let after = dump(&store).await;
        wrong
            .extend(changed(&before, &after).into_iter().map(|what| format!("{action} changed {what:.300}")));
        before = after;
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(forms.len() >= 10, "{:?}", forms.keys());
    store.close().await;
    center.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_is_refused_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let token = &center.token;
    let requests = ["/api/v1/groups", "/groups", "/api/v1/session"].map(|path| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
        format!("{head}Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    });
    let rest = center.rest;
    let dripping =
        requests.clone().map(|request| tokio::task::spawn_blocking(move || slow(rest, &request, true)));
    let silent = requests.map(|request| tokio::task::spawn_blocking(move || slow(rest, &request, false)));
    for (one, drips) in dripping.into_iter().map(|one| (one, true)).chain(silent.map(|one| (one, false))) {
        let (answer, after) = one.await.unwrap();
        // An answer that a drop crosses is lost with its connection.
        assert!(answer.starts_with("HTTP/1.1 408 ") || (drips && answer.is_empty()), "{answer}");
        assert!(after >= crate::bounds::HTTP_BODY_LIMIT, "{after:?}");
    }
    assert_eq!(center.ask("GET", "/groups", Value::Null).await, (200, json!([])));
    center.stop().await;
}

/// Sends this, then perhaps a drop now and then, until there is an answer or no connection any more; and how long that took.
fn slow(rest: SocketAddr, request: &str, drips: bool) -> (String, Duration) {
    let mut stream = std::net::TcpStream::connect(rest).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let begin = Instant::now();
    let mut answer = [0; 1024];
    while begin.elapsed() < 3 * crate::bounds::HTTP_BODY_LIMIT {
        let sent = if drips { stream.write_all(b" ") } else { Ok(()) };
        match stream.read(&mut answer) {
            Ok(length) => return (String::from_utf8_lossy(&answer[..length]).into_owned(), begin.elapsed()),
            Err(error) if sent.is_ok() && error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return (String::new(), begin.elapsed()),
        }
    }
    panic!("never refused")
}
