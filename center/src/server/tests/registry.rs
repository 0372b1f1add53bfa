//! The registry: as a gateway and as other clients use it.

use keros_protocol::Job;
use keros_protocol::magic_link::{Digest, MANIFEST_MEDIA_TYPE, Source};

use super::*;
use crate::links::sample::Bundle;

const OTHER: &str = "7276FF0056070001";

impl Running {
    async fn pull(&self, method: &str, path: &str, token: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("http://{}/v2/{path}", self.registry);
        let mut all = vec![("Authorization", format!("Bearer {token}"))];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        http(method, url, &all, Vec::new()).await
    }
}

fn code(answer: &Answer) -> Value {
    answer.json()["errors"][0]["code"].clone()
}

/// The source and the token that a gateway is sent for a link, over MQTT.
async fn sent_to_gateway(center: &Running, password: &str, digest: Digest) -> (Source, String) {
    let mut gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(password)).await;
    let id = gateway.send_telemetry(Vec::new()).await;
    gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    group_of(center, "all", &[EUI]).await;
    let order = json!({"group": "all", "job": {"kind": "magic_link", "digest": digest}});
    let (status, update) = center.ask("POST", "/updates", order).await;
    assert_eq!((status, &update["kind"]), (201, &json!("magic_link")), "{update}");
    let mut commands = Vec::new();
    for _ in 0..2 {
        let id = gateway.send_telemetry(Vec::new()).await;
        let (answer, _) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
        commands.extend(answer.commands);
    }
    assert_eq!(commands[0], commands[1], "it is the same each time it is sent");
    let payload = commands[0].verify(Envelope::COMMAND, &ring(1)).unwrap();
    let command: keros_protocol::Command = serde_json::from_slice(&payload).unwrap();
    assert_eq!(command.options.confirm_window_s, 1800);
    match command.job {
        Job::MagicLink { digest: found, source, token } if found == digest => {
            (source.parse().unwrap(), token.unwrap())
        }
        job => panic!("{job:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_fetches_with_the_token_of_its_command_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let (bundle, other) = (Bundle::usual(&["7076FF*"]), Bundle::usual(&[OTHER]));
    for bundle in [&bundle, &other] {
        assert_eq!(center.put_link(bundle).await.status, 201);
    }
    let (source, token) = sent_to_gateway(&center, &password, bundle.digest()).await;
    assert_eq!(source.to_string(), format!("http://{}/v2/links", center.registry));

    let bearer = [("Authorization", format!("Bearer {token}"))];
    let answer = http("GET", source.manifest_url(bundle.digest()), &bearer, Vec::new()).await;
    assert_eq!((answer.status, answer.bytes), (200, bundle.manifest.clone()));
    for blob in &bundle.blobs {
        let answer = http("GET", source.blob_url(Digest::of(blob)), &bearer, Vec::new()).await;
        assert_eq!((answer.status, &answer.bytes), (200, blob));
    }

    let manifest = |bundle: &Bundle| format!("links/manifests/{}", bundle.digest());
    let blob = |bytes: &[u8]| format!("links/blobs/{}", Digest::of(bytes));
    let answer = center.pull("GET", &manifest(&other), &token, &[]).await;
    assert_eq!((answer.status, code(&answer)), (403, json!("DENIED")));
    let answer = center.pull("GET", &blob(&other.blobs[0]), &token, &[]).await;
    assert_eq!((answer.status, code(&answer)), (404, json!("BLOB_UNKNOWN")));
    let altered = token.replace(&EUI.to_string(), OTHER);
    for wrong in ["", "x", &altered, &token[..token.len() - 1]] {
        let answer = center.pull("GET", &manifest(&bundle), wrong, &[]).await;
        assert_eq!((answer.status, code(&answer)), (401, json!("UNAUTHORIZED")), "{wrong}");
        assert!(answer.header("www-authenticate").starts_with("Basic realm="));
    }
    // The API's token opens all of it.
    assert_eq!(center.pull("GET", &manifest(&other), &center.token, &[]).await.status, 200);
    center.stop().await;
}

#[tokio::test]
async fn blobs_come_whole_or_by_one_range() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let blob: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(center.put_blob(&blob).await, 201);
    let digest = Digest::of(&blob).to_string();
    let path = format!("links/blobs/{digest}");
    let get = |method: &'static str, headers: Vec<(&'static str, String)>| {
        let (center, path) = (&center, &path);
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            center.pull(method, path, &center.token, &headers).await
        }
    };
    let whole = get("GET", Vec::new()).await;
    assert_eq!((whole.status, &whole.bytes), (200, &blob));
    for (name, value) in [
        ("docker-content-digest", &*digest),
        ("etag", &format!("\"{digest}\"")),
        ("accept-ranges", "bytes"),
        ("content-length", "200000"),
        ("content-type", "application/octet-stream"),
    ] {
        assert_eq!(whole.header(name), value);
    }
    let head = get("HEAD", Vec::new()).await;
    assert_eq!((head.status, head.header("content-length"), head.bytes.len()), (200, "200000", 0));

    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=70000-", 70_000, 200_000), ("bytes=-5", 199_995, 200_000)]
    {
        let part = get("GET", vec![("Range", range.to_owned())]).await;
        assert_eq!((part.status, &part.bytes[..]), (206, &blob[from..to]), "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/200000", to - 1));
    }
    let beyond = get("GET", vec![("Range", "bytes=200000-".to_owned())]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */200000"));
    // A range of another version of the blob, and one that makes no sense: all of it.
    for headers in [
        vec![("Range", "bytes=5-9".to_owned()), ("If-Range", "\"sha256:00\"".to_owned())],
        vec![("Range", "bytes=9-5".to_owned())],
    ] {
        assert_eq!(get("GET", headers).await.status, 200);
    }
    let same = vec![("Range", "bytes=5-9".to_owned()), ("If-Range", format!("\"{digest}\""))];
    assert_eq!(get("GET", same).await.bytes, &blob[5..10]);
    center.stop().await;
}

