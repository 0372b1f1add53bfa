//! What every route of the API does alike: errors, unknown fields and parameters, tags. The routes are those of the document.

use super::*;
use crate::api::Problem;

impl Answer {
    /// It is a problem, in form and in substance.
    fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.body);
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert!(!problem.detail.is_empty());
        problem
    }
}

/// A request with these headers and this body, as it is.
async fn raw(center: &Running, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    raw_as(center, &center.token, method, path, headers, body).await
}

/// The same with another token.
async fn raw_as(
    center: &Running,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let authorization = format!("Bearer {token}");
    let mut all = vec![("Authorization", authorization.as_str())];
    all.extend(headers);
    http(method, format!("http://{}/api/v1{path}", center.rest), &all, body.to_vec()).await
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Method and path of each operation of the document; parameters are filled in with what nobody has.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path = path
                .replace("{eui}", "7076FF00000000FF")
                .replace("{digest}", &format!("sha256:{:064}", 0))
                .replace("{id}", "01890000-0000-7000-8000-000000000000")
                .replace("{name}", "nobody")
                .replace("{user}", "nobody")
                .replace("{customer}", "nobody")
                .replace("{role}", "SERVICE_VIEWER");
            assert!(!path.contains('{'), "a parameter that this test does not know: {path}");
            all.push((method.to_uppercase(), path, operation.clone()));
        }
    }
    all
}

#[tokio::test]
async fn every_route_refuses_what_it_does_not_know_with_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let document = raw(&center, "GET", "/openapi.json", &[], b"").await.json();
    let operations = operations(&document);
    assert!(operations.len() > 20);
    for (method, path, operation) in operations {
        let what = format!("{method} {path}");
        // A parameter that nobody knows.
        let answer = raw(&center, &method, &format!("{path}?colour=red"), &[JSON], b"").await;
        assert_eq!(answer.status, 400, "{what}");
        if method == "HEAD" {
            continue;
        }
        let problem = answer.problem();
        assert_eq!(problem.errors[0].parameter.as_deref(), Some("colour"), "{what}");
        // No log-in.
        if operation["security"] != json!([]) {
            let answer = raw_as(&center, "wrong", &method, &path, &[JSON], b"").await;
            assert_eq!(answer.status, 401, "{what}");
            assert_eq!((answer.problem().status, answer.header("www-authenticate")), (401, "Bearer"));
        }
        if operation.pointer("/requestBody/content/application~1json").is_none() {
            continue;
        }
        for (headers, body, status) in [
            (&[][..], &b"{}"[..], 415),
            (&[("Content-Type", "text/plain")], b"{}", 415),
            (&[JSON], b"", 400),
            (&[JSON], b"{", 400),
            (&[JSON], b"\xff\xfe{}", 400),
            (&[JSON], b"[]", 422),
            (&[JSON], b"\"text\"", 422),
            (&[JSON], b"null", 422),
            (&[JSON], br#"{"colour": 1}"#, 422),
            (&[JSON], br#"{"colour\u0000": "\u0000"}"#, 422),
        ] {
            let answer = raw(&center, &method, &path, headers, body).await;
            assert_eq!(answer.status, status, "{what} {:?}: {}", String::from_utf8_lossy(body), answer.body);
            answer.problem();
        }
        // Arrays in arrays without an end.
        let answer = raw(&center, &method, &path, &[JSON], "[".repeat(100_000).as_bytes()).await;
        assert_eq!(
            (answer.status, answer.problem().kind.as_str()),
            (400, "urn:keros:problem:invalid-body"),
            "{what}"
        );
    }
    center.stop().await;
}

#[tokio::test]
async fn what_is_no_path_and_no_method_of_the_api_is_refused_with_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/groups/%FF", 400),
        ("GET", "/groups/a/b/c", 404),
        ("PATCH", "/groups", 405),
        ("DELETE", "/health", 405),
        ("TRACE", "/updates", 405),
        ("GET", "/gateways?limit=x", 400),
        ("GET", "/gateways?limit=-1", 400),
        ("GET", "/gateways?limit=1&limit=2", 400),
        ("GET", "/gateways?cursor=x", 400),
        ("GET", "/updates?cursor=x", 400),
        ("GET", "/updates?limit=99999999999999999999", 400),
    ] {
        let answer = raw(&center, method, path, &[], b"").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        answer.problem();
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{method} {path}");
        }
    }
    center.stop().await;
}

