//! The page that changes a group, without scripts.

use super::*;

#[tokio::test]
async fn a_group_is_changed_its_rule_previewed_and_members_put_in_and_taken_out_by_forms_alone() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let other = Eui::from_u64(0x7076_FF00_5607_0777);
    center.ask("POST", "/gateways", json!({"eui": EUI, "name": "mast"})).await;
    let path = format!("/gateways/{EUI}");
    let (status, body) = center.ask("PATCH", &path, json!({"labels": ["roof"]})).await;
    assert_eq!(status, 200, "{body}");
    center.ask("POST", "/gateways", json!({"eui": other, "name": "<b>dam"})).await;
    let (_, group) = center.ask("POST", "/groups", json!({"name": "north"})).await;
    let place = format!("/groups/{}", group["group_id"].as_str().unwrap());
    assert!(center.get(&place).await.body.contains(&format!("href=\"{place}/edit\"")));
    let edit = format!("{place}/edit");

    let form = |rule, action| {
        vec![
            ("name", "South"),
            ("description", "hills"),
            ("rule", rule),
            ("alerting", "yes"),
            ("action", action),
        ]
    };
    let preview = center.post(&edit, &form("label = roof", "preview")).await;
    assert!(preview.status == 200 && preview.body.contains("1 gateway now."), "{}", preview.body);
    assert!(preview.body.contains("mast") && !preview.body.contains("dam"), "{}", preview.body);
    let wrong = center.post(&edit, &form("label is roof", "preview")).await;
    assert!(wrong.status == 422 && wrong.body.contains("Not done"), "{wrong:?}");
    assert_eq!(center.post(&edit, &form("label is roof", "save")).await.status, 422);
    let kept = center.ask("GET", place.as_str(), Value::Null).await.1;
    assert_eq!((&kept["name"], kept.get("rule")), (&json!("north"), None), "nothing was saved");

    let saved = center.post(&edit, &form("label = roof", "save")).await;
    assert_eq!((saved.status, saved.header("location")), (303, place.as_str()), "{saved:?}");
    let kept = center.ask("GET", place.as_str(), Value::Null).await.1;
    assert_eq!(
        (&kept["name"], &kept["rule"], &kept["alerting"]),
        (&json!("South"), &json!("label = roof"), &json!(true))
    );

    let found = center.get(&format!("{edit}?search=dam")).await.body;
    assert!(
        found.contains("PUT IN") && found.contains("&#60;b&#62;dam") && !found.contains("<b>dam"),
        "{found}"
    );
    let other = other.to_string();
    let chosen = [("eui", other.as_str()), ("search", "dam")];
    let put = center.post(&format!("{place}/put-in"), &chosen).await;
    assert_eq!((put.status, put.header("location")), (303, format!("{edit}?search=dam#members").as_str()));
    assert_eq!(center.ask("GET", place.as_str(), Value::Null).await.1["put_in"], json!([other]));
    let page = center.get(&edit).await.body;
    assert!(page.contains("TAKE OUT") && !page.contains("PUT IN"), "{page}");
    assert_eq!(center.post(&format!("{place}/take-out"), &chosen).await.status, 303);
    assert_eq!(center.ask("GET", place.as_str(), Value::Null).await.1.get("put_in"), None);
    assert_eq!(center.post(&format!("{place}/put-in"), &[("eui", "x")]).await.status, 400);
    center.stop().await;
}

#[tokio::test]
async fn of_two_who_change_a_group_the_second_is_told_what_the_first_has_done() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let (_, group) = center.ask("POST", "/groups", json!({"name": "north"})).await;
    let place = format!("/groups/{}", group["group_id"].as_str().unwrap());
    let edit = format!("{place}/edit");
    let seen = |page: &str| super::software_update::hidden(page, "seen").replace("&#34;", "\"");
    let both = seen(&center.get(&edit).await.body);
    let save = async |seen: &str, description: &str| {
        let fields = [("name", "north"), ("description", description), ("seen", seen)];
        center.post(&edit, &fields).await
    };
    assert_eq!(save(&both, "of the first").await.status, 303);
    let second = save(&both, "of the second").await;
    assert_eq!(second.status, 412, "{second:?}");
    assert!(second.body.contains("of the first") && second.body.contains("of the second"), "{}", second.body);
    let kept = center.ask("GET", place.as_str(), Value::Null).await.1;
    assert_eq!(kept["description"], "of the first");
    // Who has read it may put his own in its place, and a new member changes nothing of that.
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    center.ask("PUT", &format!("{place}/gateways/{EUI}"), Value::Null).await;
    assert_eq!(save(&seen(&second.body), "of the second").await.status, 303);
    center.stop().await;
}

#[tokio::test]
async fn pages_say_how_gateways_are_and_lead_to_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI, "name": "mast"})).await;
    let (_, group) =
        center.ask("POST", "/groups", json!({"name": "the north", "gateways": [EUI.to_string()]})).await;
    let place = format!("/groups/{}", group["group_id"].as_str().unwrap());
    let page = center.get(&place).await.body;
    assert!(page.contains(">Unknown</span>") && !page.contains("not connected"), "{page}");

    // It was heard of just now, and its link is lost.
    let store = crate::store::Store::open(&folder.path().join("data"), None).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    sqlx::query("UPDATE gateways SET last_telemetry_at = $1, online = 0")
        .bind(i64::try_from(crate::service::unix_now()).unwrap())
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    store.close().await;
    for path in [place.as_str(), "/gateways", &format!("/gateways/{EUI}")] {
        let page = center.get(path).await.body;
        assert!(page.contains(">Operational</span>") && page.contains("not connected"), "{path}: {page}");
    }
    let page = center.get(&format!("/gateways/{EUI}")).await.body;
    assert!(page.contains("href=\"/groups/the%20north\">the north</a>"), "{page}");
    assert_eq!(center.get("/groups/the%20north").await.status, 200);
    let log = center.get("/audit").await.body;
    assert!(log.contains(&format!("href=\"/gateways/{EUI}\"")), "{log}");
    assert!(log.contains("href=\"/groups/the%20north\""), "{log}");

    let (_, empty) = center.ask("POST", "/groups", json!({"name": "empty"})).await;
    let page = center.get(&format!("/groups/{}", empty["group_id"].as_str().unwrap())).await.body;
    assert!(page.contains("It has no rule either. An update cannot be sent to it yet."), "{page}");
    center.stop().await;
}

#[tokio::test]
async fn a_name_that_several_customers_gave_leads_to_a_choice() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let (_, mine) = center.ask("POST", "/groups", json!({"name": "north"})).await;
    assert!(!center.get("/groups").await.body.contains("Customer</th>"), "of one customer nobody asks");
    assert_eq!(center.ask("POST", "/customers", json!({"name": "other"})).await.0, 201);
    let theirs = json!({"name": "north", "customer": "other"});
    let (_, theirs) = center.ask("POST", "/groups", theirs).await;
    assert_eq!(center.ask("POST", "/groups", json!({"name": "south"})).await.0, 201);

    let page = center.get("/groups/north").await;
    assert!(page.status == 200 && page.body.contains("Which one do you mean?"), "{page:?}");
    for group in [mine, theirs] {
        let place = format!("href=\"/groups/{}\"", group["group_id"].as_str().unwrap());
        let customer = format!("data-label=\"Customer\">{}<", group["customer"].as_str().unwrap());
        assert!(page.body.contains(&place) && page.body.contains(&customer), "{}", page.body);
    }
    assert!(!page.body.contains("south"), "{}", page.body);
    assert!(center.get("/groups").await.body.contains("Customer</th>"));
    center.stop().await;
}
