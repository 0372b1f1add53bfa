//! The command line on a real center: what it does there, what it prints, what it says when it cannot.

use clap::Parser as _;

use super::accounts::PASSWORD;
use super::*;
use crate::cli::arguments::Arguments;
use crate::cli::{Ended, dispatch};

/// A center with the files that its command line needs.
struct Desk {
    folder: tempfile::TempDir,
    center: Running,
}

impl Desk {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let center = Running::start(folder.path(), external(1)).await;
        Self { folder, center }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs a command with the center's own token.
    async fn run(&self, words: &[&str]) -> Result<String, String> {
        let token = self.file("root-token", &self.center.token);
        self.run_as(&token, words).await
    }

    /// The same with the token in a file.
    async fn run_as(&self, token_file: &str, words: &[&str]) -> Result<String, String> {
        let url = format!("http://{}", self.center.rest);
        let all = ["keros-center"].iter().chain(words).copied();
        let all = all.chain(["--center", &url, "--token-file", token_file]);
        run(all.map(str::to_owned).collect()).await
    }

    async fn done(&self, words: &[&str]) -> String {
        self.run(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn json(&self, words: &[&str]) -> Value {
        let text = self.done(words).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// What it says when it fails; what it printed before, after a line.
    async fn error(&self, words: &[&str]) -> String {
        self.run(words).await.expect_err("it was refused")
    }
}

/// What is printed, or what is said of it after what was printed.
async fn run(words: Vec<String>) -> Result<String, String> {
    let parsed = Arguments::try_parse_from(&words).map_err(|error| error.to_string())?;
    tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        let ended = dispatch(parsed.command, &mut out);
        let text = String::from_utf8(out).unwrap();
        match ended {
            Ok(Ended::Done) => Ok(text),
            Ok(other) => Err(format!("{other:?}: {text}")),
            Err(error) => Err(format!("{text}\n{error:#}")),
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn users_get_their_link_their_roles_and_are_kept_out_by_command() {
    let desk = Desk::start().await;
    let made =
        desk.done(&["users", "create", "bob", "--role", "main:SERVICE_VIEWER", "--full-name", "Bob"]).await;
    let link = made.lines().find_map(|line| line.split("only now: ").nth(1)).unwrap();
    let (address, secret) = link.rsplit_once('/').unwrap();
    assert!(address.starts_with(&format!("http://{}/", desk.center.rest)), "{made}");
    let body = json!({"secret": secret, "password": PASSWORD});
    let chosen = desk.center.send("POST", "/api/v1/session/set-up", &[], body).await;
    assert_eq!(chosen.status, 200, "{chosen:?}");

    let list = desk.done(&["users"]).await;
    assert!(list.contains("bob") && list.contains("main:SERVICE_VIEWER"), "{list}");
    let given = desk.done(&["users", "give", "bob", "*:SERVICE_ADMINISTRATOR"]).await;
    assert!(given.contains("*:SERVICE_ADMINISTRATOR") && given.contains("main:SERVICE_VIEWER"), "{given}");
    let taken = desk.done(&["users", "take", "bob", "main:SERVICE_VIEWER"]).await;
    assert!(!taken.contains("main:SERVICE_VIEWER"), "{taken}");
    let error = desk.error(&["users", "take", "bob", "main:SERVICE_VIEWER"]).await;
    assert!(error.contains("bob"), "{error}");

    assert_eq!(desk.json(&["users", "disable", "bob", "--json"]).await["state"], "disabled");
    assert_ne!(desk.center.log_in("bob", PASSWORD).await.status, 200);
    assert_eq!(desk.json(&["users", "enable", "bob", "--json"]).await["state"], "active");
    assert_eq!(desk.center.log_in("bob", PASSWORD).await.status, 200);
    let again = desk.done(&["users", "set-up", "bob"]).await;
    assert!(again.contains("/set-up/"), "{again}");
    assert_ne!(desk.center.log_in("bob", PASSWORD).await.status, 200, "the password is no longer good");

    for (words, expected) in [
        (&["users", "show", "eve"][..], "eve"),
        (&["users", "create", "bob", "--role", "main:SERVICE_VIEWER"], "bob"),
        (&["users", "create", "eve", "--role", "nobody:SERVICE_VIEWER"], "nobody"),
        (&["users", "create", "eve", "--role", "main:KING"], "SERVICE_VIEWER"),
        (&["users", "create", "a b", "--role", "main:SERVICE_VIEWER"], "log-in name"),
    ] {
        let error = desk.error(words).await;
        assert!(error.contains(expected), "{words:?}: {error}");
    }
    desk.center.stop().await;
}

#[tokio::test]
async fn customers_are_made_renamed_and_removed_when_they_have_nothing_by_command() {
    let desk = Desk::start().await;
    desk.done(&["customers", "create", "Northern Water", "--description", "since 2026"]).await;
    let error = desk.error(&["customers", "create", "Northern Water"]).await;
    assert!(error.contains("Northern Water"), "{error}");
    desk.done(&["customers", "rename", "Northern Water", "NW"]).await;
    desk.done(&["gateways", "declare", "7076FF0056070123", "--customer", "NW"]).await;
    let list = desk.json(&["customers", "--json"]).await;
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((names, &list[0]["gateways"]), (vec!["NW", "main"], &json!(1)), "{list}");
    let error = desk.error(&["customers", "delete", "NW"]).await;
    assert!(error.contains("gateway"), "{error}");
    desk.done(&["gateways", "move", "7076FF0056070123", "main"]).await;
    desk.done(&["customers", "delete", "NW"]).await;
    let error = desk.error(&["customers", "rename", "NW", "x"]).await;
    assert!(error.contains("NW"), "{error}");
    desk.center.stop().await;
}

#[tokio::test]
async fn a_token_is_made_with_the_password_does_what_its_scopes_say_and_nothing_once_it_is_revoked() {
    let desk = Desk::start().await;
    desk.center.user("ada", &[("main", "SERVICE_ADMINISTRATOR")]).await;
    let password = desk.file("password", &format!("{PASSWORD}\n"));
    let as_ada = ["--login", "ada", "--password-file", &password];
    let words = |words: &[&'static str]| [words, &as_ada[..]].concat();
    let token = desk.done(&words(&["token", "create", "ci", "--scopes", "read", "--valid", "1d"])).await;
    let file = desk.file("ci-token", &token);
    assert_eq!(desk.run_as(&file, &["groups", "--json"]).await, Ok("[]\n".to_owned()));
    let error = desk.run_as(&file, &["groups", "create", "north"]).await.unwrap_err();
    assert!(error.contains("token"), "{error}");
    let error = desk.run_as(&file, &["users"]).await.unwrap_err();
    assert!(!error.is_empty());

    let list = desk.json(&words(&["token", "list", "--json"])).await;
    let id = list[0]["token_id"].as_str().unwrap().to_owned();
    assert_eq!(list[0]["name"], "ci");
    assert!(!desk.done(&words(&["token", "list"])).await.contains(token.trim()), "a token is shown once");
    let revoke = [&["token", "revoke", id.as_str()], &as_ada[..]].concat();
    desk.done(&revoke).await;
    let error = desk.run_as(&file, &["groups"]).await.unwrap_err();
    assert!(error.contains("does not accept the access token") && error.contains("ci-token"), "{error}");

    let error = desk.error(&["token", "list"]).await;
    assert!(error.contains("user"), "the center's own token has none: {error}");
    let wrong = desk.file("wrong", "not his password\n");
    let error = desk.error(&["token", "list", "--login", "ada", "--password-file", &wrong]).await;
    assert!(error.contains("password"), "{error}");
    let error = desk.error(&["token", "list", "--login", "ada", "--password-file", "/nowhere"]).await;
    assert!(error.contains("/nowhere"), "{error}");
    desk.center.stop().await;
}

#[tokio::test]
async fn the_first_administrator_is_made_in_the_database_of_a_center_that_runs_and_the_audit_log_tells_all() {
    let desk = Desk::start().await;
    let password = desk.file("password", &format!("{PASSWORD}\n"));
    let data = desk.folder.path().join("data");
    let words = ["keros-center", "admin", "create", "Ada", "--password-file", &password, "--data-folder"];
    let words: Vec<String> = words.into_iter().chain([data.to_str().unwrap()]).map(str::to_owned).collect();
    let told = run(words).await.unwrap();
    assert!(told.starts_with("ada administers"), "{told}");
    assert_eq!(desk.center.log_in("ada", PASSWORD).await.status, 200);

    for number in 0..3 {
        desk.done(&["groups", "create", &format!("group {number}")]).await;
    }
    let lines = desk.json(&["audit", "--limit", "2", "--json"]).await;
    assert_eq!((lines.as_array().unwrap().len(), &lines[0]["subject"]), (2, &json!("group \"group 2\"")));
    let text = desk.done(&["audit"]).await;
    assert!(text.contains("ada") && text.contains("group 0"), "{text}");
    let csv = desk.done(&["audit", "--csv"]).await;
    assert!(csv.starts_with("at_unix_s,user") && csv.lines().count() >= 4, "{csv}");
    let error = desk.error(&["audit", "--customer", "nobody"]).await;
    assert!(error.contains("nobody"), "{error}");
    desk.center.stop().await;
}

#[tokio::test]
async fn every_listing_prints_json_that_is_what_the_api_answers() {
    let desk = Desk::start().await;
    desk.done(&["gateways", "declare", "7076FF0056070123", "--name", "mast"]).await;
    desk.done(&["groups", "create", "north", "--gateways", "7076FF0056070123"]).await;
    let script = desk.file("hello.yml", script_order("north")["job"]["script"].as_str().unwrap());
    desk.done(&["update", "send", "--group", "north", "--script", &script]).await;
    let update = desk.json(&["update", "list", "--limit", "1", "--json"]).await[0]["update_id"].clone();
    let webhook =
        desk.json(&["webhooks", "create", "http://127.0.0.1:9/", "--json"]).await["webhook_id"].clone();
    let (update, webhook) = (update.as_str().unwrap(), webhook.as_str().unwrap());
    for (words, path) in [
        (&["gateways"][..], "/gateways".to_owned()),
        (&["gateways", "list"], "/gateways".to_owned()),
        (&["gateways", "count"], "/gateways/counts".to_owned()),
        (&["gateways", "show", "7076FF0056070123"], "/gateways/7076FF0056070123".to_owned()),
        (&["gateways", "history", "7076FF0056070123"], "/gateways/7076FF0056070123/history".to_owned()),
        (&["gateways", "packages", "7076FF0056070123"], "/gateways/7076FF0056070123/packages".to_owned()),
        (&["groups"], "/groups".to_owned()),
        (&["groups", "show", "north"], "/groups/north".to_owned()),
        (&["update", "list"], "/updates".to_owned()),
        (&["update", "show", update], format!("/updates/{update}")),
        (&["webhooks"], "/webhooks".to_owned()),
        (&["webhooks", "messages", webhook], format!("/webhooks/{webhook}/messages")),
        (&["magic-link"], "/magic-links".to_owned()),
        (&["users"], "/users".to_owned()),
        (&["customers"], "/customers".to_owned()),
        (&["enroll", "list"], "/enrolments".to_owned()),
        (&["audit"], "/audit".to_owned()),
    ] {
        let printed = desk.json(&[words, &["--json"]].concat()).await;
        let (status, answer) = desk.center.ask("GET", &path, Value::Null).await;
        assert_eq!((status, &printed), (200, &answer), "{words:?}");
        // And for people, something else.
        let text = desk.done(words).await;
        assert!(!text.is_empty() && serde_json::from_str::<Value>(&text).is_err(), "{words:?}: {text}");
    }
    desk.center.stop().await;
}

#[tokio::test]
async fn any_request_can_be_sent_by_command_and_a_refusal_is_printed_with_all_that_it_says() {
    let desk = Desk::start().await;
    assert_eq!(desk.json(&["api", "get", "/health"]).await["status"], "ok");
    let order = desk.file("order.json", r#"{"name": "my group"}"#);
    let once = ["api", "POST", "groups", "--body", &order, "--idempotency-key", "k-1"];
    let made = desk.json(&once).await;
    assert_eq!(desk.json(&once).await, made, "the same key does nothing twice");
    let error = desk.error(&["api", "POST", "/groups", "--body", &order]).await;
    let (printed, told) = error.rsplit_once("}\n").unwrap();
    let problem: Value = serde_json::from_str(&format!("{printed}}}")).unwrap();
    assert_eq!(problem["status"], 409);
    assert!(told.contains("already"), "{error}");

    let head = desk.done(&["api", "GET", "/api/v1/groups/my%20group", "--include"]).await;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert!(head.starts_with("HTTP/1.1 200 OK\n") && head.contains("\n\n{"), "{head}");
    desk.done(&["groups", "edit", "my group", "--description", "changed meanwhile"]).await;
    let error = desk.error(&["api", "DELETE", "/groups/my%20group", "--if-match", &tag]).await;
    assert!(error.contains("it has changed since"), "{error}");
    assert_eq!(desk.done(&["api", "DELETE", "/groups/my%20group"]).await, "");

    let fleet = desk.file("fleet.csv", "eui\n7076FF0000000001\n7076FF0000000002\n7076FF0000000003\n");
    let import = ["api", "POST", "/gateways/import", "--body", &fleet, "--content-type", "text/csv"];
    desk.json(&import).await;
    let part = desk.json(&["api", "GET", "/gateways?limit=2"]).await;
    let all = desk.json(&["api", "GET", "/gateways?limit=2", "--all"]).await;
    assert_eq!((part.as_array().unwrap().len(), all.as_array().unwrap().len()), (2, 3));
    let place = desk.file("place.json", r#"{"location": "-33.9, 18.4"}"#);
    desk.json(&["api", "PATCH", "/gateways/7076FF0000000001", "--body", &place]).await;
    let csv = desk.done(&["api", "GET", "/gateways/export"]).await;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains(",location\n") && csv.contains(",\"'-33.9, 18.4\"\n"), "{csv}");
    let exported = desk.file("exported.csv", &csv);
    let again = ["api", "POST", "/gateways/import", "--body", &exported, "--content-type", "text/csv"];
    assert_eq!(desk.json(&again).await["unchanged"], 3);

    for (words, expected) in [
        (&["api", "GET", "/groups/my group"][..], "percent-encoded"),
        (&["api", "BREW", "/coffee"], "possible values"),
        (&["api", "POST", "/groups", "--all"], "--all is for GET"),
        (&["api", "GET", "/health", "--all"], "lists"),
        (&["api", "POST", "/groups", "--body", "/nowhere"], "/nowhere"),
        (&["api", "GET", "/nowhere"], "/api/v1"),
        (&["api", "DELETE", "/groups", "--if-match", "a\nb"], "cannot be sent"),
    ] {
        let error = desk.error(words).await;
        assert!(error.contains(expected), "{words:?}: {error}");
    }
    desk.center.stop().await;
}
