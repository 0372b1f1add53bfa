//! A request as it is, and its answer as it came.

use super::*;

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) bytes: Vec<u8>,
    /// The same as text.
    pub(super) body: String,
}

impl Answer {
    /// Empty when there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What is no JSON is a text.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| json!(self.body))
    }
}

/// With these headers and no others; what it is led to is not followed.
pub(super) async fn http(
    method: &str,
    url: String,
    headers: &[(&str, impl AsRef<str>)],
    body: Vec<u8>,
) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, value.as_ref());
    }
    let request = request.body(body).unwrap();
    tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT));
        let agent: ureq::Agent = config.build().into();
        let mut response = agent.run(request).unwrap();
        let bytes = response.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), bytes, body }
    })
    .await
    .unwrap()
}
