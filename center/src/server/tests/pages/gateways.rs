//! The pages of gateways, without scripts.

use super::*;

const EUI: &str = "7076FF0056070123";

#[tokio::test]
async fn a_gateway_is_declared_found_changed_retired_and_taken_back_by_forms_alone() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    assert!(center.get("/gateways").await.body.contains("No gateway is known yet"));
    let wrong = center.post("/gateways", &[("eui", "nonsense"), ("name", "x")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("Not declared") && wrong.body.contains("nonsense"), "{}", wrong.body);
    let hostile = "<img src=x onerror=alert(1)>\"'";
    let made = center.post("/gateways", &[("eui", "70:76:ff:00:56:07:01:23"), ("name", hostile)]).await;
    assert_eq!((made.status, made.header("location")), (303, format!("/gateways/{EUI}").as_str()));

    for path in [
        "/gateways",
        "/gateways?search=5607-0123",
        "/gateways?status=Unknown&sort=-name",
        &format!("/gateways/{EUI}"),
    ] {
        let page = center.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<img src=x"), "{path}: {}", page.body);
        assert!(page.body.contains("&lt;img") || page.body.contains("&#60;img"), "{path}: {}", page.body);
        assert!(page.body.contains("Unknown"), "{path}");
    }
    let none = center.get("/gateways?model=wiis").await;
    assert!(none.body.contains("No gateway is so."), "{}", none.body);
    let odd = center.get("/gateways?keros=six").await;
    assert!(odd.status == 200 && odd.body.contains("Not understood"), "{}", odd.body);

    let place = |what: &str| format!("/gateways/{EUI}/{what}");
    let fields = [("name", "Dam"), ("description", "below"), ("labels", "roof site:north")];
    assert_eq!(center.post(&place("edit"), &fields).await.status, 303);
    let page = center.get(&format!("/gateways/{EUI}")).await.body;
    assert!(page.contains("<h1>Dam</h1>") && page.contains("site:north"), "{page}");
    let bad = center.post(&place("edit"), &[("name", "a/b"), ("description", ""), ("labels", "")]).await;
    assert!(bad.status == 422 && bad.body.contains("Not done"), "{}", bad.body);
    let nudged = center.post(&place("nudge"), &[]).await;
    assert!(nudged.status == 409 && nudged.body.contains("not connected"), "{}", nudged.body);

    assert_eq!(center.post(&place("retire"), &[]).await.status, 303);
    assert!(!center.get("/gateways").await.body.contains(EUI));
    assert!(center.get("/gateways?retired=yes").await.body.contains(EUI));
    assert_eq!(center.post(&place("unretire"), &[]).await.status, 303);
    assert!(center.get("/gateways").await.body.contains(EUI));
    for path in ["/gateways/7076FF0056070999", "/gateways/x"] {
        assert_eq!(center.get(path).await.status, 404, "{path}");
    }
    center.stop().await;
}

#[tokio::test]
async fn a_file_is_previewed_imported_and_exported_by_pages() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let wrong = center.post("/gateways/import", &[("csv", "eui\nnonsense\n"), ("action", "import")]).await;
    assert!(wrong.status == 200 && wrong.body.contains("Line 2"), "{}", wrong.body);
    let csv = format!("eui,name\n{EUI},=1+1\n");
    let would = center.post("/gateways/import", &[("csv", &csv), ("action", "preview")]).await;
    assert!(would.body.contains("1 would be added"), "{}", would.body);
    assert!(!center.get("/gateways").await.body.contains(EUI), "it was only asked");
    let done = center.post("/gateways/import", &[("csv", &csv), ("action", "import")]).await;
    assert_eq!((done.status, done.header("location")), (303, "/gateways"));
    let export = center.get("/gateways/export").await;
    assert_eq!(export.header("content-type"), "text/csv");
    assert!(export.body.contains(&format!("{EUI},'=1+1,")), "no formula: {}", export.body);
    center.stop().await;
}
