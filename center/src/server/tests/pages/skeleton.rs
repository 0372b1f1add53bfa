//! What every page has.

use super::*;

#[tokio::test]
async fn nobody_without_a_log_in_sees_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for path in ["/groups", "/groups/new", "/groups/none", "/magic-links", "/magic-links/00000000"] {
        let answer = center.browse("GET", path, &[], None).await;
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        assert!(answer.header("location").starts_with("/login"), "{path}: {answer:?}");
    }
    let answer = center.browse("POST", "/groups", &[], Some("name=north")).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(center.ask("GET", "/groups", Value::Null).await.1, json!([]));
    center.stop().await;
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for (path, status) in
        [("/groups", 200), ("/groups/none", 404), ("/no-such-page", 404), ("/static/none.css", 404)]
    {
        let answer = center.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(answer.header("content-type").starts_with("text/html"), "{path}: {answer:?}");
        assert!(!answer.body.contains("<style") && !answer.body.contains("style="), "{path}");
    }
    let wrong_method = center.browse("DELETE", "/groups", &[], None).await;
    assert_eq!(wrong_method.status, 405);
    assert!(wrong_method.header("content-type").starts_with("text/html"), "{wrong_method:?}");
    center.stop().await;
}

#[tokio::test]
async fn files_are_kept_by_browsers_and_named_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let page = center.get("/groups").await.body;
    let paths: Vec<&str> = page.split('"').filter(|part| part.starts_with("/static/")).collect();
    assert!(
        paths.iter().any(|path| path.ends_with(".css")) && paths.iter().any(|path| path.ends_with(".js")),
        "{paths:?}"
    );
    for path in paths {
        // Also before the log-in: that page has them too.
        let answer = center.browse("GET", path, &[], None).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("cache-control").contains("immutable"), "{path}: {answer:?}");
    }
    let old = center.get("/static/app-000000000000.css").await;
    assert_eq!(old.status, 404);
    center.stop().await;
}

#[tokio::test]
async fn what_is_in_names_and_errors_is_shown_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let hostile = "<script>alert(1)<\\script>\"'><img src=x onerror=alert(1)>";
    let answer = center.post("/groups", &[("name", hostile), ("description", hostile)]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let place = answer.header("location").to_owned();
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let authorization = format!("Bearer {}", center.token);
    let shown =
        center.browse("GET", &place, &[("Authorization", &authorization), ("Cookie", &cookie)], None).await;
    assert!(shown.body.contains("the group is made"), "{shown:?}");
    assert!(shown.header("set-cookie").contains("Max-Age=0"), "said once: {shown:?}");
    for path in ["/groups", place.as_str(), "/groups/%3Cscript%3E"] {
        let answer = center.get(path).await;
        assert!(
            !answer.body.contains("<script>") && !answer.body.contains("<img src=x"),
            "{path}: {}",
            answer.body
        );
        assert!(answer.body.contains("&#60;script&#62;"), "{path}: {}", answer.body);
    }
    let lied = center
        .browse(
            "GET",
            "/groups",
            &[("Authorization", &authorization), ("Cookie", "keros-flash=%3Cscript%3E")],
            None,
        )
        .await;
    assert!(lied.body.contains("&#60;script&#62;"), "{}", lied.body);
    center.stop().await;
}

#[tokio::test]
async fn a_refused_form_is_shown_again_with_its_fields_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let answer = center.post("/groups", &[("name", "a/b"), ("description", "for the harbour")]).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.body.contains("for the harbour") && answer.body.contains("no &#39;/&#39;"),
        "{}",
        answer.body
    );
    assert_eq!(center.post("/groups", &[("description", "no name")]).await.status, 422);
    center.stop().await;
}
