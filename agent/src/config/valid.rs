//! From what was merged to valid [`Settings`]: defaults, ranges, and what must go together. The only place with defaults.

use std::path::PathBuf;
use std::time::Duration;

use keros_platform::{IdentityOverride, paths};
use keros_protocol::Eui;
use keros_protocol::limits::MAX_BUNDLE_BYTES;

use super::merged::Merged;
use super::settings::{
    BrokerSettings, ExecutorAccess, MagicLinkSettings, RegistryLogin, Settings, TelemetrySettings,
    TlsSettings,
};

/// The end of 2099: a floor beyond it is a mistake.
const LAST_FLOOR_UNIX_S: u64 = 4_102_444_799;

/// As the protocol has it.
const MAX_BUNDLE_MIB: u64 = MAX_BUNDLE_BYTES / 1024 / 1024;

/// Reads every option; what is wrong is added to the findings, and the settings returned are of use only when nothing is.
pub(super) fn settings(merged: &mut Merged) -> Settings {
    let broker = broker(merged);
    Settings {
        magic_links: magic_links(merged, &broker),
        broker,
        telemetry: telemetry(merged),
        identity: identity(merged),
        executor: executor(merged),
        state_folder: folder(merged, "state_folder", paths::AGENT_STATE_FOLDER),
        runtime_folder: folder(merged, "runtime_folder", paths::AGENT_RUNTIME_FOLDER),
        trust_folder: folder(merged, "trust_folder", paths::TRUST_FOLDER),
        platform_root: folder(merged, "platform_root", "/"),
        time_floor_unix_s: merged.number("time_floor_unix_s", 0..=LAST_FLOOR_UNIX_S, "").unwrap_or(0),
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
        reconnect_max: seconds(merged, "broker.reconnect_max_s", 1, 3600, 300),
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
    let Some(words) = merged.words(COMMAND, 1..=32, "[/usr/bin/program, argument]") else {
        return ExecutorAccess::Socket(folder(merged, SOCKET, paths::EXECUTOR_SOCKET));
    };
    if words.first().is_some_and(|program| !program.starts_with('/')) {
        let message = format!("the first word of `{COMMAND}` is an absolute path: it begins with \"/\"");
        merged.wrong::<()>(COMMAND, message);
    }
    ExecutorAccess::Command(words)
}

fn magic_links(merged: &mut Merged, broker: &BrokerSettings) -> MagicLinkSettings {
    let ca_of_broker = || broker.tls.as_ref().map(|tls| tls.ca_file.clone());
    MagicLinkSettings {
        ca_file: merged.file("magic_links.ca_file").or_else(ca_of_broker),
        allow_http: merged.flag("magic_links.allow_http").unwrap_or(false),
        proxy: proxy(merged),
        // A million KiB a second is more than any link has.
        rate_limit_kib_s: merged
            .number("magic_links.rate_limit_kib_s", 0..=1_000_000, "KiB a second")
            .unwrap_or(0),
        redirect_hosts: redirect_hosts(merged),
        registry_login: registry_login(merged),
        max_mib: merged.number("magic_links.max_mib", 1..=MAX_BUNDLE_MIB, "MiB").unwrap_or(MAX_BUNDLE_MIB),
        keep_mib: merged.number("magic_links.keep_mib", 0..=1_000_000, "MiB").unwrap_or(64),
    }
}

/// All three or none: a password without its registry would go to whatever source asks for one.
fn registry_login(merged: &mut Merged) -> Option<RegistryLogin> {
    const HOST: &str = "magic_links.registry_host";
    const USER: &str = "magic_links.registry_username";
    const PASSWORD: &str = "magic_links.registry_password_file";
    let all = [HOST, USER, PASSWORD];
    let (host, username, password_file) =
        (merged.text(HOST, 256), merged.text(USER, 256), merged.file(PASSWORD));
    let given = all.into_iter().find(|option| merged.is_set(option))?;
    if let Some(missing) = all.into_iter().find(|option| !merged.is_set(option)) {
        return merged.wrong(given, format!("`{given}` needs `{missing}` beside it"));
    }
    let login = RegistryLogin { host: host?, username: username?, password_file: password_file? };
    if !is_host(&login.host) {
        let message = format!("`{HOST}`: {:?} is no host name with or without a port", login.host);
        return merged.wrong(HOST, message);
    }
    Some(login)
}

fn proxy(merged: &mut Merged) -> Option<String> {
    const PROXY: &str = "magic_links.proxy";
    let text = merged.text(PROXY, 512)?;
    let is_proxy = text
        .strip_prefix("http://")
        .and_then(|rest| rest.rsplit_once(':'))
        .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port != 0));
    if is_proxy {
        return Some(text);
    }
    merged.wrong(PROXY, format!("`{PROXY}` is like http://proxy.example.org:3128; found {text:?}"))
}

fn redirect_hosts(merged: &mut Merged) -> Vec<String> {
    const HOSTS: &str = "magic_links.redirect_hosts";
    let hosts = merged.words(HOSTS, 0..=32, "[storage.example.org, \"mirror.example.org:8443\"]");
    let hosts = hosts.unwrap_or_default();
    for host in hosts.iter().filter(|host| !is_host(host)) {
        let message = format!("`{HOSTS}`: {host:?} is no host name with or without a port");
        merged.wrong::<()>(HOSTS, message);
    }
    hosts
}

/// As it stands in a URL: an IPv6 address in brackets, and perhaps a port.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

fn seconds(merged: &mut Merged, option: &'static str, min: u64, max: u64, default: u64) -> Duration {
    Duration::from_secs(merged.number(option, min..=max, "seconds").unwrap_or(default))
}

fn folder(merged: &mut Merged, option: &'static str, default: &str) -> PathBuf {
    merged.path(option).unwrap_or_else(|| PathBuf::from(default))
}
