//! The store of Magic Links over REST.

use keros_protocol::magic_link::Digest;

use super::*;
use crate::links::sample::{Bundle, PLAYBOOK};

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&self.body)))
    }
}

/// One request of bytes.
pub(super) async fn http(method: &str, url: String, headers: &[(&str, String)], body: Vec<u8>) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(body).unwrap();
    tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT));
        let agent: ureq::Agent = config.build().into();
        let mut response = agent.run(request).unwrap();
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    })
    .await
    .unwrap()
}

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
