//! Every role on every route.

use super::super::things::{body_of, filled, things};
use super::*;
use crate::access::{Action, Role, permissions::allows};
use crate::rest::guarded_routes;

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