#[tokio::test]
async fn a_misspelled_field_is_told_with_its_place_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for (body, pointer, words) in [
        (json!({"eui": EUI, "nmae": "x"}), "/nmae", "did you mean `name`?"),
        (json!({"eui": EUI, "name": 5}), "/name", "invalid type: integer `5`"),
        (json!({"name": "x"}), "", "missing field `eui`"),
        (json!({"eui": EUI, "description": "a\0"}), "/description", "NUL"),
    ] {
        let answer = raw(&center, "POST", "/gateways", &[JSON], body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        let problem = answer.problem();
        assert_eq!(problem.kind, "urn:keros:problem:invalid-body");
        assert_eq!(problem.errors[0].pointer.as_deref(), Some(pointer));
        assert!(problem.errors[0].detail.contains(words), "{problem:?}");
    }
    // Each field once.
    let twice = format!(r#"{{"eui": "{EUI}", "eui": "{EUI}"}}"#);
    let answer = raw(&center, "POST", "/gateways", &[JSON], twice.as_bytes()).await;
    assert!(answer.problem().detail.contains("duplicate field `eui`"), "{}", answer.body);
    assert_eq!(center.ask("GET", "/gateways", Value::Null).await.1, json!([]));
    center.stop().await;
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    group_of(&center, "a", &[]).await;
    let first = raw(&center, "GET", "/groups/a", &[], b"").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && first.status == 200);
    let again = raw(&center, "GET", "/groups/a", &[("If-None-Match", &tag)], b"").await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag.as_str()));
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    center.ask("PUT", &format!("/groups/a/gateways/{EUI}"), Value::Null).await;
    let changed = raw(&center, "GET", "/groups/a", &[("If-None-Match", &tag)], b"").await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    center.stop().await;
}

