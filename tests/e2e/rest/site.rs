//! A center with something of everything, and what schemathesis is told of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Broker, Center, Pki, free_port, run_ok, system_program};
use serde_json::{Value, json};

const PASSWORD: &str = "a long walk by the sea";
const SCRIPT: &str = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n";

/// Things of each kind that a run may use up.
const SPARE: usize = 6;

/// The center, and the names of what it has.
pub(crate) struct Site {
    pub(crate) center: Center,
    folder: PathBuf,
    /// The set-up link of the user who logs in.
    set_up: String,
    gateways: std::cell::Cell<u64>,
    group: String,
    other_customer: String,
    ended: String,
    staged: String,
    link: String,
    blob: String,
}

fn text(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("no {name} in {value}"))?.to_owned())
}

fn job() -> Value {
    json!({"kind": "jetporch", "script": SCRIPT})
}

impl Site {
    /// Gateways may enrol there, and webhooks go anywhere.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let pki = Pki::new(&folder.join("pki"))?;
        let (certificate, key) = pki.issue("center", "localhost")?;
        let registry = format!("127.0.0.1:{}", free_port()?);
        let authority = pki.path("ca.pem").to_string_lossy().into_owned();
        let more = ["--registry-tls", &registry, "--ca", &authority, "--webhooks-anywhere"];
        let more = more.map(str::to_owned).to_vec();
        let center = Center::start_with(&folder.join("center"), Broker::EmbeddedTls(certificate, key), more)?;
        let chief = json!({"login": "chief", "roles": [{"customer": "*", "role": "CHANNEL_ADMINISTRATOR"}]});
        let set_up = text(&center.post("/users", &chief)?, "set_up_path")?;
        let bob = json!({"login": "bob", "roles": [{"customer": "main", "role": "SERVICE_VIEWER"}]});
        center.post("/users", &bob)?;
        let other_customer = text(&center.post("/customers", &json!({"name": "other"}))?, "customer_id")?;
        let mut site = Self {
            center,
            folder: folder.to_owned(),
            set_up,
            gateways: std::cell::Cell::new(0),
            group: String::new(),
            other_customer,
            ended: String::new(),
            staged: String::new(),
            link: String::new(),
            blob: String::new(),
        };
        site.furnish()?;
        Ok(site)
    }

    /// What every request may name, and nothing uses up.
    fn furnish(&mut self) -> Result<()> {
        let first = self.gateway()?;
        self.group = self.group("north", &[&first])?;
        self.ended = self.update(&self.group, &json!({}))?;
        self.center.post(&format!("/updates/{}/cancel", self.ended), &Value::Null)?;
        let three = [self.gateway()?, self.gateway()?, self.gateway()?];
        let staged = self.group("staged", &three.each_ref().map(String::as_str))?;
        self.staged = self.update(&staged, &json!({"rollout": {"stages": ["1", "1"]}}))?;
        // A link that an update runs: no request can remove it.
        let (content, file) = (self.folder.join("content"), self.folder.join("gateways.txt"));
        fs::create_dir(&content)?;
        fs::write(content.join("site.yml"), SCRIPT)?;
        fs::write(&file, "7076FF*\n")?;
        let (content, file) = (content.to_string_lossy(), file.to_string_lossy());
        let made = ["magic-link", "create", &content, "--gateways", &file, "--json"];
        let link: Value = serde_json::from_str(&self.center.command_line(&made)?)?;
        self.link = text(&link, "digest")?;
        self.blob = text(&link["files"][0], "digest")?;
        let runs = self.group("runs", &[&self.gateway()?])?;
        let job = json!({"kind": "magic_link", "digest": self.link});
        self.center.post("/updates", &json!({"group": runs, "job": job}))?;
        Ok(())
    }

    fn gateway(&self) -> Result<String> {
        self.gateways.set(self.gateways.get() + 1);
        let eui = format!("7076FF00000{:05X}", self.gateways.get());
        self.center.post("/gateways", &json!({"eui": eui, "name": "<b>mast"}))?;
        Ok(eui)
    }

    fn group(&self, name: &str, gateways: &[&str]) -> Result<String> {
        text(&self.center.post("/groups", &json!({"name": name, "gateways": gateways}))?, "group_id")
    }

    fn update(&self, group: &str, plan: &Value) -> Result<String> {
        text(
            &self.center.post("/updates", &json!({"group": group, "job": job(), "plan": plan}))?,
            "update_id",
        )
    }

    /// So many of a kind.
    fn spare(&self, make: impl Fn(usize) -> Result<String>) -> Result<Vec<String>> {
        (0..SPARE).map(make).collect()
    }

    /// The names of what is there, for `hooks.py`; what is used up is made anew for each run.
    pub(crate) fn known(&self, way: &str) -> Result<Value> {
        let webhook =
            || text(&self.center.post("/webhooks", &json!({"url": "http://127.0.0.1:9/"}))?, "webhook_id");
        let known_webhook = webhook()?;
        let idle = |number: usize| self.group(&format!("{way} idle {number}"), &[&self.gateway()?]);
        let cancelled = |number: usize| {
            let update =
                self.update(&self.group(&format!("{way} ended {number}"), &[&self.gateway()?])?, &json!({}))?;
            self.center.post(&format!("/updates/{update}/cancel"), &Value::Null)?;
            Ok(update)
        };
        let retired = |_| {
            let eui = self.gateway()?;
            self.center.post(&format!("/gateways/{eui}/retire"), &Value::Null)?;
            Ok(eui)
        };
        let invited = |_| {
            let eui = self.gateway()?;
            self.center.post("/enrolments", &json!({"gateways": [eui]}))?;
            Ok(eui)
        };
        let customer = |number: usize| {
            let name = json!({"name": format!("{way} customer {number}")});
            text(&self.center.post("/customers", &name)?, "customer_id")
        };
        Ok(json!({
            "path": {
                "eui": "7076FF0000000001", "name": self.group, "user": "bob", "customer": self.other_customer,
                "role": "SERVICE_VIEWER", "digest": self.link, "id": self.ended,
            },
            "routes": {
                "/webhooks/{id}": {"id": known_webhook},
                "/webhooks/{id}/test": {"id": known_webhook},
                "/webhooks/{id}/messages": {"id": known_webhook},
                "/blobs/{digest}": {"digest": self.blob},
                "/updates/{id}/go-on": {"id": self.staged},
                "/users/{user}/roles/{customer}/{role}": {"customer": "main"},
            },
            "used_up": {
                "DELETE /groups/{name}": {"name": "idle"},
                "DELETE /webhooks/{id}": {"id": "webhook"},
                "DELETE /enrolments/{eui}": {"eui": "invited"},
                "DELETE /customers/{customer}": {"customer": "customer"},
                "DELETE /magic-links/{digest}": {"digest": "nothing"},
                "DELETE /account/tokens/{id}": {"id": "token"},
                "POST /gateways/{eui}/retire": {"eui": "gateway"},
                "POST /gateways/{eui}/unretire": {"eui": "retired"},
                "POST /gateways/{eui}/move": {"eui": "gateway"},
                "POST /gateways/{eui}/updates": {"eui": "gateway"},
                "POST /updates/{id}/retry": {"id": "cancelled"},
            },
            "bodies": bodies(&self.group, &self.other_customer),
            "spare": {
                "idle": self.spare(idle)?,
                "webhook": self.spare(|_| webhook())?,
                "invited": self.spare(invited)?,
                "customer": self.spare(customer)?,
                "retired": self.spare(retired)?,
                "cancelled": self.spare(cancelled)?,
                "gateway": (0..4 * SPARE).map(|_| self.gateway()).collect::<Result<Vec<_>>>()?,
                "new": self.spare(|number| Ok(format!("{way}-new-{number}")))?,
            },
        }))
    }

    /// Chooses the chief's password; the cookie of his session and what goes with it.
    pub(crate) fn log_in(&self) -> Result<(String, String)> {
        let secret = self.set_up.rsplit('/').next().unwrap_or_default();
        let body = json!({"secret": secret, "password": PASSWORD}).to_string();
        let url = format!("http://{}/api/v1/session/set-up", self.center.rest());
        let answer = run_ok(&system_program("curl")?, ["-s", "-i", "--json", &body, &url])?;
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: keros-session="));
        let session = cookie.and_then(|rest| rest.split(';').next()).context("a cookie")?;
        let (_, view) = answer.split_once("\r\n\r\n").context("a body")?;
        let view: Value = serde_json::from_str(view)?;
        ensure!(view["csrf"].is_string(), "{view}");
        Ok((session.to_owned(), text(&view, "csrf")?))
    }
}

