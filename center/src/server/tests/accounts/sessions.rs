//! Log-ins and how they end.

use super::*;

async fn with_cookie(
    center: &Running,
    session: &str,
    method: &str,
    path: &str,
    csrf: Option<&str>,
    body: Value,
) -> Answer {
    let cookie = format!("keros-session={session}");
    let mut headers = vec![("Cookie", cookie.as_str())];
    headers.extend(csrf.map(|csrf| ("X-CSRF-Token", csrf)));
    center.send(method, &format!("/api/v1{path}"), &headers, body).await
}

#[tokio::test]
async fn a_browsers_session_changes_nothing_without_its_csrf_token_and_ends_with_the_log_out() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.user("ada", &[("main", "SERVICE_ADMINISTRATOR")]).await;
    let answer = center.log_in("Ada", PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let cookie = answer.headers.get("set-cookie").unwrap().to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let (session, csrf) = (answer.session(), answer.json()["csrf"].as_str().unwrap().to_owned());
    let group = json!({"name": "north"});
    assert_eq!(with_cookie(&center, &session, "GET", "/groups", None, Value::Null).await.status, 200);
    for wrong in [None, Some(""), Some("00"), Some(session.as_str())] {
        let answer = with_cookie(&center, &session, "POST", "/groups", wrong, group.clone()).await;
        assert_eq!(answer.status, 403, "{wrong:?}: {answer:?}");
    }
    let answer = with_cookie(&center, &session, "POST", "/groups", Some(&csrf), group).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = with_cookie(&center, &session, "DELETE", "/session", Some(&csrf), Value::Null).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(with_cookie(&center, &session, "GET", "/groups", None, Value::Null).await.status, 401);
    center.stop().await;
}

#[tokio::test]
async fn another_password_and_disabling_end_every_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let first = center.user("ada", &[("main", "SERVICE_VIEWER")]).await;
    let second = center.log_in("ada", PASSWORD).await.session();
    let body = json!({"old": "a wrong password", "new": "another long walk"});
    let (status, answer) = center.ask_as(&first, "PUT", "/account/password", body).await;
    assert_eq!(status, 422, "{answer}");
    for weak in ["short", "aaaaaaaaaaaaaaaa", PASSWORD] {
        let body = json!({"old": PASSWORD, "new": weak});
        assert_eq!(center.ask_as(&first, "PUT", "/account/password", body).await.0, 422, "{weak}");
    }
    let body = json!({"old": PASSWORD, "new": "another long walk"});
    assert_eq!(center.ask_as(&first, "PUT", "/account/password", body).await.0, 200);
    for session in [&first, &second] {
        assert_eq!(center.ask_as(session, "GET", "/groups", Value::Null).await.0, 401);
    }
    assert_eq!(center.log_in("ada", PASSWORD).await.status, 401);
    let third = center.log_in("ada", "another long walk").await.session();
    assert_eq!(center.ask_as(&third, "GET", "/groups", Value::Null).await.0, 200);
    assert_eq!(center.ask("PATCH", "/users/ada", json!({"disabled": true})).await.0, 200);
    assert_eq!(center.ask_as(&third, "GET", "/groups", Value::Null).await.0, 401);
    assert_eq!(center.log_in("ada", "another long walk").await.status, 401);
    center.stop().await;
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_learns_nothing_of_who_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.user("ada", &[("main", "SERVICE_VIEWER")]).await;
    let known = center.log_in("ada", "a wrong password").await;
    let unknown = center.log_in("nobody", "a wrong password").await;
    assert_eq!((known.status, known.json()), (401, unknown.json()), "the same words for both");
    // On a slow machine one more is allowed now and then.
    let mut guesses = 1;
    while center.log_in("ada", "a wrong password").await.status == 401 {
        guesses += 1;
        assert!(guesses < 100, "nobody slows it down");
    }
    assert!(guesses >= 10, "only {guesses}");
    let answer = center.log_in("ada", PASSWORD).await;
    assert_eq!(answer.status, 429, "also with the right one: {answer:?}");
    assert_eq!(
        center.log_in("nobody", "a wrong password").await.status,
        401,
        "another account is not held up"
    );
    let (_, audit) = center.ask("GET", "/audit?user=ada&result=refused", Value::Null).await;
    assert_eq!(
        (audit.as_array().unwrap().len(), &audit[0]["address"]),
        (guesses, &json!("127.0.0.1")),
        "{audit}"
    );
    center.stop().await;
}

