//! The effective settings as YAML for a person and as JSON for the socket. They hold no secrets: passwords and private
//! keys are settings only by the names of their files.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::settings::{ExecutorAccess, Settings};

/// The effective settings in the form of a configuration file.
#[must_use]
pub(crate) fn settings_yaml(settings: &Settings) -> String {
    serde_yaml::to_string(&tree(settings)).unwrap_or_default()
}

/// The effective settings as JSON, with the same names.
#[must_use]
pub(crate) fn settings_json(settings: &Settings) -> String {
    tree(settings).to_string()
}

fn tree(settings: &Settings) -> Value {
    let broker = &settings.broker;
    let tls = broker.tls.as_ref().map(|tls| {
        object([
            ("ca_file", to_value(&tls.ca_file)),
            ("client_cert_file", to_value(tls.client.as_ref().map(|(cert, _)| cert))),
            ("client_key_file", to_value(tls.client.as_ref().map(|(_, key)| key))),
        ])
    });
    let identity = &settings.identity;
    let (socket, command) = match &settings.executor {
        ExecutorAccess::Socket(path) => (Some(path), None),
        ExecutorAccess::Command(words) => (None, Some(words)),
    };
    let links = &settings.magic_links;
    let login = links.registry_login.as_ref();
    json!({
        "broker": object([
            ("host", to_value(&broker.host)),
            ("port", to_value(broker.port)),
            ("tls", tls.unwrap_or(Value::Null)),
            ("username", to_value(&broker.username)),
            ("password_file", to_value(&broker.password_file)),
            ("topic_prefix", to_value(broker.topic_prefix.to_string())),
            ("keep_alive_s", to_value(broker.keep_alive.as_secs())),
            ("reconnect_max_s", to_value(broker.reconnect_max.as_secs())),
        ]),
        "telemetry": {
            "interval_s": settings.telemetry.interval.as_secs(),
            "min_interval_s": settings.telemetry.min_interval.as_secs(),
        },
        "identity": object([
            ("eui", to_value(identity.eui)),
            ("codename", to_value(&identity.codename)),
            ("keros_version", to_value(&identity.keros_version)),
        ]),
        "executor": object([("socket", to_value(socket)), ("command", to_value(command))]),
        "magic_links": object([
            ("ca_file", to_value(&links.ca_file)),
            ("allow_http", to_value(links.allow_http)),
            ("proxy", to_value(&links.proxy)),
            ("rate_limit_kib_s", to_value(links.rate_limit_kib_s)),
            ("redirect_hosts", to_value(&links.redirect_hosts)),
            ("registry_host", to_value(login.map(|login| &login.host))),
            ("registry_username", to_value(login.map(|login| &login.username))),
            ("registry_password_file", to_value(login.map(|login| &login.password_file))),
            ("max_mib", to_value(links.max_mib)),
            ("keep_mib", to_value(links.keep_mib)),
        ]),
        "state_folder": settings.state_folder,
        "runtime_folder": settings.runtime_folder,
        "trust_folder": settings.trust_folder,
        "platform_root": settings.platform_root,
        "time_floor_unix_s": settings.time_floor_unix_s,
    })
}

/// An object without what is not set.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let set = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(set.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
