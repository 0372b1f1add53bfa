//! What an enrolment writes: a folder with the log-in, and the configuration that names it.

use std::path::{Path, PathBuf};

use keros_protocol::enroll::{EnrolLine, HostPort, Issued, Login};
use keros_protocol::{Eui, KeyPurpose, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::Keys;
use super::error::EnrolError;
use super::key::Key;
use super::place::Place;

/// The configuration that an enrolment writes.
pub(super) const DROP_IN: &str = "50-enrolled.yaml";
/// Who may have signed the certificates of broker and registry.
pub(super) const CA_FILE: &str = "ca.pem";
/// Certificate and key in one file, so that one rename changes both.
pub(super) const LOGIN_FILE: &str = "gateway.pem";
const PASSWORD_FILE: &str = "password";
/// Where this came from.
const CENTER_FILE: &str = "center.json";

/// A folder below `tls` with all that one enrolment brought.
#[derive(Debug, Clone)]
pub(super) struct Generation(pub(super) PathBuf);

impl Generation {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Where an enrolment came from: kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CenterFile {
    /// Of this form.
    version: u32,
    /// Where certificates are renewed.
    pub(super) entrance: HostPort,
    /// Of the line, so that it is known again.
    token_digest: String,
}

impl CenterFile {
    /// Whether it is by this line.
    pub(super) fn is_by(&self, line: &EnrolLine) -> bool {
        self.token_digest == line.token.digest()
    }
}

/// Reads where a folder came from.
pub(super) fn read_center(generation: &Generation) -> Option<CenterFile> {
    let text = keros_platform::read_small(&generation.file(CENTER_FILE), 4096)?;
    serde_json::from_str::<CenterFile>(&text).ok().filter(|center| center.version == 1)
}

/// All of it.
pub(super) struct Enrolled {
    pub(super) eui: Eui,
    pub(super) broker: HostPort,
    pub(super) keys: Keys,
    topic_prefix: String,
    authorities: String,
    login: (&'static str, String),
    center: CenterFile,
    time_unix_s: UnixSeconds,
}

impl Enrolled {
    pub(super) fn new(line: &EnrolLine, issued: &Issued, key: &Key) -> Self {
        let keys_of =
            |purpose, pems: &[String]| pems.iter().map(move |pem| (purpose, pem.clone())).collect::<Keys>();
        let mut keys = keys_of(KeyPurpose::Command, &issued.command_keys);
        keys.extend(keys_of(KeyPurpose::Statement, &issued.statement_keys));
        let login = match &issued.login {
            Login::Certificate { certificate } => (LOGIN_FILE, login_file(certificate, key)),
            Login::Password { password } => (PASSWORD_FILE, format!("{password}\n")),
        };
        let (entrance, token_digest) = (line.entrance.clone(), line.token.digest());
        Self {
            eui: line.eui,
            broker: issued.broker.clone(),
            keys,
            topic_prefix: issued.topic_prefix.clone(),
            authorities: issued.authorities.concat(),
            login,
            center: CenterFile { version: 1, entrance, token_digest },
            // The center may be wrong by much; what the operator carried is the floor.
            time_unix_s: line.issued_at_unix_s,
        }
    }

    /// Writes the folder; nothing names it yet.
    pub(super) fn write(&self, place: &Place, generation: &Generation) -> Result<(), EnrolError> {
        let center = serde_json::to_string(&self.center).unwrap_or_default() + "\n";
        place.write(&generation.file(CENTER_FILE), center.as_bytes(), 0o640, true)?;
        place.write(&generation.file(CA_FILE), self.authorities.as_bytes(), 0o640, true)?;
        let (name, content) = &self.login;
        place.write(&generation.file(name), content.as_bytes(), 0o640, true)
    }

    /// The configuration that puts it in force. Every option of the log-in is said, so that none of an older file stays.
    pub(super) fn drop_in(&self, generation: &Generation) -> String {
        let file = |name: &str| quoted(&generation.file(name).to_string_lossy());
        let of =
            |wanted: &str| if self.login.0 == wanted { format!(" {}", file(wanted)) } else { String::new() };
        let (certificate, password) = (of(LOGIN_FILE), of(PASSWORD_FILE));
        format!(
            "# Written by `keros-agent enroll`, and replaced by the next one: own settings go into another file here.\n\
             broker:\n  host: {}\n  port: {}\n  tls:\n    ca_file: {}\n    client_cert_file:{certificate}\n    \
             client_key_file:{certificate}\n  username:\n  password_file:{password}\n  topic_prefix: {}\n\
             time_floor_unix_s: {}\n",
            quoted(self.broker.host()),
            self.broker.port(),
            file(CA_FILE),
            quoted(&self.topic_prefix),
            self.time_unix_s
        )
    }
}

/// Certificate and key in one file.
pub(super) fn login_file(certificate: &str, key: &Key) -> String {
    format!("{}\n{}", certificate.trim_end(), key.to_pem())
}

/// A text of YAML: a string of JSON is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The folder that a configuration of ours names.
pub(super) fn generation_of(drop_in: &str, tls: &Path) -> Option<Generation> {
    let value: serde_yaml::Value = serde_yaml::from_str(drop_in).ok()?;
    let file = Path::new(value.get("broker")?.get("tls")?.get("ca_file")?.as_str()?);
    let folder = file.parent()?;
    (folder.parent() == Some(tls) && file.ends_with(CA_FILE)).then(|| Generation(folder.to_owned()))
}
