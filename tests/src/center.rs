//! A real center in a private folder, asked over its REST API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::in_1970::ahead;
use crate::{Injection, LIMIT, Process, Threads, free_port, keros_program, run_ok, wait_for, wait_within};

/// Which broker the center uses.
#[derive(Debug, Clone)]
pub enum Broker {
    /// Its own, with a password for each gateway.
    Embedded,
    /// The same over TLS, with this certificate and key.
    EmbeddedTls(PathBuf, PathBuf),
    /// Another one on this port of 127.0.0.1, with further arguments (TLS, log-in).
    External(u16, Vec<String>),
}

/// A center that can be killed and started again with the same data.
#[derive(Debug)]
pub struct Center {
    folder: PathBuf,
    rest: SocketAddr,
    mqtt_port: u16,
    broker: Broker,
    more: Vec<String>,
    process: Option<Process>,
}

impl Center {
    /// Makes keys and starts a center with all its files in `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(folder: &Path, broker: Broker) -> Result<Self> {
        Self::start_with(folder, broker, Vec::new())
    }

    /// As [`Center::start`], with further arguments of `keros-center serve`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with(folder: &Path, broker: Broker, more: Vec<String>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let keys = folder.join("keys");
        run_ok(&keros_program("keros-center")?, ["keys", "generate", "--folder", &keys.to_string_lossy()])?;
        let mqtt_port = match broker {
            Broker::Embedded | Broker::EmbeddedTls(..) => free_port()?,
            Broker::External(port, _) => port,
        };
        let rest = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut center = Self { folder: folder.to_owned(), rest, mqtt_port, broker, more, process: None };
        center.restart()?;
        Ok(center)
    }

    /// Starts one more center with the same keys and the same external broker, its files in `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn beside(&self, folder: &Path, more: Vec<String>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        run_ok(
            Path::new("/bin/cp"),
            ["-r".as_ref(), self.keys().as_os_str(), folder.join("keys").as_os_str()],
        )?;
        let rest = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let (broker, mqtt_port) = (self.broker.clone(), self.mqtt_port);
        let mut center = Self { folder: folder.to_owned(), rest, mqtt_port, broker, more, process: None };
        center.restart()?;
        Ok(center)
    }

    /// The name by which its broker knows it.
    ///
    /// # Errors
    /// When it has not made one.
    pub fn client_id(&self) -> Result<String> {
        let id = std::fs::read_to_string(self.folder.join("data/client-id"))?;
        Ok(format!("keros-center-{}", id.trim()))
    }

    /// Starts it again, after a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.start_command(Command::new(keros_program("keros-center")?))?;
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        wait_for("the center answers", || self.get("/health").map(Some)).map(drop).with_context(|| self.log())
    }

    /// Starts it again with a fault in it, which may end it at any moment; what came of it is added to a log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_with(&mut self, injection: &Injection, log: &Path) -> Result<()> {
        let command = injection.command(&keros_program("keros-center")?, log, Threads::All)?;
        self.start_command(command)
    }

    /// Starts it again with a clock that is ahead by so many seconds. False: that is not possible here, and it goes on as it was.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart_ahead(&mut self, ahead_s: u64) -> Result<bool> {
        let mut command = Command::new(keros_program("keros-center")?);
        if !ahead(&mut command, ahead_s) {
            return Ok(false);
        }
        self.kill()?;
        self.start_command(command)?;
        self.wait_until_it_answers()?;
        Ok(true)
    }

    fn start_command(&mut self, mut command: Command) -> Result<()> {
        command.arg("serve").arg("--data-folder").arg(self.folder.join("data"));
        command.arg("--keys").arg(self.folder.join("keys")).arg("--rest").arg(self.rest.to_string());
        match &self.broker {
            Broker::Embedded => {
                command.arg("--mqtt").arg(format!("127.0.0.1:{}", self.mqtt_port));
            }
            Broker::EmbeddedTls(cert, key) => {
                command.arg("--mqtt-tls").arg(format!("127.0.0.1:{}", self.mqtt_port));
                command.arg("--cert").arg(cert).arg("--cert-key").arg(key);
            }
            Broker::External(port, arguments) => {
                command.arg("--external-broker").arg(format!("127.0.0.1:{port}")).args(arguments);
            }
        }
        command.args(&self.more);
        self.process = Some(Process::start(&mut command, &self.folder.join("center.log"))?);
        Ok(())
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Starts it again with the keys of another folder.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn switch_keys(&mut self, keys: &Path) -> Result<()> {
        self.kill()?;
        std::fs::rename(self.keys(), self.folder.join("keys-before"))?;
        run_ok(Path::new("/bin/cp"), ["-r".as_ref(), keys.as_os_str(), self.keys().as_os_str()])?;
        self.restart()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The address of its REST API.
    #[must_use]
    pub fn rest(&self) -> SocketAddr {
        self.rest
    }

    /// The port of the broker that it uses.
    #[must_use]
    pub fn mqtt_port(&self) -> u16 {
        self.mqtt_port
    }

    /// Its folder of keys; the public ones are in `trust` below it.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("center.log")).unwrap_or_default()
    }

    /// Runs our command line against it.
    ///
    /// # Errors
    /// When it ends with another code than 0.
    pub fn command_line(&self, arguments: &[&str]) -> Result<String> {
        let mut all = arguments.iter().map(ToString::to_string).collect::<Vec<_>>();
        all.extend(["--center".to_owned(), format!("http://{}", self.rest)]);
        all.extend(["--token-file".to_owned(), self.folder.join("data/api-token").display().to_string()]);
        run_ok(&keros_program("keros-center")?, all)
    }

    /// Makes the embedded broker's password for a gateway; `None` with another broker.
    ///
    /// # Errors
    /// When the command fails.
    pub fn gateway_password(&self, eui: &str) -> Result<Option<String>> {
        if matches!(self.broker, Broker::External(..)) {
            return Ok(None);
        }
        let data = self.folder.join("data");
        let arguments =
            ["broker-user", "add", eui, "--data-folder", &data.to_string_lossy()].map(str::to_owned);
        Ok(Some(run_ok(&keros_program("keros-center")?, arguments)?.trim().to_owned()))
    }

    /// `GET` below `/api/v1`.
    ///
    /// # Errors
    /// When there is no answer, or an error with its details.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut request = self.agent().get(format!("http://{}/api/v1{path}", self.rest));
        if let Some(token) = self.token() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Self::answer(request.call()?)
    }

    /// `POST` below `/api/v1`.
    ///
    /// # Errors
    /// When there is no answer, or an error with its details.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let token = self.token().context("the center has made its token")?;
        let request = self.agent().post(format!("http://{}/api/v1{path}", self.rest));
        Self::answer(request.header("Authorization", format!("Bearer {token}")).send_json(body)?)
    }

    /// Waits until the center has had telemetry of these gateways.
    ///
    /// # Errors
    /// After the limit.
    pub fn wait_for_telemetry(&self, euis: &[&str]) -> Result<()> {
        for eui in euis {
            wait_for(&format!("telemetry of {eui}"), || {
                Ok(self.get(&format!("/gateways/{eui}"))?["last_telemetry_unix_s"].as_u64())
            })?;
        }
        Ok(())
    }

    /// Makes a group of these gateways, sends it a script, gives the update's id.
    ///
    /// # Errors
    /// When the center refuses.
    pub fn send(&self, group: &str, euis: &[&str], script: &str) -> Result<String> {
        self.send_with(group, euis, script, &json!({}))
    }

    /// As [`Center::send`], with options, e.g. a confirm window.
    ///
    /// # Errors
    /// When the center refuses.
    pub fn send_with(&self, group: &str, euis: &[&str], script: &str, options: &Value) -> Result<String> {
        self.post("/groups", &json!({ "name": group, "gateways": euis }))?;
        let job = json!({ "kind": "jetporch", "script": script });
        let update = self.post("/updates", &json!({ "group": group, "job": job, "options": options }))?;
        Ok(update["update_id"].as_str().context("an update has an id")?.to_owned())
    }

    /// Waits until every gateway of an update has a terminal outcome; gives the update.
    ///
    /// # Errors
    /// After the limit, with the update as it was then.
    pub fn wait_for_end(&self, update_id: &str) -> Result<Value> {
        self.wait_for_end_within(LIMIT, update_id)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// When it has not ended after the limit.
    pub fn wait_for_end_within(&self, limit: Duration, update_id: &str) -> Result<Value> {
        wait_within(limit, "the update has ended", || {
            let update = self.get(&format!("/updates/{update_id}"))?;
            if update["ended"] == json!(true) { Ok(Some(update)) } else { bail!("{update:#}") }
        })
    }

    /// The token of its REST API, when it has made one.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join("data/api-token")).ok()?;
        Some(text.trim().to_owned())
    }

    fn agent(&self) -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        config.timeout_global(Some(std::time::Duration::from_secs(20))).build().into()
    }

    fn answer(mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
        let text = response.body_mut().read_to_string()?;
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if !response.status().is_success() {
            bail!("{}: {value}", response.status());
        }
        Ok(value)
    }
}
