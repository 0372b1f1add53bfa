//! Server-sent events.

use std::io::{BufRead as _, BufReader};

use super::*;

/// Reads events until the stream ends: name and data of each.
fn events(rest: SocketAddr, token: &str, update_id: &str) -> mpsc::Receiver<(String, Value)> {
    stream_of(format!("http://{rest}/api/v1/updates/{update_id}/events"), token)
}

fn stream_of(url: String, token: &str) -> mpsc::Receiver<(String, Value)> {
    let bearer = format!("Bearer {token}");
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        let response = ureq::get(url).header("Authorization", bearer).call().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut name = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let Ok(line) = line else { return };
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                let event = (name.clone(), serde_json::from_str(text).unwrap());
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

async fn next(events: &mut mpsc::Receiver<(String, Value)>) -> Option<(String, Value)> {
    tokio::time::timeout(LIMIT, events.recv()).await.expect("no event came")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_sees_the_present_then_each_change_then_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let mut gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    let id = gateway.send_telemetry(Vec::new()).await;
    gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    group_of(&center, "all", &[EUI]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let update_id = update["update_id"].as_str().unwrap();

    let mut stream = events(center.rest, &center.token, update_id);
    let (name, line) = next(&mut stream).await.unwrap();
    assert_eq!((name.as_str(), &line["delivery"]), ("gateway", &json!("waiting")));
    gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| !d.commands.is_empty()).await;
    let payload = answer.commands[0].unverified_payload().unwrap();
    let command: keros_protocol::Command = serde_json::from_slice(&payload).unwrap();
    assert_eq!(next(&mut stream).await.unwrap().1["delivery"], "sent");
    gateway.report(1, 0, command.command_id, Outcome::Received {}).await;
    assert_eq!(next(&mut stream).await.unwrap().1["outcome"]["status"], "received");
    let end = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
    gateway.report(2, 1, command.command_id, end).await;
    assert_eq!(next(&mut stream).await.unwrap().1["outcome"]["status"], "succeeded");
    let (name, view) = next(&mut stream).await.unwrap();
    assert_eq!((name.as_str(), &view["ended"], &view["state"]), ("ended", &json!(true), &json!("sent")));
    assert_eq!(next(&mut stream).await, None, "the stream ends");

    // Whoever comes later is told the end at once.
    let mut stream = events(center.rest, &center.token, update_id);
    let names = [next(&mut stream).await.unwrap().0, next(&mut stream).await.unwrap().0];
    assert_eq!((names, next(&mut stream).await), (["gateway".to_owned(), "ended".to_owned()], None));
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_is_told_that_a_gateway_is_overdue_when_nothing_else_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let mut gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let update_id = update["update_id"].as_str().unwrap();
    gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| !d.commands.is_empty()).await;
    let payload = answer.commands[0].unverified_payload().unwrap();
    let command: keros_protocol::Command = serde_json::from_slice(&payload).unwrap();
    gateway.report(1, 0, command.command_id, Outcome::Running { task: None }).await;
    center.until("running", update_id, |view| view.gateways[0].outcome.is_some()).await;
    let mut stream = events(center.rest, &center.token, update_id);
    assert_eq!(next(&mut stream).await.unwrap().1.get("overdue"), None);

    // The time that the job may take is over soon.
    let store = Store::open(&folder.path().join("data"), None).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    let soon = unix_now() + 1;
    sqlx::query("UPDATE commands SET overdue_at = $1")
        .bind(i64::try_from(soon).unwrap())
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let (name, line) = next(&mut stream).await.unwrap();
    assert_eq!((name.as_str(), &line["overdue"]), ("gateway", &json!(true)));
    let (name, view) = next(&mut stream).await.unwrap();
    assert_eq!((name.as_str(), &view["overdue"], &view["ended"]), ("overdue", &json!(1), &json!(false)));

    // The final word is taken all the same.
    let end = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
    gateway.report(2, 1, command.command_id, end).await;
    assert_eq!(next(&mut stream).await.unwrap().1["outcome"]["status"], "succeeded");
    assert_eq!(next(&mut stream).await.unwrap().0, "ended");
    store.close().await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_stream_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let mut stream = events(center.rest, &center.token, update["update_id"].as_str().unwrap());
    next(&mut stream).await.unwrap();
    let begin = Instant::now();
    center.stop().await;
    assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_to_everything_hears_of_telemetry_and_of_updates() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let mut stream = stream_of(format!("http://{}/api/v1/events", center.rest), &center.token);
    assert_eq!(next(&mut stream).await.unwrap(), ("reset".to_owned(), json!({})));
    let gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    gateway.send_telemetry(Vec::new()).await;
    assert_eq!(next(&mut stream).await.unwrap(), ("gateway".to_owned(), json!({"eui": EUI})));
    group_of(&center, "all", &[EUI]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let expected = ("update".to_owned(), json!({"update_id": update["update_id"]}));
    while next(&mut stream).await.unwrap() != expected {}
    center.stop().await;
    while next(&mut stream).await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_no_more_is_told_no_more() {
    const OTHER: Eui = Eui::from_u64(0x7076_FF00_5607_0124);
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    center.ask("POST", "/gateways", json!({"eui": OTHER})).await;
    group_of(&center, "all", &[EUI, OTHER]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let update_id = update["update_id"].as_str().unwrap();
    let mut streams = Vec::new();
    for login in ["out", "disabled", "demoted", "good"] {
        let session = center.user(login, &[("*", "SERVICE_VIEWER")]).await;
        let mut all = stream_of(format!("http://{}/api/v1/events", center.rest), &session);
        assert_eq!(next(&mut all).await.unwrap().0, "reset");
        let mut one = events(center.rest, &session, update_id);
        for _ in 0..2 {
            assert_eq!(next(&mut one).await.unwrap().0, "gateway");
        }
        streams.push((login, session, one, all));
    }
    let cookie = format!("keros-session={}", streams[0].1);
    let who = center.send("GET", "/api/v1/session", &[("Cookie", &cookie)], Value::Null).await;
    let csrf = who.json()["csrf"].as_str().unwrap().to_owned();
    let headers = [("Cookie", cookie.as_str()), ("X-CSRF-Token", csrf.as_str())];
    assert_eq!(center.send("DELETE", "/api/v1/session", &headers, Value::Null).await.status, 204);
    assert_eq!(center.ask("PATCH", "/users/disabled", json!({"disabled": true})).await.0, 200);
    assert_eq!(center.ask("DELETE", "/users/demoted/roles/*/SERVICE_VIEWER", Value::Null).await.0, 204);
    let cancel = format!("/updates/{update_id}/gateways/{EUI}/cancel");
    assert_eq!(center.ask("POST", &cancel, Value::Null).await.0, 200);
    for (login, _, mut one, mut all) in streams {
        let told = (next(&mut one).await, next(&mut all).await);
        assert_eq!(
            (told.0.is_some(), told.1.is_some()),
            (login == "good", login == "good"),
            "{login}: {told:?}"
        );
    }
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_does_not_take_the_streams_of_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let (greedy, other) = (
        center.user("greedy", &[("*", "SERVICE_VIEWER")]).await,
        center.user("other", &[("*", "SERVICE_VIEWER")]).await,
    );
    let mut held = Vec::new();
    for _ in 0..crate::bounds::STREAMS_OF_ONE {
        let mut stream = stream_of(format!("http://{}/api/v1/events", center.rest), &greedy);
        assert_eq!(next(&mut stream).await.unwrap().0, "reset");
        held.push(stream);
    }
    assert_eq!(center.first_status_as(&greedy, "/events").await, 503);
    assert_eq!(center.first_status_as(&other, "/events").await, 200);
    center.stop().await;
}
