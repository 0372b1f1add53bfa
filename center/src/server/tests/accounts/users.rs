//! Who makes and changes whom, API tokens, the first administrator.

use super::*;
use crate::accounts::first_administrator;
use crate::service::unix_now;
use crate::store::Store;

#[tokio::test]
async fn the_first_administrator_is_made_while_the_center_runs_and_is_never_the_last_to_go() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let store = Store::open(&folder.path().join("data"), None).await.unwrap();
    assert!(first_administrator(&store, "ada", "short", unix_now()).await.is_err());
    first_administrator(&store, "ada", PASSWORD, unix_now()).await.unwrap();
    store.close().await;
    let ada = center.log_in("ada", PASSWORD).await.session();
    assert_eq!(center.ask_as(&ada, "POST", "/customers", json!({"name": "other"})).await.0, 201);
    let role = "/users/ada/roles/*/CHANNEL_ADMINISTRATOR";
    for (method, path, body) in
        [("PATCH", "/users/ada", json!({"disabled": true})), ("DELETE", role, Value::Null)]
    {
        let (status, answer) = center.ask_as(&ada, method, path, body).await;
        assert_eq!(status, 409, "{method} {path}: {answer}");
    }
    let bob = center.user("bob", &[("*", "CHANNEL_ADMINISTRATOR")]).await;
    assert_eq!(center.ask_as(&bob, "DELETE", role, Value::Null).await.0, 204);
    center.stop().await;
}

#[tokio::test]
async fn a_customers_administrator_has_his_customers_users_and_gives_no_more_than_he_has() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    assert_eq!(center.ask("POST", "/customers", json!({"name": "other"})).await.0, 201);
    let cara = center.user("cara", &[("other", "CUSTOMER_ADMINISTRATOR")]).await;
    center.user("chan", &[("other", "CHANNEL_ADMINISTRATOR")]).await;
    center.user("both", &[("other", "SERVICE_VIEWER"), ("main", "SERVICE_VIEWER")]).await;
    center.user("theirs", &[("main", "SERVICE_VIEWER")]).await;
    let new = |login: &str, customer: &str, role: &str| json!({"login": login, "roles": [{"customer": customer, "role": role}]});
    for (order, status) in [
        (new("v", "other", "SERVICE_VIEWER"), 201),
        (new("a", "other", "CUSTOMER_ADMINISTRATOR"), 201),
        (new("s", "other", "SERVICE_ADMINISTRATOR"), 403),
        (new("c", "other", "CHANNEL_ADMINISTRATOR"), 403),
        (new("x", "*", "SERVICE_VIEWER"), 403),
        (new("m", "main", "SERVICE_VIEWER"), 404),
        (new("v", "other", "SERVICE_VIEWER"), 409),
        (new("a b", "other", "SERVICE_VIEWER"), 422),
    ] {
        let (found, answer) = center.ask_as(&cara, "POST", "/users", order.clone()).await;
        assert_eq!(found, status, "{order}: {answer}");
    }
    for (method, path, body, status) in [
        ("POST", "/users/v/set-up", Value::Null, 200),
        ("POST", "/users/chan/set-up", Value::Null, 403),
        ("PATCH", "/users/chan", json!({"disabled": true}), 403),
        ("POST", "/users/both/set-up", Value::Null, 403),
        ("DELETE", "/users/chan/roles/other/CHANNEL_ADMINISTRATOR", Value::Null, 403),
        ("DELETE", "/users/both/roles/other/SERVICE_VIEWER", Value::Null, 204),
        ("GET", "/users/both", Value::Null, 404),
        ("POST", "/users/cara/set-up", Value::Null, 409),
        // With a role here he could no longer be disabled by his own administrator; and whether there is such a user is not told.
        ("POST", "/users/theirs/roles", json!({"customer": "other", "role": "SERVICE_VIEWER"}), 404),
        ("POST", "/users/nobody/roles", json!({"customer": "other", "role": "SERVICE_VIEWER"}), 404),
        ("POST", "/users/v/roles", json!({"customer": "other", "role": "CUSTOMER_ADMINISTRATOR"}), 200),
        ("DELETE", "/users/a/roles/other/CUSTOMER_ADMINISTRATOR", Value::Null, 204),
        ("POST", "/users/a/roles", json!({"customer": "other", "role": "SERVICE_VIEWER"}), 200),
    ] {
        let (found, answer) = center.ask_as(&cara, method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
    }
    center.stop().await;
}

