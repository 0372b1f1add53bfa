//! Orders that come at once, and what webhooks are told, over real connections.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::*;
use crate::webhooks::Secret;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_orders_that_come_at_once_exactly_one_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let other = Eui::from_u64(0x7076_FF00_5607_0124);
    for eui in [EUI, other] {
        center.ask("POST", "/gateways", json!({"eui": eui})).await;
    }
    group_of(&center, "one", &[EUI, other]).await;
    group_of(&center, "two", &[EUI]).await;
    let job = script_order("one")["job"].clone();
    let to_gateway = format!("/gateways/{EUI}/updates");
    // Two operators on one group, one on another group with one of its gateways, one on that gateway: each twice.
    let orders = [
        ("/updates", script_order("one")),
        ("/updates", script_order("two")),
        (to_gateway.as_str(), json!({"job": job})),
        ("/updates", script_order("one")),
    ];
    let asked = orders.iter().chain(&orders).map(|(path, order)| center.ask("POST", path, order.clone()));
    let answers = futures_util::future::join_all(asked).await;
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
    let (_, list) = center.ask("GET", "/updates", Value::Null).await;
    assert_eq!(list.as_array().unwrap().len(), 1, "what was refused has left nothing behind");
    center.stop().await;
}

/// What a receiver has heard.
#[derive(Debug, Clone)]
struct Heard {
    id: String,
    at: u64,
    signature: String,
    body: String,
}

