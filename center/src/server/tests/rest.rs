//! The REST API, without a broker.

use super::*;
use crate::api::Problem;

#[tokio::test]
async fn rest_refuses_with_problem_details() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for (method, path, body, status) in [
        ("GET", "/gateways/xyz", Value::Null, 400),
        ("GET", "/gateways/7076FF0056070123", Value::Null, 404),
        ("POST", "/gateways", json!({"eui": "12"}), 422),
        ("POST", "/gateways", json!([]), 422),
        ("GET", "/groups/none", Value::Null, 404),
        ("POST", "/groups", json!({"name": "a/b"}), 422),
        ("POST", "/groups", json!({"name": "a", "gateways": ["7076FF0056070123"]}), 404),
        ("PUT", "/groups/none/gateways/7076FF0056070123", Value::Null, 404),
        ("POST", "/updates", script_order("none"), 404),
        ("GET", "/updates/1", Value::Null, 400),
        ("GET", "/updates/01890000-0000-7000-8000-000000000000", Value::Null, 404),
        ("POST", "/updates/1/cancel", Value::Null, 400),
        ("POST", "/updates/01890000-0000-7000-8000-000000000000/cancel", Value::Null, 404),
        ("POST", "/updates/01890000-0000-7000-8000-000000000000/gateways/x/cancel", Value::Null, 400),
        ("GET", "/updates/01890000-0000-7000-8000-000000000000/cancel", Value::Null, 405),
        ("POST", "/gateways/7076FF0056070123/nudge", Value::Null, 404),
        ("GET", "/nothing", Value::Null, 404),
        ("PATCH", "/groups", Value::Null, 405),
    ] {
        let (found, body) = center.ask(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {body}");
        let problem: Problem = serde_json::from_value(body).unwrap();
        assert_eq!(problem.status, status);
        assert!(!problem.detail.is_empty());
    }
    center.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let (rest, token) = (center.rest, center.token.clone());
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(rest).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "POST /api/v1/groups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 10000000\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(answer.await.unwrap(), "HTTP/1.1 413");
    center.stop().await;
}

#[tokio::test]
async fn rest_needs_the_token_for_all_but_health() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for path in ["/gateways", "/updates/1/events", "/nothing"] {
        for token in ["", "wrong", &center.token[..63]] {
            let (status, _) = ask(center.rest, token, "GET", path, Value::Null).await;
            assert_eq!(status, 401, "{path} {token:?}");
        }
    }
    assert_eq!(ask(center.rest, "", "GET", "/health", Value::Null).await.0, 200);
    center.stop().await;
}

#[tokio::test]
async fn groups_and_updates_by_rest() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for (eui, name) in [("7076ff0056070123", "mast"), ("70-76-FF-00-56-07-01-24", "roof")] {
        let (status, body) = center.ask("POST", "/gateways", json!({"eui": eui, "name": name})).await;
        assert_eq!((status, &body["declared"], &body["name"]), (201, &json!(true), &json!(name)));
    }
    group_of(&center, "a b", &[EUI]).await;
    let (status, _) = center.ask("POST", "/groups", json!({"name": "a b"})).await;
    assert_eq!(status, 409);
    let (status, group) = center.ask("PUT", "/groups/a%20b/gateways/7076FF0056070124", Value::Null).await;
    assert_eq!((status, group["gateways"].as_array().unwrap().len()), (200, 2));
    let (_, gateways) = center.ask("GET", "/gateways?limit=1", Value::Null).await;
    assert_eq!((gateways.as_array().unwrap().len(), &gateways[0]["groups"]), (1, &json!(["a b"])));

    // Not connected: no nudge.
    let (status, _) = center.ask("POST", "/gateways/7076FF0056070123/nudge", Value::Null).await;
    assert_eq!(status, 409);

    let (status, first) = center.ask("POST", "/updates", script_order("a b")).await;
    assert_eq!((status, &first["state"]), (201, &json!("in_progress")));
    let (status, problem) = center.ask("POST", "/updates", script_order("a b")).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains(first["update_id"].as_str().unwrap()));

    // Another group with one of the gateways has to wait too.
    group_of(&center, "other", &[EUI]).await;
    let (status, _) = center.ask("POST", "/updates", script_order("other")).await;
    assert_eq!(status, 409);
    let (_, list) = center.ask("GET", "/updates", Value::Null).await;
    assert_eq!((list.as_array().unwrap().len(), list[0].get("gateways")), (1, None));
    assert_eq!((&list[0]["open"], &list[0]["overdue"]), (&json!(2), &json!(0)));

    // What waits is cancelled at once, for one gateway or for all, and then another update may follow.
    let path = |rest: &str| format!("/updates/{}{rest}", first["update_id"].as_str().unwrap());
    let one = path("/gateways/7076ff0056070124/cancel");
    let (status, answer) = center.ask("POST", &one, Value::Null).await;
    assert_eq!((status, &answer["answers"]), (200, &json!({"never_delivered": 1})), "{answer}");
    let (_, answer) = center.ask("POST", &path("/cancel"), Value::Null).await;
    assert_eq!(answer["answers"], json!({"never_delivered": 2}), "{answer}");
    assert_eq!(answer["gateways"][0]["answer"], "never_delivered");
    let (_, view) = center.ask("GET", &path(""), Value::Null).await;
    assert_eq!((&view["state"], &view["ended"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(center.ask("POST", "/updates", script_order("other")).await.0, 201);

    let (status, group) = center.ask("DELETE", "/groups/a%20b/gateways/7076FF0056070124", Value::Null).await;
    assert_eq!((status, group["gateways"].as_array().unwrap().len()), (200, 1));
    assert_eq!(center.ask("DELETE", "/groups/a%20b", Value::Null).await.0, 204);
    assert_eq!(center.ask("GET", "/groups/a%20b", Value::Null).await.0, 404);
    center.stop().await;
}

#[tokio::test]
async fn a_script_that_cannot_be_read_is_refused_with_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let mut order = script_order("all");
    let script = order["job"]["script"].as_str().unwrap().replace("!echo", "!ecco");
    order["job"]["script"] = json!(script);
    let (status, problem) = center.ask("POST", "/updates", order).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("script:5"), "{problem}");
    center.stop().await;
}

#[tokio::test]
async fn orders_out_of_bounds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    group_of(&center, "empty", &[]).await;
    let with = |key: &str, value: Value| {
        let mut order = script_order("all");
        order[key] = value;
        order
    };
    let script = |text: String| json!({"kind": "jetporch", "script": text});
    for order in [
        script_order("empty"),
        with("expires_in_s", json!(0)),
        with("expires_in_s", json!(1_000_000_000)),
        with("limits", json!({"total_s": 0})),
        with("options", json!({"confirm_window_s": 1_000_000})),
        with("job", json!({"kind": "later"})),
        with(
            "job",
            json!({"kind": "magic_link", "digest": format!("sha256:{:064}", 0), "source": "ftp://host/x"}),
        ),
        with("job", script("x".repeat(300 * 1024))),
        with("job", script("\u{1}".repeat(250 * 1024))),
    ] {
        let (status, body) = center.ask("POST", "/updates", order.clone()).await;
        assert_eq!(status, 422, "{body}");
    }
    center.stop().await;
}
