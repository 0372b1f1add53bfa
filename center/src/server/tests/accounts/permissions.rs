//! Every role on every route.

use super::*;
use crate::access::{Action, Role, permissions::allows};
use crate::links::sample::Bundle;
use crate::rest::guarded_routes;

const EUI: &str = "7076FF0056070123";
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

#[tokio::test]
async fn every_role_may_do_on_every_route_what_the_table_of_permissions_says_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let things = things(&center).await;
    let routes = guarded_routes();
    let mut sessions = Vec::new();
    for role in Role::ALL {
        sessions.push((role, center.user(&role.as_str().to_lowercase(), &[("*", role.as_str())]).await));
    }
    // Those who may not come first: what they ask for is still there.
    for may in [false, true] {
        for (method, path, action) in &routes {
            let body = body_of(method.as_str(), path);
            let body = body.unwrap_or_else(|| panic!("{method} {path}: this route needs a case here"));
            for (role, session) in sessions.iter().filter(|(role, _)| allows(*role, *action) == may) {
                let place = filled(path, &things);
                // Its answer has no end.
                if *path == "/events" && may {
                    assert_eq!(center.first_status_as(session, &place).await, 200, "{role} {path}");
                    continue;
                }
                let (status, answer) = center.ask_as(session, method.as_str(), &place, body.clone()).await;
                let as_said = if may { !matches!(status, 401 | 403 | 500) } else { status == 403 };
                assert!(as_said, "{role} {method} {path} ({action:?}, {may}): {status} {answer}");
            }
        }
    }
    center.stop().await;
}

#[tokio::test]
async fn nobody_is_served_without_a_log_in_or_with_a_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let things = things(&center).await;
    for (method, path, _) in guarded_routes() {
        let place = format!("/api/v1{}", filled(path, &things));
        let body = body_of(method.as_str(), path).unwrap_or(Value::Null);
        for headers in [&[][..], &[("Authorization", "Bearer keros_00")], &[("Cookie", "keros-session=00")]] {
            let answer = center.send(method.as_str(), &place, headers, body.clone()).await;
            assert_eq!(answer.status, 401, "{method} {path} {headers:?}: {answer:?}");
        }
    }
    center.stop().await;
}

#[test]
fn the_page_of_permissions_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/permissions.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- The table is made by a test. -->\n", "<!-- End of the table. -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    let mut table = "| | SERVICE_ VIEWER | SERVICE_ OPERATOR | SERVICE_ ADMINISTRATOR | CUSTOMER_ ADMINISTRATOR | CHANNEL_ ADMINISTRATOR | token scope |\n\
                     | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for action in Action::ALL {
        let marks = Role::ALL.map(|role| if allows(role, action) { "yes" } else { "–" });
        table.push_str(&format!(
            "| {} | {} | {} |\n",
            action.as_str(),
            marks.join(" | "),
            action.needs().as_str()
        ));
    }
    if found != table && std::env::var_os("KEROS_BLESS").is_some() {
        std::fs::write(path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        found, table,
        "KEROS_BLESS=1 cargo test -p keros-center --lib permissions writes docs/permissions.md anew"
    );
}
