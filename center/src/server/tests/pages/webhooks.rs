//! The pages of webhooks.

use super::*;

#[tokio::test]
async fn a_webhook_is_made_shown_tried_and_removed_by_pages() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let refused = center.post("/webhooks", &[("url", "ftp://hooks.example/")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("Not made:") && refused.body.contains("value=\"ftp://hooks.example/\""));

    let url = "https://hooks.example/?a=\"><script>alert(1)</script>";
    let made = center.post("/webhooks", &[("url", url)]).await;
    assert_eq!(made.status, 422, "an address has no such characters: {}", made.body);
    assert!(!made.body.contains("<script>alert"), "{}", made.body);

    let made = center.post("/webhooks", &[("url", "http://127.0.0.1:9/hook")]).await;
    assert!(made.status == 200 && made.body.contains("whsec_"), "{}", made.body);
    let list = center.get("/webhooks").await.body;
    assert!(list.contains("http://127.0.0.1:9/hook") && !list.contains("whsec_"), "{list}");
    let (_, hooks) = center.ask("GET", "/webhooks", Value::Null).await;
    let path = format!("/webhooks/{}", hooks[0]["webhook_id"].as_str().unwrap());
    assert_eq!(center.post(&format!("{path}/test"), &[]).await.header("location"), path);
    let shown = center.get(&path).await.body;
    assert!(shown.contains("<td data-label=\"What\" class=\"word\">test</td>"), "{shown}");
    center.post(&format!("{path}/enable"), &[("enabled", "no")]).await;
    assert!(center.get(&path).await.body.contains("SWITCH ON"));
    center.post(&format!("{path}/remove"), &[]).await;
    assert_eq!(center.get(&path).await.status, 404);
    center.stop().await;
}