/// Bodies that do something; `<kind>` stands for one of the spare things.
fn bodies(group: &str, other_customer: &str) -> Value {
    json!({
        "POST /gateways": {"eui": "7076FF00000FFFFF", "name": "new"},
        "POST /gateways/import": "eui,name\n7076FF00000FFFFE,imported\n",
        "POST /gateways/{eui}/move": {"customer": other_customer},
        "POST /gateways/{eui}/updates": {"job": job()},
        "POST /enrolments": {"gateways": ["7076FF0000000001"]},
        "POST /groups": {"name": "<new>"},
        "POST /updates": {"group": "<idle>", "job": job()},
        "POST /updates/preview": {"group": group, "job": job()},
        "POST /updates/{id}/retry": {"outcomes": ["cancelled"]},
        "POST /scripts/check": {"script": SCRIPT},
        "POST /webhooks": {"url": "http://127.0.0.1:9/"},
        "POST /magic-links/{digest}/sign": {"eui": "7076FF0000000001"},
        "POST /magic-links/collect": {"older_than_s": 100_000_000},
        "POST /account/tokens": {"name": "ci", "scopes": {"read": true}},
        "POST /users": {"login": "<new>", "roles": [{"customer": "main", "role": "SERVICE_VIEWER"}]},
        "POST /users/{user}/roles": {"customer": "main", "role": "SERVICE_VIEWER"},
        "POST /customers": {"name": "<new>"},
    })
}
