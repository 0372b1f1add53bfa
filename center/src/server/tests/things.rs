//! Something of everything, and for each route a request that is right: for tests that go over all of them.

use super::*;
use crate::links::sample::Bundle;

pub(super) const EUI: &str = "7076FF0056070123";
const SCRIPT: &str = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n";

/// What there is for every route to be asked for.
pub(super) struct Things {
    pub(super) update: String,
    pub(super) link: String,
    pub(super) blob: String,
    pub(super) webhook: String,
}

/// A gateway in a group with an update that has ended, a Magic Link, a webhook, a user: all of the customer `main`.
pub(super) async fn things(center: &Running) -> Things {
    for (path, body) in [
        ("/gateways", json!({"eui": EUI})),
        ("/groups", json!({"name": "north", "gateways": [EUI]})),
        ("/users", json!({"login": "bob", "roles": [{"customer": "main", "role": "SERVICE_VIEWER"}]})),
    ] {
        let (status, answer) = center.ask("POST", path, body).await;
        assert_eq!(status, 201, "{answer}");
    }
    let bundle = Bundle::usual(&["7076FF*"]);
    assert_eq!(center.put_link(&bundle).await.status, 201);
    let (status, update) = center.ask("POST", "/updates", script_order("north")).await;
    assert_eq!(status, 201, "{update}");
    let update = update["update_id"].as_str().unwrap().to_owned();
    assert_eq!(center.ask("POST", &format!("/updates/{update}/cancel"), Value::Null).await.0, 200);
    let (status, webhook) = center.ask("POST", "/webhooks", json!({"url": "http://127.0.0.1:9/"})).await;
    assert_eq!(status, 201, "{webhook}");
    let webhook = webhook["webhook_id"].as_str().unwrap().to_owned();
    let blob = keros_protocol::magic_link::Digest::of(&bundle.blobs[0]).to_string();
    Things { update, link: bundle.digest().to_string(), blob, webhook }
}

/// The body that a route takes; `None`: this test does not know the route.
pub(super) fn body_of(method: &str, path: &str) -> Option<Value> {
    Some(match (method, path) {
        ("GET" | "HEAD" | "DELETE", _) => Value::Null,
        ("POST", "/session") => json!({"login": "nobody", "password": "a wrong password"}),
        ("POST", "/session/set-up") => json!({"secret": "00", "password": "a long new password"}),
        ("POST", "/gateways") => json!({"eui": EUI}),
        ("POST", "/gateways/import") => Value::String(format!("eui,name\n{EUI},mast\n")),
        ("PATCH", "/gateways/{eui}") => json!({"name": "mast"}),
        ("POST", "/gateways/{eui}/move") => json!({"customer": "main"}),
        ("POST", "/gateways/{eui}/nudge" | "/gateways/{eui}/lock-out") => Value::Null,
        ("POST", "/gateways/{eui}/retire" | "/gateways/{eui}/unretire") => Value::Null,
        ("POST", "/gateways/{eui}/updates") => json!({"job": script_order("north")["job"]}),
        ("POST", "/enrolments") => json!({"gateways": [EUI]}),
        ("POST", "/groups") => json!({"name": "south"}),
        ("PATCH", "/groups/{name}") => json!({"description": "those of the north"}),
        ("POST", "/groups/{name}/nudge") => Value::Null,
        ("PUT", "/groups/{name}/gateways/{eui}") => Value::Null,
        ("POST", "/updates" | "/updates/preview") => script_order("north"),
        ("POST", "/scripts/check") => json!({"script": SCRIPT}),
        ("POST", "/updates/{id}/cancel" | "/updates/{id}/gateways/{eui}/cancel") => Value::Null,
        ("POST", "/updates/{id}/retry" | "/updates/{id}/carry-out") => json!({}),
        ("POST", "/updates/{id}/go-on") => Value::Null,
        ("POST", "/webhooks") => json!({"url": "http://127.0.0.1:9/"}),
        ("PATCH", "/webhooks/{id}") => json!({"enabled": false}),
        ("POST", "/webhooks/{id}/test") => Value::Null,
        ("POST", "/magic-links/collect") => json!({"older_than_s": 1_000_000}),
        ("POST", "/magic-links/{digest}/sign") => json!({"eui": EUI}),
        ("PUT", "/magic-links/{digest}" | "/blobs/{digest}") => json!({}),
        ("PUT", "/account/password") => json!({"old": "not this one", "new": "something quite else"}),
        ("POST", "/account/tokens") => json!({"name": "ci", "scopes": {"read": true}}),
        ("POST", "/users") => {
            json!({"login": "eve", "roles": [{"customer": "main", "role": "SERVICE_VIEWER"}]})
        }
        ("PATCH", "/users/{user}") => json!({"full_name": "Bob"}),
        ("POST", "/users/{user}/set-up") => Value::Null,
        ("POST", "/users/{user}/roles") => json!({"customer": "main", "role": "SERVICE_VIEWER"}),
        ("POST", "/customers") => json!({"name": "new"}),
        ("PATCH", "/customers/{customer}") => json!({"description": "the first"}),
        _ => return None,
    })
}

pub(super) fn filled(path: &str, things: &Things) -> String {
    let digest = if path.starts_with("/blobs") { &things.blob } else { &things.link };
    let id = match path {
        _ if path.starts_with("/updates") => things.update.as_str(),
        _ if path.starts_with("/webhooks") => things.webhook.as_str(),
        _ => "01920000-0000-7000-8000-000000000009",
    };
    path.replace("{eui}", EUI)
        .replace("{name}", "north")
        .replace("{digest}", digest)
        .replace("{id}", id)
        .replace("{user}", "bob")
        .replace("{customer}", "main")
        .replace("{role}", "SERVICE_VIEWER")
}
