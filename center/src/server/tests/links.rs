//! The store of Magic Links over REST.

use keros_protocol::magic_link::Digest;

use super::*;
use crate::links::sample::{Bundle, PLAYBOOK};

impl Running {
    pub(super) async fn rest(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let token = format!("Bearer {}", self.token);
        http(method, format!("http://{}/api/v1{path}", self.rest), &[("Authorization", token)], body).await
    }

    pub(super) async fn put_blob(&self, bytes: &[u8]) -> u16 {
        self.rest("PUT", &format!("/blobs/{}", Digest::of(bytes)), bytes.to_vec()).await.status
    }

    pub(super) async fn put_link(&self, bundle: &Bundle) -> Answer {
        for blob in &bundle.blobs {
            assert!([200, 201].contains(&self.put_blob(blob).await));
        }
        self.put_manifest(bundle).await
    }

    pub(super) async fn put_manifest(&self, bundle: &Bundle) -> Answer {
        self.rest("PUT", &format!("/magic-links/{}", bundle.digest()), bundle.manifest.clone()).await
    }
}

fn blob_files(folder: &Path) -> usize {
    let shards = std::fs::read_dir(folder.join("data/blobs/sha256")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn a_link_is_put_in_shown_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let bundle = Bundle::usual(&["7076FF*"]);
    let answer = center.put_manifest(&bundle).await;
    let detail = answer.json()["detail"].to_string();
    assert_eq!(answer.status, 409, "{detail}");
    assert!(bundle.blobs.iter().all(|blob| detail.contains(&Digest::of(blob).to_string())), "{detail}");

    let answer = center.put_link(&bundle).await;
    let view = answer.json();
    assert_eq!((answer.status, &view["name"]), (201, &json!("banner")), "{view}");
    assert_eq!(view["files"][1]["title"], "files/banner");
    assert_eq!((&view["size_bytes"], &view["gateways"]), (&json!(PLAYBOOK.len() + 6), &json!(["7076FF*"])));
    assert_eq!(center.put_link(&bundle).await.status, 200);

    let hex = bundle.digest().hex();
    for name in [&*hex, &hex[..8], &format!("sha256:{hex}")] {
        let (status, found) = center.ask("GET", &format!("/magic-links/{name}"), Value::Null).await;
        assert_eq!((status, &found["digest"]), (200, &json!(bundle.digest())), "{name}");
    }
    for (name, status) in [(&hex[..7], 422), ("XYZ45678", 422), ("00000000", 404)] {
        assert_eq!(center.ask("GET", &format!("/magic-links/{name}"), Value::Null).await.0, status, "{name}");
    }
    let (_, list) = center.ask("GET", "/magic-links", Value::Null).await;
    assert_eq!((list.as_array().unwrap().len(), &list[0]["file_count"]), (1, &json!(2)));

    assert_eq!(blob_files(folder.path()), 4);
    let (status, removed) = center.ask("DELETE", &format!("/magic-links/{hex}"), Value::Null).await;
    let bytes = bundle.manifest.len() + bundle.blobs.iter().map(Vec::len).sum::<usize>();
    assert_eq!((status, removed), (200, json!({"links": 1, "blobs": 4, "bytes": bytes})));
    assert_eq!(
        (blob_files(folder.path()), center.ask("GET", "/magic-links", Value::Null).await.1),
        (0, json!([]))
    );
    assert_eq!(center.ask("GET", "/health", Value::Null).await.1["magic_links_bytes"], 0);
    center.stop().await;
}

/// Sends a request by hand and gives what comes back, until the server ends it.
async fn raw(rest: SocketAddr, request: Vec<u8>, then_close: bool) -> String {
    use std::io::{Read as _, Write as _};
    let talk = move || {
        let mut socket = std::net::TcpStream::connect(rest).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.write_all(&request).unwrap();
        if then_close {
            socket.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut answer = [0; 12];
        let read = socket.read(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// The folder of uploads: of several centers each has one of its own name.
fn partial_folder(folder: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder.join("data/blobs")).unwrap().map(|entry| entry.unwrap());
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("partial"));
    found.next().unwrap().path()
}

fn partial_files(folder: &Path) -> usize {
    std::fs::read_dir(partial_folder(folder)).unwrap().count()
}

#[tokio::test]
async fn an_upload_that_is_not_what_it_should_be_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let digest = Digest::of(b"hello");
    let path = format!("/blobs/{digest}");
    let answer = center.rest("PUT", &path, b"hallo".to_vec()).await;
    let other = Digest::of(b"hallo").to_string();
    assert!(
        answer.status == 422 && answer.json()["detail"].to_string().contains(&other),
        "{}",
        answer.json()
    );
    assert_eq!(center.rest("PUT", "/blobs/sha256:12", Vec::new()).await.status, 400);

    let head = |length: &str| {
        let token = &center.token;
        format!("PUT /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n")
    };
    // Cut in the middle: an answer, if there is one, is an error.
    let cut = head("Content-Length: 5") + "hel";
    let answer = raw(center.rest, cut.into_bytes(), true).await;
    assert!(answer.is_empty() || answer == "HTTP/1.1 400", "{answer}");
    let endless = head("Transfer-Encoding: chunked") + "3\r\nhel\r\n";
    let answer = raw(center.rest, endless.into_bytes(), true).await;
    assert!(answer.is_empty() || answer == "HTTP/1.1 400", "{answer}");
    // Refused before it is read.
    let large = head("Content-Length: 536870913");
    assert_eq!(raw(center.rest, large.into_bytes(), false).await, "HTTP/1.1 413");

    let begin = Instant::now();
    while partial_files(folder.path()) > 0 {
        assert!(begin.elapsed() < LIMIT, "something is left of an upload");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(center.rest("HEAD", &path, Vec::new()).await.status, 404);
    assert_eq!(blob_files(folder.path()), 0);
    assert_eq!(center.ask("GET", "/health", Value::Null).await.1["magic_links_bytes"], 0);
    center.stop().await;
}

#[tokio::test]
async fn a_blob_that_comes_twice_at_once_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let blob = vec![7; 3_000_000];
    let (first, second) = tokio::join!(center.put_blob(&blob), center.put_blob(&blob));
    assert!([(201, 200), (200, 201)].contains(&(first, second)), "{first} {second}");
    assert_eq!(center.ask("GET", "/health", Value::Null).await.1["magic_links_bytes"], blob.len());
    let path = format!("/blobs/{}", Digest::of(&blob));
    let head = center.rest("HEAD", &path, Vec::new()).await;
    assert_eq!((head.status, head.header("content-length")), (200, "3000000"));
    assert_eq!(center.rest("GET", &path, Vec::new()).await.bytes, blob);
    center.stop().await;
}

#[tokio::test]
async fn a_full_store_says_what_to_do_and_what_was_begun_is_gone_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let with_room_for = |limit_bytes| {
        let mut settings = settings(folder.path(), external(1));
        settings.registry.limit_bytes = limit_bytes;
        settings
    };
    let center = Running::start_with(folder.path(), with_room_for(8)).await;
    assert_eq!(center.put_blob(b"hello").await, 201);
    let answer = center.rest("PUT", &format!("/blobs/{}", Digest::of(b"world")), b"world".to_vec()).await;
    let detail = answer.json()["detail"].to_string();
    assert!(answer.status == 507 && detail.contains("--links-gib"), "{detail}");
    assert_eq!(center.put_blob(b"abc").await, 201);
    center.stop().await;

    std::fs::write(partial_folder(folder.path()).join("left"), "x").unwrap();
    let center = Running::start_with(folder.path(), with_room_for(9)).await;
    assert_eq!((partial_files(folder.path()), center.put_blob(b"xy").await), (0, 507));
    assert_eq!(center.put_blob(b"x").await, 201);
    center.stop().await;
}

#[tokio::test]
async fn what_a_gateway_would_refuse_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let faulty = PLAYBOOK.replace("!copy", "!cpoy");
    let without_file = Bundle::new(&["70*"], &[("site.yml", PLAYBOOK)]);
    let nobody =
        Bundle::with(&json!({"name": "x", "gateways": [], "playbook": "site.yml"}), &[("site.yml", "")]);
    let no_playbook =
        Bundle::with(&json!({"name": "x", "gateways": ["70*"], "playbook": "b"}), &[("site.yml", "")]);
    let mut index = Bundle::usual(&["70*"]);
    index.manifest = b"{\"schemaVersion\":2,\"manifests\":[]}".to_vec();
    let mut longer = Bundle::usual(&["70*"]);
    longer.manifest =
        String::from_utf8(longer.manifest).unwrap().replace("\"size\":6,", "\"size\":7,").into();
    for (bundle, word) in [
        (Bundle::new(&["70*"], &[("tasks/site.yml", &faulty), ("files/banner", "")]), "tasks/site.yml:5"),
        (without_file, "site.yml:6"),
        (nobody, "not_declared"),
        (no_playbook, "none of the bundle's files"),
        (index, "image index"),
        (longer, "has 7 bytes, it has 6"),
    ] {
        let answer = center.put_link(&bundle).await;
        let detail = answer.json()["detail"].to_string();
        assert!(answer.status == 422 && detail.contains(word), "{} {detail}", answer.status);
    }
    let bundle = Bundle::usual(&["70*"]);
    let path = format!("/magic-links/{}", Digest::of(b"other"));
    assert_eq!(center.rest("PUT", &path, bundle.manifest.clone()).await.status, 422);
    assert_eq!(center.ask("GET", "/magic-links", Value::Null).await.1, json!([]));
    center.stop().await;
}