/// A receiver that answers with the given statuses in turn, the last one ever after.
#[derive(Clone)]
struct Receiver {
    statuses: Arc<Mutex<Vec<u16>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap) {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let heard = Heard {
        id: header("webhook-id"),
        at: header("webhook-timestamp").parse().unwrap(),
        signature: header("webhook-signature"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    receiver.heard.lock().unwrap().push(heard);
    let mut statuses = receiver.statuses.lock().unwrap();
    let status = if statuses.len() > 1 { statuses.remove(0) } else { statuses[0] };
    let mut headers = HeaderMap::new();
    headers.insert("location", "/elsewhere".parse().unwrap());
    (StatusCode::from_u16(status).unwrap(), headers)
}

impl Receiver {
    /// Listens at a port; the address of its path `/hook`.
    async fn listen(statuses: &[u16]) -> (Self, String) {
        let statuses = Arc::new(Mutex::new(statuses.to_vec()));
        let receiver = Self { statuses, heard: Arc::default() };
        let router = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    async fn until(&self, count: usize) -> Vec<Heard> {
        let enough = async {
            loop {
                let heard = self.heard.lock().unwrap().clone();
                if heard.len() >= count {
                    return heard;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, enough).await.expect("the receiver did not hear enough")
    }
}

/// The log of a webhook, once its newest message was tried so often.
async fn attempts(center: &Running, webhook: &str, count: u32) -> Value {
    let path = format!("{webhook}/messages");
    let tried = async {
        loop {
            let (_, log) = center.ask("GET", &path, Value::Null).await;
            if log[0]["attempts"] == json!(count) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, tried).await.expect("the message was not tried often enough")
}

#[tokio::test]
async fn a_webhook_is_told_of_the_end_signed_and_again_until_it_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::listen(&[500, 302, 204]).await;
    let center = Running::start(folder.path(), external(1)).await;
    let (status, hook) =
        center.ask("POST", "/webhooks", json!({"url": url, "events": ["update.ended"]})).await;
    assert_eq!(status, 201, "{hook}");
    let secret = Secret::from_text(hook["secret"].as_str().unwrap()).unwrap();
    let path = format!("/webhooks/{}", hook["webhook_id"].as_str().unwrap());
    let (_, shown) = center.ask("GET", &path, Value::Null).await;
    assert_eq!(shown.get("secret"), None, "the secret is shown once");

    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let update = update["update_id"].as_str().unwrap().to_owned();
    center.ask("POST", &format!("/updates/{update}/cancel"), Value::Null).await;
    let heard = receiver.until(1).await;
    assert_eq!(heard[0].signature, secret.sign(&heard[0].id, heard[0].at, &heard[0].body));
    let body: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["update_id"]), (&json!("update.ended"), &json!(update)));
    assert_eq!(body["data"]["state"], "cancelled");

    attempts(&center, &path, 1).await;

    // The center ends, with the message untaken: the next one sends it, as the same message.
    center.stop().await;
    let center = Running::start(folder.path(), external(1)).await;
    let heard = receiver.until(2).await;
    assert_eq!((&heard[1].id, &heard[1].body), (&heard[0].id, &heard[0].body));
    let log = attempts(&center, &path, 2).await;
    assert_eq!((&log[0]["state"], &log[0]["http_status"]), (&json!("waiting"), &json!(302)), "{log}");
    assert!(log[0]["error"].as_str().unwrap().contains("redirections are not followed"));

    // A test message goes at once, and is taken.
    assert_eq!(center.ask("POST", &format!("{path}/test"), Value::Null).await.0, 202);
    let heard = receiver.until(3).await;
    assert!(heard[2].body.contains("\"test\"") && heard[2].id != heard[0].id);
    assert_eq!(center.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(center.ask("GET", &path, Value::Null).await.0, 404);
    center.stop().await;
}

#[tokio::test]
async fn a_center_for_public_webhooks_reaches_nothing_private() {
    use crate::webhooks::{Courier, Parcel, Reach};
    let (receiver, url) = Receiver::listen(&[200]).await;
    let port = url.split(':').nth(2).unwrap().to_owned();
    let courier = Courier::new(Reach::Public);
    // The name is looked up when it is connected to: `localhost` could be any name that leads here.
    for url in [format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"), url.clone()] {
        let courier = courier.clone();
        let secret = Secret::random().unwrap();
        let parcel = Parcel { id: "1".to_owned(), url: url.clone(), secret, body: "{}".to_owned() };
        let sent = tokio::task::spawn_blocking(move || courier.send(&parcel, 1)).await.unwrap();
        let (status, error) = sent.unwrap_err();
        assert_eq!(status, None, "{url}: {error}");
        assert!(error.contains("no public address") || error.contains("https"), "{url}: {error}");
    }
    assert!(receiver.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn webhooks_out_of_bounds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    for (body, status) in [
        (json!({"url": "ftp://hooks.example/"}), 422),
        (json!({"url": "https://a:b@hooks.example/"}), 422),
        (json!({"url": "https://hooks.example/", "events": ["update.lost"]}), 422),
        (json!({"url": "https://hooks.example/", "secret": "mine"}), 422),
        (json!({"url": "https://hooks.example/", "customer": "nobody"}), 404),
    ] {
        let (found, answer) = center.ask("POST", "/webhooks", body.clone()).await;
        assert_eq!(found, status, "{body}: {answer}");
    }
    for number in 0..20 {
        let (status, _) =
            center.ask("POST", "/webhooks", json!({"url": format!("https://hooks.example/{number}")})).await;
        assert_eq!(status, 201);
    }
    let (status, _) = center.ask("POST", "/webhooks", json!({"url": "https://hooks.example/more"})).await;
    assert_eq!(status, 409);
    center.stop().await;
}

#[tokio::test]
async fn a_word_to_a_roll_out_that_is_said_twice_begins_one_stage() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let euis = [1, 2, 3, 4].map(|number| Eui::from_u64(EUI.as_u64() + number));
    for eui in euis {
        center.ask("POST", "/gateways", json!({"eui": eui.to_string()})).await;
    }
    group_of(&center, "all", &euis).await;
    let mut order = script_order("all");
    order["plan"] = json!({"rollout": {"stages": ["1", "1", "1"]}});
    let (status, update) = center.ask("POST", "/updates", order).await;
    assert_eq!(status, 201, "{update}");
    let place = format!("/updates/{}/go-on", update["update_id"].as_str().unwrap());
    let first = center.ask("POST", &format!("{place}?stage=1&halted=false"), Value::Null).await;
    assert_eq!((first.0, &first.1["rollout"]["stage"]), (200, &json!(2)), "{first:?}");
    for (query, status) in [
        ("?stage=1&halted=false", 409),
        ("?stage=2&halted=true", 409),
        ("?stage=2", 422),
        ("?halted=false", 422),
        ("?stage=0&halted=false", 400),
        ("?stage=2&halted=perhaps", 400),
    ] {
        let answer = center.ask("POST", &format!("{place}{query}"), Value::Null).await;
        assert_eq!(answer.0, status, "{query}: {}", answer.1);
    }
    center.stop().await;
}