#[tokio::test]
async fn who_asks_for_one_taken_name_after_the_other_is_soon_told_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for customer in ["first", "hidden"] {
        assert_eq!(center.ask("POST", "/customers", json!({"name": customer})).await.0, 201);
    }
    center.user("nobody-here-sees", &[("hidden", "SERVICE_VIEWER")]).await;
    let chan = center.user("chan", &[("first", "CHANNEL_ADMINISTRATOR")]).await;
    let user =
        |login: &str| json!({"login": login, "roles": [{"customer": "first", "role": "SERVICE_VIEWER"}]});
    // Names that are free are no guesses, however many.
    for number in 0..15 {
        let made = center.ask_as(&chan, "POST", "/users", user(&format!("new-{number}"))).await;
        assert_eq!(made.0, 201, "{made:?}");
    }
    for _ in 0..5 {
        assert_eq!(center.ask_as(&chan, "POST", "/users", user("nobody-here-sees")).await.0, 409);
        assert_eq!(center.ask_as(&chan, "POST", "/customers", json!({"name": "hidden"})).await.0, 409);
    }
    for (method, path, body) in [
        ("POST", "/users", user("nobody-here-sees")),
        ("POST", "/users", user("is-free")),
        ("POST", "/customers", json!({"name": "hidden"})),
        ("POST", "/customers", json!({"name": "is-free"})),
        ("PATCH", "/customers/first", json!({"name": "hidden"})),
    ] {
        let (status, answer) = center.ask_as(&chan, method, path, body.clone()).await;
        assert_eq!(status, 429, "{method} {path} {body}: {answer}");
    }
    assert_eq!(
        center.ask("POST", "/users", user("nobody-here-sees")).await.0,
        409,
        "who sees all learns nothing"
    );
    center.stop().await;
}