#[tokio::test]
async fn a_link_is_signed_for_one_gateway_and_compared_with_a_group() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let bundle = Bundle::usual(&[&EUI.to_string()]);
    assert_eq!(center.put_link(&bundle).await.status, 201);
    let other = "7076FF0056070124";
    for eui in [&EUI.to_string(), other] {
        center.ask("POST", "/gateways", json!({"eui": eui})).await;
    }
    let path = format!("/magic-links/{}", bundle.digest().hex());
    let sign_path = format!("{path}/sign");
    let sign = |body: Value| center.ask("POST", &sign_path, body);
    for (body, status) in [
        (json!({"eui": other}), 422),
        (json!({"eui": "x"}), 422),
        (json!({"eui": EUI, "expires_in_s": 0}), 422),
        (json!({}), 422),
    ] {
        assert_eq!(sign(body.clone()).await.0, status, "{body}");
    }
    let (status, signed) = sign(json!({"eui": EUI, "options": {"dry_run": true}})).await;
    assert_eq!((status, &signed["update"]["by_hand"]), (201, &json!(true)), "{signed}");
    assert_eq!(signed["update"]["gateways"][0]["delivery"], "sent");
    let envelope: Envelope = serde_json::from_value(signed["envelope"].clone()).unwrap();
    let payload = envelope.verify(Envelope::COMMAND, &ring(1)).unwrap();
    let command: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(command["job"], json!({"kind": "magic_link", "digest": bundle.digest()}));
    assert_eq!((&command["eui"], &command["options"]["dry_run"]), (&json!(EUI), &json!(true)));

    group_of(&center, "all", &[EUI, other.parse().unwrap()]).await;
    let (_, view) = center.ask("GET", &format!("{path}?group=all"), Value::Null).await;
    assert_eq!((&view["not_declared"], &view["not_compatible"]), (&json!([other]), &json!([])));
    assert_eq!(center.ask("GET", &format!("{path}?group=none"), Value::Null).await.0, 404);
    let job = json!({"kind": "magic_link", "digest": bundle.digest(), "token": "x"});
    let (status, _) = center.ask("POST", "/updates", json!({"group": "all", "job": job})).await;
    assert_eq!(status, 422, "a token without a source");
    center.stop().await;
}
