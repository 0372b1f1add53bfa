//! Who sees and may do what on the pages, with real log-ins.

use super::software_update::{SCRIPT, hidden};
use super::*;
use crate::access::{Action, Role, permissions::allows};

impl Running {
    /// A page as this session sees it.
    async fn get_as(&self, session: &str, path: &str) -> Answer {
        self.browse("GET", path, &[("Cookie", &format!("keros-session={session}"))], None).await
    }

    async fn post_as(&self, session: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let cookie = format!("keros-session={session}");
        self.browse("POST", path, &[("Cookie", &cookie)], Some(&encoded(fields))).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_two_administrators_see_and_reach_the_software_update() {
    let folder = tempfile::tempdir().unwrap();
    let center = software_update::center(folder.path()).await;
    for (role, may) in [
        ("SERVICE_VIEWER", false),
        ("SERVICE_OPERATOR", false),
        ("CUSTOMER_ADMINISTRATOR", false),
        ("SERVICE_ADMINISTRATOR", true),
        ("CHANNEL_ADMINISTRATOR", true),
    ] {
        let session = center.user(&role.to_lowercase(), &[("main", role)]).await;
        let group = center.get_as(&session, "/groups/north").await;
        assert_eq!(group.status, 200, "{role}: {group:?}");
        assert_eq!(group.body.contains("Software update"), may, "{role}: {}", group.body);
        let page = center.get_as(&session, "/groups/north/software-update").await;
        assert_eq!(page.status, if may { 200 } else { 403 }, "{role}: {page:?}");
        let csrf = hidden(&group.body, "csrf").to_owned();
        let form = [("csrf", csrf.as_str()), ("kind", "jetporch"), ("script", SCRIPT)];
        let confirmation = center.post_as(&session, "/groups/north/software-update/confirm", &form).await;
        assert_eq!(confirmation.status, if may { 200 } else { 403 }, "{role}: {confirmation:?}");
    }
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_edit_groups_has_no_way_to_do_it() {
    let folder = tempfile::tempdir().unwrap();
    let center = software_update::center(folder.path()).await;
    for role in Role::ALL {
        let may = allows(role, Action::EditGroups);
        let session = center.user(&role.to_string().to_lowercase(), &[("main", &role.to_string())]).await;
        let group = center.get_as(&session, "/groups/north").await;
        assert_eq!(group.body.contains("Edit group"), may, "{role}: {}", group.body);
        let page = center.get_as(&session, "/groups/north/edit").await;
        assert_eq!(page.status, if may { 200 } else { 403 }, "{role}: {page:?}");
        let csrf = hidden(&group.body, "csrf").to_owned();
        let chosen = [("csrf", csrf.as_str()), ("eui", "7076FF0056070777")];
        let form = [("csrf", csrf.as_str()), ("name", "north"), ("description", "by somebody")];
        for (place, fields) in
            [("put-in", chosen.as_slice()), ("take-out", chosen.as_slice()), ("edit", form.as_slice())]
        {
            let answer = center.post_as(&session, &format!("/groups/north/{place}"), fields).await;
            assert_eq!(answer.status == 403, !may, "{role} {place}: {answer:?}");
        }
    }
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_the_own_csrf_field_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let center = software_update::center(folder.path()).await;
    let ada = center.user("ada", &[("main", "SERVICE_ADMINISTRATOR")]).await;
    let eve = center.user("eve", &[("main", "SERVICE_ADMINISTRATOR")]).await;
    let of_eve = hidden(&center.get_as(&eve, "/groups").await.body, "csrf").to_owned();
    for csrf in ["", "x", of_eve.as_str()] {
        let form = [("csrf", csrf), ("name", "south")];
        let answer = center.post_as(&ada, "/groups", &form).await;
        assert_eq!(answer.status, 403, "{csrf:?}: {answer:?}");
    }
    assert_eq!(center.ask("GET", "/groups/south", Value::Null).await.0, 404);
    let own = hidden(&center.get_as(&ada, "/groups").await.body, "csrf").to_owned();
    let answer = center.post_as(&ada, "/groups", &[("csrf", &own), ("name", "south")]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_customers_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let center = software_update::center(folder.path()).await;
    let (status, made) = center.ask("POST", "/customers", json!({"name": "harbour"})).await;
    assert_eq!(status, 201, "{made}");
    let session = center.user("mallory", &[("harbour", "SERVICE_ADMINISTRATOR")]).await;
    let list = center.get_as(&session, "/groups").await;
    assert!(list.status == 200 && !list.body.contains("north"), "{list:?}");
    let csrf = hidden(&list.body, "csrf").to_owned();
    let group =
        center.ask("GET", "/groups/north", Value::Null).await.1["group_id"].as_str().unwrap().to_owned();
    for name in ["north", group.as_str()] {
        for page in ["", "/edit", "/software-update"] {
            let answer = center.get_as(&session, &format!("/groups/{name}{page}")).await;
            assert_eq!(answer.status, 404, "{name}{page}: {answer:?}");
        }
        let key = uuid::Uuid::now_v7().to_string();
        let form =
            [("csrf", csrf.as_str()), ("kind", "jetporch"), ("script", SCRIPT), ("form_key", key.as_str())];
        let answer = center.post_as(&session, &format!("/groups/{name}/software-update/send"), &form).await;
        assert_eq!(answer.status, 404, "{name}: {answer:?}");
    }
    assert_eq!(center.ask("GET", "/updates", Value::Null).await.1, json!([]));
    center.stop().await;
}
