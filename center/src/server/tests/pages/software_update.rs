//! The Software update page, as a browser without scripts goes through it.

use super::*;

pub(super) const SCRIPT: &str =
    "- name: a play\r\n  groups:\r\n    - all\r\n  tasks:\r\n    - !echo\r\n      msg: hello\r\n";
const HOSTILE: &str = "</textarea><script>alert(1)</script>";

/// A center with the group `north` of one gateway that has told nothing yet.
pub(super) async fn center(folder: &Path) -> Running {
    let center = Running::start(folder, external(1)).await;
    let (status, body) =
        center.ask("POST", "/gateways", json!({"eui": EUI.to_string(), "name": "mast"})).await;
    assert_eq!(status, 201, "{body}");
    group_of(&center, "north", &[EUI]).await;
    center
}

/// The value of a hidden field of a page.
pub(super) fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no field {name}: {page}"));
    rest.split('"').next().unwrap()
}

fn script_form(script: &str) -> Vec<(&str, &str)> {
    vec![("kind", "jetporch"), ("script", script)]
}

/// Goes from SEND to the confirmation, and gives its key.
async fn confirmed(center: &Running, form: &[(&str, &str)]) -> String {
    let page = center.post("/groups/north/software-update/confirm", form).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("Send this update?"), "{}", page.body);
    hidden(&page.body, "form_key").to_owned()
}

async fn sent(center: &Running) -> usize {
    center.ask("GET", "/updates", Value::Null).await.1.as_array().unwrap().len()
}

#[tokio::test]
async fn a_script_is_sent_after_its_confirmation_and_the_same_form_sends_once() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    let mut form = script_form(SCRIPT);
    let key = confirmed(&center, &form).await;
    assert_eq!(sent(&center).await, 0, "a confirmation sends nothing");
    form.push(("form_key", &key));
    let first = center.post("/groups/north/software-update/send", &form).await;
    assert_eq!(first.status, 303, "{first:?}");
    let place = first.header("location");
    assert!(place.starts_with("/updates/"), "{place}");
    let second = center.post("/groups/north/software-update/send", &form).await;
    assert_eq!((second.status, second.header("location")), (303, place), "{second:?}");
    assert_eq!(sent(&center).await, 1);
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_click_sends_once() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    let mut form = script_form(SCRIPT);
    let key = confirmed(&center, &form).await;
    form.push(("form_key", &key));
    let press = || center.post("/groups/north/software-update/send", &form);
    let (one, two, three) = tokio::join!(press(), press(), press());
    for answer in [&one, &two, &three] {
        assert_eq!((answer.status, answer.header("location")), (303, one.header("location")), "{answer:?}");
    }
    assert_eq!(sent(&center).await, 1);
    center.stop().await;
}

#[tokio::test]
async fn while_an_update_is_in_progress_the_page_says_which_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    let (_, update) = center.ask("POST", "/updates", script_order("north")).await;
    let link = format!("/updates/{}", update["update_id"].as_str().unwrap());
    let page = center.get("/groups/north/software-update").await;
    assert!(page.body.contains(&link) && page.body.contains("An update is in progress"), "{}", page.body);
    assert!(page.body.contains("disabled>SEND"), "{}", page.body);
    let group = center.get("/groups/north").await;
    assert!(
        group.body.contains("class=\"dot\" role=\"img\" aria-label=\"An update is in progress\""),
        "{}",
        group.body
    );
    let refused = center.post("/groups/north/software-update/confirm", &script_form(SCRIPT)).await;
    assert_eq!(refused.status, 409);
    let key = uuid::Uuid::now_v7().to_string();
    let mut form = script_form(SCRIPT);
    form.push(("form_key", &key));
    let refused = center.post("/groups/north/software-update/send", &form).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(sent(&center).await, 1);
    center.stop().await;
}

#[tokio::test]
async fn check_shows_the_page_again_with_the_faults_at_their_lines_and_the_script_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    let script = format!("{SCRIPT}    - !shel\r\n      cmd: \"{HOSTILE}\"\r\n");
    let page = center.post("/groups/north/software-update", &script_form(&script)).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("data-line=\"7\"") && page.body.contains("shell"), "{}", page.body);
    assert!(
        !page.body.contains("<script>alert") && page.body.contains("&#60;/textarea&#62;"),
        "{}",
        page.body
    );
    let refused = center.post("/groups/north/software-update/confirm", &script_form(&script)).await;
    assert_eq!(refused.status, 422);
    assert!(!refused.body.contains("<script>alert"));
    let well = center.post("/groups/north/software-update", &script_form(SCRIPT)).await;
    assert!(well.body.contains("No faults found."), "{}", well.body);
    assert!(well.body.contains("no telemetry has come yet") && well.body.contains("mast"), "{}", well.body);
    assert_eq!(sent(&center).await, 0);
    center.stop().await;
}

#[tokio::test]
async fn a_hash_that_is_not_known_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    let unknown = "ab".repeat(32);
    for (hash, expected) in
        [(unknown.as_str(), "there is no Magic Link"), ("xyz", "is named by its hash"), ("", "Fill in")]
    {
        for path in ["/groups/north/software-update", "/groups/north/software-update/confirm"] {
            let page = center.post(path, &[("kind", "magic_link"), ("hash", hash)]).await;
            assert!(page.body.contains(expected), "{path} {hash:?}: {}", page.body);
            assert!(!page.body.contains("Send this update?"));
        }
    }
    center.stop().await;
}

#[tokio::test]
async fn who_reloads_the_confirmation_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    for step in ["confirm", "send"] {
        let answer = center.get(&format!("/groups/north/software-update/{step}")).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "/groups/north/software-update"),
            "{answer:?}"
        );
    }
    center.stop().await;
}

#[tokio::test]
async fn options_that_are_no_numbers_are_said_at_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let center = center(folder.path()).await;
    let mut form = script_form(SCRIPT);
    form.extend([("confirm_min", "soon"), ("total_min", "0"), ("expires_h", "99999")]);
    let page = center.post("/groups/north/software-update/confirm", &form).await;
    assert_eq!(page.status, 422);
    for field in ["confirm_min", "total_min", "expires_h"] {
        assert!(page.body.contains(&format!("href=\"#{field}\"")), "{field}: {}", page.body);
    }
    assert_eq!(page.body.matches("aria-invalid=\"true\"").count(), 3, "{}", page.body);
    center.stop().await;
}