#[tokio::test]
async fn what_is_not_there_has_the_code_of_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let nothing = Digest::of(b"nothing");
    for (method, path, status, expected) in [
        ("GET", String::new(), 200, ""),
        ("GET", "links/tags/list".to_owned(), 200, ""),
        ("GET", format!("links/manifests/{nothing}"), 404, "MANIFEST_UNKNOWN"),
        ("GET", "links/manifests/latest".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("links/blobs/{nothing}"), 404, "BLOB_UNKNOWN"),
        ("GET", "links/blobs/sha256:12".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", format!("other/manifests/{nothing}"), 404, "NAME_UNKNOWN"),
        ("GET", "links/a/blobs".to_owned(), 404, "UNSUPPORTED"),
        ("GET", format!("links/referrers/{nothing}"), 404, "UNSUPPORTED"),
        ("POST", "links/blobs/uploads/".to_owned(), 404, "UNSUPPORTED"),
        ("PUT", format!("links/manifests/{nothing}"), 405, "UNSUPPORTED"),
        ("DELETE", format!("links/blobs/{nothing}"), 405, "UNSUPPORTED"),
    ] {
        let answer = center.pull(method, &path, &center.token, &[]).await;
        let found = code(&answer);
        assert_eq!(
            (answer.status, found.as_str().unwrap_or_default()),
            (status, expected),
            "{method} {path}"
        );
        assert_eq!(center.pull(method, &path, "", &[]).await.status, 401, "{method} {path}");
    }
    center.stop().await;
}

#[tokio::test]
async fn a_lost_or_cut_blob_is_an_error_and_never_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let bundle = Bundle::usual(&["7076FF*"]);
    assert_eq!(center.put_link(&bundle).await.status, 201);
    let path = format!("links/manifests/{}", bundle.digest());
    let hex = bundle.digest().hex();
    let file = folder.path().join("data/blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::write(&file, &bundle.manifest[1..]).unwrap();
    let answer = center.pull("GET", &path, &center.token, &[]).await;
    assert_eq!((answer.status, code(&answer)), (500, json!("UNKNOWN")));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(center.pull("GET", &path, &center.token, &[]).await.status, 500);
    // To put it in again mends it.
    assert_eq!(center.put_manifest(&bundle).await.status, 200);
    let answer = center.pull("GET", &path, &center.token, &[]).await;
    assert_eq!((&answer.bytes, answer.header("content-type")), (&bundle.manifest, MANIFEST_MEDIA_TYPE));
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_when_too_many_fetch_is_asked_to_come_again() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), external(1));
    settings.registry.pulls = 1;
    let center = Running::start_with(folder.path(), settings).await;
    // Far more than the buffers of a connection hold.
    let blob = vec![0; 64 << 20];
    assert_eq!(center.put_blob(&blob).await, 201);
    let path = format!("links/blobs/{}", Digest::of(&blob));
    let request =
        format!("GET /v2/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", center.token);
    let registry = center.registry;
    let begun = tokio::task::spawn_blocking(move || {
        let mut slow = std::net::TcpStream::connect(registry).unwrap();
        slow.set_read_timeout(Some(LIMIT)).unwrap();
        slow.write_all(request.as_bytes()).unwrap();
        slow.read_exact(&mut [0; 12]).unwrap();
        slow
    });
    let slow = begun.await.unwrap();
    let part = [("Range", "bytes=0-0")];
    let answer = center.pull("GET", &path, &center.token, &part).await;
    assert_eq!((answer.status, code(&answer)), (429, json!("TOOMANYREQUESTS")));
    assert!((5..69).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(center.pull("HEAD", &path, &center.token, &[]).await.status, 200, "a HEAD takes no place");
    drop(slow);
    let begin = Instant::now();
    while center.pull("GET", &path, &center.token, &part).await.status != 206 {
        assert!(begin.elapsed() < LIMIT, "the place is never free again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    center.stop().await;
}

#[tokio::test]
async fn skopeo_copies_a_link_from_the_store() {
    if !Path::new("/usr/bin/skopeo").exists() {
        return keros_skip::skipped("skopeo is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let bundle = Bundle::usual(&["7076FF*"]);
    assert_eq!(center.put_link(&bundle).await.status, 201);
    let mut skopeo = Command::new("/usr/bin/skopeo");
    skopeo
        .args(["copy", "--insecure-policy", "--src-tls-verify=false"])
        .args(["--src-creds", &format!("api:{}", center.token)])
        .arg(format!("docker://{}/links@{}", center.registry, bundle.digest()))
        .arg(format!("oci:{}", folder.path().join("out").display()))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || skopeo.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let blobs = folder.path().join("out/blobs/sha256");
    assert_eq!(std::fs::read(blobs.join(bundle.digest().hex())).unwrap(), bundle.manifest);
    for blob in &bundle.blobs {
        assert_eq!(&std::fs::read(blobs.join(Digest::of(blob).hex())).unwrap(), blob);
    }
    center.stop().await;
}
