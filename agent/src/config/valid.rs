//! From what was merged to valid [`Settings`]: defaults, ranges, and what must go together. The only place with defaults.

use std::path::PathBuf;
use std::time::Duration;

use keros_platform::{IdentityOverride, paths};
use keros_protocol::Eui;

use super::merged::Merged;
use super::settings::{BrokerSettings, ExecutorAccess, Settings, TelemetrySettings, TlsSettings};

/// Reads every option; what is wrong is added to the findings, and the settings returned are of use only when nothing is.
pub(super) fn settings(merged: &mut Merged) -> Settings {
    Settings {
        broker: broker(merged),
        telemetry: telemetry(merged),
        identity: identity(merged),
        executor: executor(merged),
        state_folder: folder(merged, "state_folder", paths::AGENT_STATE_FOLDER),
        runtime_folder: folder(merged, "runtime_folder", paths::AGENT_RUNTIME_FOLDER),
        trust_folder: folder(merged, "trust_folder", paths::TRUST_FOLDER),
        platform_root: folder(merged, "platform_root", "/"),
    }
}

fn broker(merged: &mut Merged) -> BrokerSettings {
    let tls = tls(merged);
    let default_port = if tls.is_some() { 8883 } else { 1883 };
    let port = merged.number("broker.port", 1..=65_535, "").and_then(|port| u16::try_from(port).ok());
    BrokerSettings {
        host: host(merged),
        port: port.unwrap_or(default_port),
        tls,
        username: merged.text("broker.username", 256),
        password_file: merged.file("broker.password_file"),
        topic_prefix: merged.parsed("broker.topic_prefix").unwrap_or_default(),
        keep_alive: seconds(merged, "broker.keep_alive_s", 5, 3600, 300),
    }
}

fn host(merged: &mut Merged) -> String {
    const OPTION: &str = "broker.host";
    if !merged.is_set(OPTION) && !merged.incomplete {
        let message =
            "`broker.host` is not set: it is the host name or address of the management center's broker";
        merged.wrong::<()>(OPTION, message.to_owned());
    }
    let host = merged.text(OPTION, 253).unwrap_or_default();
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    if host.contains(['/', ' ', '[', ']', '@']) || (host.contains(':') && !is_address) {
        let message = "`broker.host` is a host name or an address alone, without \"mqtt://\", brackets or a port; \
                       the port is `broker.port`";
        merged.wrong::<()>(OPTION, message.to_owned());
    }
    host
}

fn tls(merged: &mut Merged) -> Option<TlsSettings> {
    const CA: &str = "broker.tls.ca_file";
    const CERT: &str = "broker.tls.client_cert_file";
    const KEY: &str = "broker.tls.client_key_file";
    let client = match (merged.file(CERT), merged.file(KEY)) {
        (Some(cert), Some(key)) => Some((cert, key)),
        _ => None,
    };
    for (given, needed) in [(CERT, KEY), (KEY, CERT), (CERT, CA)] {
        if merged.is_set(given) && !merged.is_set(needed) {
            merged.wrong::<()>(given, format!("`{given}` needs `{needed}` beside it"));
        }
    }
    Some(TlsSettings { ca_file: merged.file(CA)?, client })
}

fn telemetry(merged: &mut Merged) -> TelemetrySettings {
    let interval = seconds(merged, "telemetry.interval_s", 1, 86_400, 3600);
    let mut min_interval = seconds(merged, "telemetry.min_interval_s", 0, 3600, 60);
    if min_interval > interval {
        if merged.is_set("telemetry.min_interval_s") {
            let message = "`telemetry.min_interval_s` is not more than `telemetry.interval_s`".to_owned();
            merged.wrong::<()>("telemetry.min_interval_s", message);
        }
        min_interval = interval;
    }
    TelemetrySettings { interval, min_interval }
}

fn identity(merged: &mut Merged) -> IdentityOverride {
    const CODENAME: &str = "identity.codename";
    let mut codename = merged.text(CODENAME, 32);
    let is_plain = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if codename.as_ref().is_some_and(|text| !is_plain(text)) {
        let message = format!("`{CODENAME}` has only letters, digits, \"-\", \"_\" and \".\"");
        codename = merged.wrong(CODENAME, message);
    }
    IdentityOverride {
        eui: merged.parsed::<Eui>("identity.eui"),
        codename,
        keros_version: merged.parsed("identity.keros_version"),
    }
}

fn executor(merged: &mut Merged) -> ExecutorAccess {
    const SOCKET: &str = "executor.socket";
    const COMMAND: &str = "executor.command";
    if merged.is_set(SOCKET) && merged.is_set(COMMAND) {
        let message = format!(
            "only one of `{SOCKET}` and `{COMMAND}` can be set; \"socket:\" without a value unsets the first"
        );
        merged.wrong::<()>(COMMAND, message);
    }
    let Some(words) = merged.words(COMMAND) else {
        return ExecutorAccess::Socket(folder(merged, SOCKET, paths::EXECUTOR_SOCKET));
    };
    if words.first().is_some_and(|program| !program.starts_with('/')) {
        let message = format!("the first word of `{COMMAND}` is an absolute path: it begins with \"/\"");
        merged.wrong::<()>(COMMAND, message);
    }
    ExecutorAccess::Command(words)
}

fn seconds(merged: &mut Merged, option: &'static str, min: u64, max: u64, default: u64) -> Duration {
    Duration::from_secs(merged.number(option, min..=max, "seconds").unwrap_or(default))
}

fn folder(merged: &mut Merged, option: &'static str, default: &str) -> PathBuf {
    merged.path(option).unwrap_or_else(|| PathBuf::from(default))
}