#[tokio::test]
async fn a_first_password_has_to_be_changed_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let roles = json!([{"customer": "main", "role": "SERVICE_ADMINISTRATOR"}]);
    let order = json!({"login": "ada", "roles": roles, "password": "told over the phone"});
    assert_eq!(center.ask("POST", "/users", order).await.0, 201);
    let answer = center.log_in("ada", "told over the phone").await;
    assert_eq!(answer.json()["must_change_password"], true);
    let session = answer.session();
    assert_eq!(center.ask_as(&session, "POST", "/groups", json!({"name": "north"})).await.0, 403);
    let (_, groups) = center.ask_as(&session, "GET", "/groups", Value::Null).await;
    assert_eq!(groups, json!([]));
    let body = json!({"old": "told over the phone", "new": PASSWORD});
    assert_eq!(center.ask_as(&session, "PUT", "/account/password", body).await.0, 200);
    let session = center.log_in("ada", PASSWORD).await.session();
    assert_eq!(center.ask_as(&session, "POST", "/groups", json!({"name": "north"})).await.0, 201);
    center.stop().await;
}

#[tokio::test]
async fn people_log_in_at_the_page_and_come_to_where_they_wanted_to_go() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.user("ada", &[("main", "SERVICE_ADMINISTRATOR")]).await;
    let answer = center.send("GET", "/magic-links", &[], Value::Null).await;
    assert_eq!(
        (answer.status, answer.headers["location"].to_str().unwrap()),
        (303, "/login?next=%2Fmagic-links")
    );
    assert_eq!(center.send("GET", "/login", &[], Value::Null).await.status, 200);
    let form = |password: &str| {
        json!(format!("login=ada&password={}&next=/magic-links", password.replace(' ', "+")))
    };
    let wrong = center.send("POST", "/login", &[], form("a wrong password")).await;
    assert!(wrong.status == 401 && wrong.body.contains("role=\"alert\""), "{wrong:?}");
    let cross = [("Origin", "https://evil.example")];
    assert_eq!(center.send("POST", "/login", &cross, form(PASSWORD)).await.status, 403);
    let answer = center.send("POST", "/login", &[], form(PASSWORD)).await;
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (303, "/magic-links"));
    let cookie = format!("keros-session={}", answer.session());
    let headers = [("Cookie", cookie.as_str())];
    let page = center.send("GET", "/account", &headers, Value::Null).await;
    assert!(page.status == 200 && page.body.contains("SERVICE_ADMINISTRATOR"), "{page:?}");
    let csrf =
        page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let made = center.send("POST", "/account/tokens", &headers, json!("name=ci&read=1&days=1")).await;
    assert_eq!(made.status, 403, "without the field csrf");
    let made = center
        .send("POST", "/account/tokens", &headers, json!(format!("csrf={csrf}&name=ci&read=1&days=1")))
        .await;
    let token = made.body.split("<pre id=\"token\">").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(center.ask_as(token, "GET", "/groups", Value::Null).await.0, 200);
    let out = center.send("POST", "/logout", &headers, json!(format!("csrf={csrf}"))).await;
    assert_eq!((out.status, out.headers["location"].to_str().unwrap()), (303, "/login"));
    assert_eq!(center.send("GET", "/account", &headers, Value::Null).await.status, 303);
    center.stop().await;
}
