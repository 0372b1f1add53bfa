//! The pages, asked for as a browser asks.

mod gateways;
mod groups;
mod roles;
mod skeleton;
mod software_update;
mod updates;
mod webhooks;

use super::*;

/// A page as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Running {
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.browse("GET", path, &[("Authorization", &format!("Bearer {}", self.token))], None).await
    }

    /// Sends a form, with the right `csrf`.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        self.browse("POST", path, &[("Authorization", &authorization)], Some(&encoded(fields))).await
    }

    pub(super) async fn browse(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&str>,
    ) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.rest));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if form.is_some() {
            request = request.header("Content-Type", "application/x-www-form-urlencoded");
        }
        let request = request.body(form.unwrap_or_default().as_bytes().to_vec()).unwrap();
        tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .allow_non_standard_methods(true)
                .timeout_global(Some(LIMIT));
            let agent: ureq::Agent = config.build().into();
            let mut response = agent.run(request).unwrap();
            let body = response.body_mut().read_to_string().unwrap();
            Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
        })
        .await
        .unwrap()
    }
}

/// Fields as a browser sends them.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}