#[tokio::test]
async fn a_list_comes_in_parts_that_lead_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for number in 1..=5 {
        let (status, _) = center.ask("POST", "/gateways", json!({"eui": format!("{number:016X}")})).await;
        assert_eq!(status, 201);
    }
    let mut path = "/gateways?limit=2".to_owned();
    let mut euis = Vec::new();
    loop {
        let part = raw(&center, "GET", &path, &[], b"").await;
        euis.extend(
            part.json().as_array().unwrap().iter().map(|gateway| gateway["eui"].as_str().unwrap().to_owned()),
        );
        let Some((next, _)) = part.header("link").split_once('>') else { break };
        next.strip_prefix("</api/v1").unwrap().clone_into(&mut path);
    }
    assert_eq!(euis, (1..=5).map(|number| format!("{number:016X}")).collect::<Vec<_>>());
    center.stop().await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_does_nothing_twice_and_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let order = script_order("all").to_string();
    let key = ("Idempotency-Key", "5c9b2f4e-one");
    let first = raw(&center, "POST", "/updates", &[JSON, key], order.as_bytes()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""), "{}", first.body);
    let again = raw(&center, "POST", "/updates", &[JSON, key], order.as_bytes()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(
        (again.header("idempotency-replayed"), again.header("location")),
        ("true", first.header("location"))
    );

    // Another request with the same key, at the same path and at another one.
    for (path, body) in [("/updates", script_order("other")), ("/groups", json!({"name": "new"}))] {
        let answer = raw(&center, "POST", path, &[JSON, key], body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert_eq!(answer.problem().kind, "urn:keros:problem:idempotency-key-reused");
    }
    // What was refused did nothing: with the same key it may come again.
    let key = ("Idempotency-Key", "two");
    let body = json!({"name": "late", "gateways": ["70B3D50000000001"]}).to_string();
    assert_eq!(raw(&center, "POST", "/groups", &[JSON, key], body.as_bytes()).await.status, 404);
    center.ask("POST", "/gateways", json!({"eui": "70B3D50000000001"})).await;
    assert_eq!(raw(&center, "POST", "/groups", &[JSON, key], body.as_bytes()).await.status, 201);
    for bad in ["", "with blank", &"x".repeat(129)] {
        let answer =
            raw(&center, "POST", "/groups", &[JSON, ("Idempotency-Key", bad)], body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{bad:?}");
    }
    let twice = [JSON, ("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    assert_eq!(raw(&center, "POST", "/groups", &twice, body.as_bytes()).await.status, 400);
    assert_eq!(center.ask("GET", "/updates", Value::Null).await.1.as_array().unwrap().len(), 1);
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_requests_at_once_with_one_key_one_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let center = std::sync::Arc::new(Running::start(folder.path(), external(1)).await);
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let order = script_order("all").to_string();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (center, order) = (std::sync::Arc::clone(&center), order.clone());
        tasks.spawn(async move {
            raw(&center, "POST", "/updates", &[JSON, ("Idempotency-Key", "k")], order.as_bytes()).await
        });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.unwrap();
        match answer.status {
            201 => drop(ids.insert(answer.json()["update_id"].as_str().unwrap().to_owned())),
            409 => assert_eq!(answer.problem().kind, "urn:keros:problem:idempotency-key-in-use"),
            status => panic!("{status}: {}", answer.body),
        }
    }
    assert_eq!(ids.len(), 1, "one update, whoever is answered");
    assert_eq!(center.ask("GET", "/updates", Value::Null).await.1.as_array().unwrap().len(), 1);
    std::sync::Arc::into_inner(center).unwrap().stop().await;
}

#[tokio::test]
async fn what_has_changed_since_it_was_seen_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "a", &[]).await;
    let seen = raw(&center, "GET", "/groups/a", &[], b"").await.header("etag").to_owned();
    center.ask("PUT", &format!("/groups/a/gateways/{EUI}"), Value::Null).await;
    for stale in [seen.as_str(), "\"x\"", ""] {
        let answer = raw(&center, "DELETE", "/groups/a", &[("If-Match", stale)], b"").await;
        assert_eq!(
            (answer.status, answer.problem().kind.as_str()),
            (412, "urn:keros:problem:changed-meanwhile")
        );
    }
    assert_eq!(raw(&center, "DELETE", "/groups/none", &[("If-Match", "*")], b"").await.status, 404);
    let seen = raw(&center, "GET", "/groups/a", &[], b"").await.header("etag").to_owned();
    let weak = format!("W/{seen}");
    assert_eq!(raw(&center, "DELETE", "/groups/a", &[("If-Match", &weak)], b"").await.status, 412);
    assert_eq!(raw(&center, "DELETE", "/groups/a", &[("If-Match", &seen)], b"").await.status, 204);
    assert_eq!(center.ask("GET", "/groups/a", Value::Null).await.0, 404);
    center.stop().await;
}

/// What a thing says of itself; how many messages of a webhook wait goes by what its receiver does meanwhile.
fn lasting(answer: &Answer) -> Value {
    let mut value = answer.json();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("waiting");
    }
    value
}

