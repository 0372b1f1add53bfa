//! Users, sessions, tokens and customers, over the real REST API and the real pages.

mod permissions;
mod sessions;
mod tenants;
mod users;

use super::*;

pub(in crate::server::tests) const PASSWORD: &str = "a long walk by the sea";

impl Answer {
    /// What the cookie of the session holds.
    pub(super) fn session(&self) -> String {
        let cookie = self.header("set-cookie").strip_prefix("keros-session=").unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

impl Running {
    /// Sends what a browser or a program sends, with these headers and no others.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let (media_type, bytes) = match body {
            Value::Null => (None, Vec::new()),
            Value::String(form) => (Some("application/x-www-form-urlencoded"), form.into_bytes()),
            body => (Some("application/json"), serde_json::to_vec(&body).unwrap()),
        };
        let mut all = headers.to_vec();
        all.extend(media_type.map(|media_type| ("Content-Type", media_type)));
        self.send_bytes(method, path, &all, bytes).await
    }

    pub(super) async fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        bytes: Vec<u8>,
    ) -> Answer {
        http(method, format!("http://{}{path}", self.rest), headers, bytes).await
    }

    /// Makes a user with these roles, who has chosen [`PASSWORD`]; gives the session, which serves as a token too.
    pub(super) async fn user(&self, login: &str, roles: &[(&str, &str)]) -> String {
        let roles: Vec<Value> =
            roles.iter().map(|(customer, role)| json!({"customer": customer, "role": role})).collect();
        let (status, view) = self.ask("POST", "/users", json!({"login": login, "roles": roles})).await;
        assert_eq!(status, 201, "{view}");
        let secret = view["set_up_path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let body = json!({"secret": secret, "password": PASSWORD});
        let answer = self.send("POST", "/api/v1/session/set-up", &[], body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.session()
    }

    pub(super) async fn log_in(&self, login: &str, password: &str) -> Answer {
        self.send("POST", "/api/v1/session", &[], json!({"login": login, "password": password})).await
    }

    /// Asks with this token or session.
    pub(super) async fn ask_as(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        ask(self.rest, token, method, path, body).await
    }

    /// The status of an answer whose body is not waited for.
    pub(super) async fn first_status_as(&self, token: &str, path: &str) -> u16 {
        let request = ureq::http::Request::builder()
            .uri(format!("http://{}/api/v1{path}", self.rest))
            .header("Authorization", format!("Bearer {token}"));
        let request = request.body(()).unwrap();
        tokio::task::spawn_blocking(move || {
            let config =
                ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT));
            let agent: ureq::Agent = config.build().into();
            agent.run(request).unwrap().status().as_u16()
        })
        .await
        .unwrap()
    }
}
