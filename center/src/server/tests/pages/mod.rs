//! The pages, asked for as a browser asks.

mod gateways;
mod groups;
mod roles;
mod skeleton;
mod software_update;
mod updates;
mod webhooks;

use super::*;

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
        let mut all = headers.to_vec();
        all.extend(form.map(|_| ("Content-Type", "application/x-www-form-urlencoded")));
        let body = form.unwrap_or_default().as_bytes().to_vec();
        http(method, format!("http://{}{path}", self.rest), &all, body).await
    }
}

/// Fields as a browser sends them.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}