#[tokio::test]
async fn every_route_that_heeds_a_condition_changes_only_what_is_as_it_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let things = things::things(&center).await;
    center.ask("POST", "/customers", json!({"name": "other"})).await;
    let document = raw(&center, "GET", "/openapi.json", &[], b"").await.json();
    let (mut heeding, mut others) = (0, 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let place = things::filled(path, &things).replace("/customers/main", "/customers/other");
            let body = things::body_of(&method, path).unwrap_or_default();
            let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let is_heeding = parameters.clone().any(|one| one["name"] == "If-Match");
            if !is_heeding {
                if !matches!(method.as_str(), "GET" | "HEAD") {
                    let answer = raw(&center, &method, &place, &[JSON, ("If-Match", "*")], &body).await;
                    assert_eq!(answer.status, 400, "{method} {path}: {}", answer.body);
                    others += 1;
                }
                continue;
            }
            heeding += 1;
            let seen = raw(&center, "GET", &place, &[], b"").await;
            assert_eq!(seen.status, 200, "{place}: {}", seen.body);
            let stale = raw(&center, &method, &place, &[JSON, ("If-Match", "\"stale\"")], &body).await;
            assert_eq!(stale.status, 412, "{method} {path}: {}", stale.body);
            assert_eq!(stale.problem().kind, "urn:keros:problem:changed-meanwhile");
            let now = raw(&center, "GET", &place, &[], b"").await;
            assert_eq!(
                (now.status, lasting(&now)),
                (200, lasting(&seen)),
                "{method} {path}: nothing has changed"
            );
            // What is removed is removed in the end.
            if method == "PATCH" {
                let tags = format!("\"stale\", {}", seen.header("etag"));
                let done = raw(&center, &method, &place, &[JSON, ("If-Match", &tags)], &body).await;
                assert_eq!(done.status, 200, "{method} {path}: {}", done.body);
            }
        }
    }
    assert!(heeding >= 8 && others > 30, "{heeding} {others}");
    center.stop().await;
}

#[tokio::test]
async fn what_sends_again_or_goes_on_does_it_once_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let euis = [1, 2, 3].map(|number| Eui::from_u64(EUI.as_u64() + number));
    for eui in euis {
        center.ask("POST", "/gateways", json!({"eui": eui.to_string()})).await;
    }
    group_of(&center, "all", &euis).await;
    let mut order = script_order("all");
    order["plan"] = json!({"rollout": {"stages": ["1", "1"]}});
    let update = center.ask("POST", "/updates", order).await.1;
    let place = format!("/updates/{}", update["update_id"].as_str().unwrap());
    let key = ("Idempotency-Key", "on");
    for replayed in ["", "true"] {
        let answer = raw(&center, "POST", &format!("{place}/go-on"), &[key], b"").await;
        let stage = answer.json()["rollout"]["stage"].clone();
        let is_again = answer.header("idempotency-replayed").to_owned();
        assert_eq!((answer.status, stage, is_again.as_str()), (200, json!(2), replayed), "{}", answer.body);
    }
    assert_eq!(center.ask("GET", &place, Value::Null).await.1["rollout"]["stage"], 2);
    assert_eq!(center.ask("POST", &format!("{place}/cancel"), Value::Null).await.0, 200);
    let body = json!({"outcomes": ["cancelled"]}).to_string();
    let key = ("Idempotency-Key", "again");
    let first = raw(&center, "POST", &format!("{place}/retry"), &[JSON, key], body.as_bytes()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = raw(&center, "POST", &format!("{place}/retry"), &[JSON, key], body.as_bytes()).await;
    assert_eq!((second.status, second.header("location")), (201, first.header("location")));
    // Without a key it is refused: the first one has them.
    let third = raw(&center, "POST", &format!("{place}/retry"), &[JSON], body.as_bytes()).await;
    assert_eq!(third.status, 409, "{}", third.body);
    assert_eq!(center.ask("GET", "/updates", Value::Null).await.1.as_array().unwrap().len(), 2);
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_changes_of_what_all_saw_one_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let center = std::sync::Arc::new(Running::start(folder.path(), external(1)).await);
    group_of(&center, "a", &[]).await;
    let seen = raw(&center, "GET", "/groups/a", &[], b"").await.header("etag").to_owned();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (center, seen) = (std::sync::Arc::clone(&center), seen.clone());
        tasks.spawn(async move {
            let body = json!({"description": format!("of {number}")}).to_string();
            raw(&center, "PATCH", "/groups/a", &[JSON, ("If-Match", &seen)], body.as_bytes()).await.status
        });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[412; 11]].concat());
    std::sync::Arc::into_inner(center).unwrap().stop().await;
}