#[tokio::test]
async fn a_channel_administrator_makes_customers_and_is_their_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    assert_eq!(center.ask("POST", "/customers", json!({"name": "first"})).await.0, 201);
    let chan = center.user("chan", &[("first", "CHANNEL_ADMINISTRATOR")]).await;
    let (status, made) = center.ask_as(&chan, "POST", "/customers", json!({"name": "second"})).await;
    assert_eq!(status, 201, "{made}");
    let (_, seen) = center.ask_as(&chan, "GET", "/customers", Value::Null).await;
    let names: Vec<&str> = seen.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second"]);
    for (method, path, body, status) in [
        ("POST", "/customers", json!({"name": "second"}), 409),
        ("POST", "/customers", json!({"name": "a/b"}), 422),
        ("PATCH", "/customers/second", json!({"name": "third"}), 200),
        ("DELETE", "/customers/main", Value::Null, 404),
        ("POST", "/groups", json!({"name": "g", "customer": "third"}), 201),
        ("DELETE", "/customers/third", Value::Null, 409),
        ("DELETE", "/groups/g", Value::Null, 204),
        ("POST", "/customers", json!({"name": "told"}), 201),
        ("POST", "/webhooks", json!({"url": "https://hooks.example/", "customer": "told"}), 201),
        ("DELETE", "/customers/told", Value::Null, 409),
        ("DELETE", "/customers/third", Value::Null, 204),
    ] {
        let (found, answer) = center.ask_as(&chan, method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
    }
    assert_eq!(center.ask("DELETE", "/customers/main", Value::Null).await.0, 409);
    center.stop().await;
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let ada = center.user("ada", &[("*", "CHANNEL_ADMINISTRATOR")]).await;
    let make = |scopes: Value| json!({"name": "ci", "scopes": scopes, "expires_in_s": 600});
    let mut tokens = Vec::new();
    for scopes in [json!({"read": true}), json!({"read": true, "update": true}), json!({"administer": true})]
    {
        let (status, made) = center.ask_as(&ada, "POST", "/account/tokens", make(scopes)).await;
        assert_eq!(status, 201, "{made}");
        tokens.push((
            made["token"].as_str().unwrap().to_owned(),
            made["token_id"].as_str().unwrap().to_owned(),
        ));
    }
    for (method, path, body, allowed) in [
        ("GET", "/customers", Value::Null, [true, true, false]),
        ("POST", "/groups", json!({"name": "north"}), [false, true, false]),
        ("GET", "/users", Value::Null, [false, false, true]),
    ] {
        for ((token, _), allowed) in tokens.iter().zip(allowed) {
            let (status, answer) = center.ask_as(token, method, path, body.clone()).await;
            // A list has nothing in it, anything else is refused.
            let done = status < 300 && answer != json!([]);
            assert_eq!(done, allowed, "{method} {path}: {status} {answer}");
        }
    }
    let (administer, _) = &tokens[2];
    let (status, answer) =
        center.ask_as(administer, "POST", "/account/tokens", make(json!({"read": true}))).await;
    assert_eq!(status, 403, "no token makes one that may more: {answer}");
    // Else a token that is good for ten minutes would be good for ever.
    let (reader, own) = &tokens[0];
    let (status, answer) =
        center.ask_as(reader, "POST", "/account/tokens", make(json!({"read": true}))).await;
    assert_eq!(status, 403, "making tokens needs the scope `administer`: {answer}");
    assert_eq!(center.ask_as(reader, "DELETE", &format!("/account/tokens/{own}"), Value::Null).await.0, 403);
    let body = json!({"old": PASSWORD, "new": "another long walk"});
    assert_eq!(center.ask_as(administer, "PUT", "/account/password", body).await.0, 403);
    let (_, list) = center.ask_as(&ada, "GET", "/account/tokens", Value::Null).await;
    assert!(list.as_array().unwrap().iter().all(|one| one.get("token").is_none()), "{list}");
    assert!(list.as_array().unwrap().iter().all(|one| one["last_used_at_unix_s"].is_u64()), "{list}");
    let (token, id) = &tokens[0];
    assert_eq!(center.ask_as(&ada, "DELETE", &format!("/account/tokens/{id}"), Value::Null).await.0, 204);
    assert_eq!(center.ask_as(token, "GET", "/customers", Value::Null).await.0, 401);
    for (order, status) in [
        (json!({"name": "x", "scopes": {}}), 422),
        (json!({"name": "x", "scopes": {"read": true}, "expires_in_s": 0}), 422),
        (json!({"name": "x", "scopes": {"read": true}, "expires_in_s": 40_000_000}), 422),
        (json!({"name": "x", "scopes": {"everything": true}}), 422),
    ] {
        let (found, answer) = center.ask_as(&ada, "POST", "/account/tokens", order.clone()).await;
        assert_eq!(found, status, "{order}: {answer}");
    }
    assert_eq!(
        center.ask("GET", "/account/tokens", Value::Null).await.0,
        409,
        "the center's own has no account"
    );
    center.stop().await;
}

#[tokio::test]
async fn a_set_up_link_is_good_once() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let roles = json!([{"customer": "main", "role": "SERVICE_VIEWER"}]);
    let (_, view) = center.ask("POST", "/users", json!({"login": "ada", "roles": roles})).await;
    assert_eq!(view["state"], "invited");
    let path = view["set_up_path"].as_str().unwrap().to_owned();
    assert!(center.ask("GET", "/users/ada", Value::Null).await.1.get("set_up_path").is_none());
    let page = center.send("GET", &path, &[], Value::Null).await;
    assert!(page.status == 200 && page.body.contains("value=\"ada\""), "{page:?}");
    let weak = center.send("POST", &path, &[], json!("password=short&again=short")).await;
    assert_eq!(weak.status, 422, "{weak:?}");
    let good = format!("password={0}&again={0}", PASSWORD.replace(' ', "+"));
    assert_eq!(center.send("POST", &path, &[], json!(good)).await.status, 303);
    assert_eq!(center.send("POST", &path, &[], json!(good)).await.status, 404);
    assert_eq!(center.send("GET", &path, &[], Value::Null).await.status, 404);
    assert_eq!(center.log_in("ada", PASSWORD).await.status, 200);
    center.stop().await;
}
