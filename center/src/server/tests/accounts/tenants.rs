//! What is another customer's is not there.

use super::super::things::{body_of, filled, things};
use super::*;
use crate::rest::guarded_routes;

#[tokio::test]
async fn another_customers_things_are_not_there_whatever_the_role() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let things = things(&center).await;
    assert_eq!(center.ask("POST", "/customers", json!({"name": "other"})).await.0, 201);
    let stranger = center.user("stranger", &[("other", "CHANNEL_ADMINISTRATOR")]).await;
    for (method, path, _) in guarded_routes() {
        // What is put there becomes the stranger's own, and his account is.
        let own = method == "PUT" && (path.starts_with("/blobs") || path == "/magic-links/{digest}");
        if !path.contains('{') || own {
            continue;
        }
        let body = body_of(method.as_str(), path).unwrap();
        let (status, answer) = center.ask_as(&stranger, method.as_str(), &filled(path, &things), body).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
    }
    for path in ["/gateways", "/groups", "/updates", "/magic-links", "/enrolments", "/webhooks"] {
        let (status, answer) = center.ask_as(&stranger, "GET", path, Value::Null).await;
        assert_eq!((status, answer), (200, json!([])), "{path}");
    }
    for path in ["/users", "/customers", "/audit", "/audit.csv", "/updates.csv", "/gateways/export"] {
        let (status, answer) = center.ask_as(&stranger, "GET", path, Value::Null).await;
        let text = answer.to_string();
        assert!(
            status == 200 && ["bob", "\"main\"", "north", "7076FF"].iter().all(|word| !text.contains(word)),
            "{path}: {text}"
        );
    }
    for (path, body) in [
        ("/updates", script_order("north")),
        ("/updates/preview", script_order("north")),
        ("/groups", json!({"name": "mine", "gateways": ["7076FF0056070123"]})),
        ("/groups", json!({"name": "mine", "customer": "main"})),
        ("/gateways", json!({"eui": "7076FF0056070123"})),
        ("/gateways", json!({"eui": "7076FF0056070999", "customer": "main"})),
        ("/users", json!({"login": "eve", "roles": [{"customer": "main", "role": "SERVICE_VIEWER"}]})),
        ("/enrolments", json!({"gateways": ["7076FF0056070123"]})),
        ("/webhooks", json!({"url": "http://127.0.0.1:9/", "customer": "main"})),
    ] {
        let (status, answer) = center.ask_as(&stranger, "POST", path, body).await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
    center.stop().await;
}

#[tokio::test]
async fn two_customers_may_have_groups_of_the_same_name_and_who_sees_both_names_them_by_id() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    assert_eq!(center.ask("POST", "/customers", json!({"name": "other"})).await.0, 201);
    let other = center.user("olga", &[("other", "SERVICE_ADMINISTRATOR")]).await;
    let (status, first) = center.ask("POST", "/groups", json!({"name": "north"})).await;
    assert_eq!(status, 201, "{first}");
    let (status, second) = center.ask_as(&other, "POST", "/groups", json!({"name": "north"})).await;
    assert_eq!((status, &second["customer"]), (201, &json!("other")), "{second}");
    let (status, problem) = center.ask("GET", "/groups/north", Value::Null).await;
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(status, 409, "{problem}");
    for group in [&first, &second] {
        let id = group["group_id"].as_str().unwrap();
        assert!(detail.contains(id), "{detail}");
        let (_, found) = center.ask("GET", &format!("/groups/{id}"), Value::Null).await;
        assert_eq!(&found, group);
    }
    let (_, found) = center.ask_as(&other, "GET", "/groups/north", Value::Null).await;
    assert_eq!(found, second, "olga sees only one of them");
    // A gateway of one customer is in no group of another one.
    assert_eq!(center.ask("POST", "/gateways", json!({"eui": "7076FF0056070123"})).await.0, 201);
    let id = second["group_id"].as_str().unwrap();
    let place = format!("/groups/{id}/gateways/7076FF0056070123");
    assert_eq!(center.ask("PUT", &place, Value::Null).await.0, 409);
    center.stop().await;
}

#[tokio::test]
async fn a_user_holds_different_roles_on_different_customers_and_sent_updates_say_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    assert_eq!(center.ask("POST", "/customers", json!({"name": "other"})).await.0, 201);
    let ada = center.user("ada", &[("main", "SERVICE_VIEWER"), ("other", "SERVICE_ADMINISTRATOR")]).await;
    for (customer, eui, group) in
        [("main", "7076FF0056070001", "first"), ("other", "7076FF0056070002", "second")]
    {
        let gateway = json!({"eui": eui, "customer": customer});
        assert_eq!(center.ask("POST", "/gateways", gateway).await.0, 201);
        let order = json!({"name": group, "gateways": [eui], "customer": customer});
        assert_eq!(center.ask("POST", "/groups", order).await.0, 201);
    }
    assert_eq!(center.ask_as(&ada, "POST", "/updates", script_order("first")).await.0, 403);
    let (status, update) = center.ask_as(&ada, "POST", "/updates", script_order("second")).await;
    assert_eq!((status, &update["created_by"], &update["customer"]), (201, &json!("ada"), &json!("other")));
    let (_, audit) = center.ask("GET", "/audit?user=ada&result=refused", Value::Null).await;
    assert_eq!(audit[0]["subject"], "POST /updates", "{audit}");
    let (_, audit) = center.ask("GET", "/audit?customer=other&result=done", Value::Null).await;
    assert_eq!((&audit[0]["action"], &audit[0]["user"]), (&json!("send updates"), &json!("ada")), "{audit}");
    center.stop().await;
}

#[tokio::test]
async fn a_link_is_its_customers_and_stays_while_another_one_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let bundle = crate::links::sample::Bundle::usual(&["7076FF*"]);
    assert_eq!(center.put_link(&bundle).await.status, 201);
    assert_eq!(center.ask("POST", "/customers", json!({"name": "other"})).await.0, 201);
    let olga = center.user("olga", &[("other", "SERVICE_ADMINISTRATOR")]).await;
    let place = format!("/magic-links/{}", bundle.digest());
    assert_eq!(center.ask_as(&olga, "GET", &place, Value::Null).await.0, 404);
    let authorization = format!("Bearer {olga}");
    let headers = [("Authorization", authorization.as_str())];
    let answer =
        center.send_bytes("PUT", &format!("/api/v1{place}"), &headers, bundle.manifest.clone()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(center.ask_as(&olga, "GET", &place, Value::Null).await.0, 200);
    assert_eq!(center.ask_as(&olga, "DELETE", &place, Value::Null).await.0, 200);
    assert_eq!(center.ask_as(&olga, "GET", &place, Value::Null).await.0, 404);
    assert_eq!(center.ask("GET", &place, Value::Null).await.0, 200, "main has it still");
    center.stop().await;
}
