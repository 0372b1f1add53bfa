//! The names of all options. It knows nothing of their values: those are read in `valid`.

/// Every option by its full name. What stands before a dot is a section.
pub(super) const ALL: [&str; 32] = [
    "broker.host",
    "broker.port",
    "broker.tls.ca_file",
    "broker.tls.client_cert_file",
    "broker.tls.client_key_file",
    "broker.username",
    "broker.password_file",
    "broker.topic_prefix",
    "broker.keep_alive_s",
    "broker.reconnect_max_s",
    "telemetry.interval_s",
    "telemetry.min_interval_s",
    "identity.eui",
    "identity.codename",
    "identity.keros_version",
    "executor.socket",
    "executor.command",
    "magic_links.ca_file",
    "magic_links.allow_http",
    "magic_links.proxy",
    "magic_links.rate_limit_kib_s",
    "magic_links.redirect_hosts",
    "magic_links.registry_host",
    "magic_links.registry_username",
    "magic_links.registry_password_file",
    "magic_links.max_mib",
    "magic_links.keep_mib",
    "state_folder",
    "runtime_folder",
    "trust_folder",
    "platform_root",
    "time_floor_unix_s",
];

/// What a name is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An option, by its full name.
    Option(&'static str),
    /// A section: options below it.
    Section,
    /// Neither.
    Unknown,
}

/// What this full name is.
pub(super) fn kind(name: &str) -> Kind {
    if let Some(option) = ALL.iter().find(|option| **option == name) {
        return Kind::Option(option);
    }
    if below(name).next().is_some() { Kind::Section } else { Kind::Unknown }
}

/// All options below a section.
pub(super) fn below(section: &str) -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(move |option| is_below(option, section))
}

/// The full name of an option or section that may have been meant by an unknown one.
pub(super) fn suggestion(section: &str, unknown: &str) -> Option<String> {
    let full = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let unknown = unknown.to_lowercase().replace('-', "_");
    let siblings =
        ALL.iter().filter(|option| section.is_empty() || is_below(option, section)).filter_map(|option| {
            let rest = if section.is_empty() { option } else { option.get(section.len() + 1..)? };
            rest.split('.').next()
        });
    let likeness = |name: &str| strsim::jaro(&unknown, name);
    let nearest = siblings.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    if let Some(name) = nearest.filter(|name| likeness(name) > 0.8) {
        return Some(full(name));
    }
    // The right name in the wrong section, or with a level left out.
    let elsewhere = |option: &&&str| option.rsplit('.').next().is_some_and(|last| likeness(last) > 0.9);
    ALL.iter().find(elsewhere).map(|option| (*option).to_owned())
}

fn is_below(option: &str, section: &str) -> bool {
    option.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_options_sections_or_unknown() {
        assert_eq!(kind("broker.host"), Kind::Option("broker.host"));
        assert_eq!(kind("broker"), Kind::Section);
        assert_eq!(kind("broker.tls"), Kind::Section);
        assert_eq!(kind("brok"), Kind::Unknown);
        assert_eq!(below("broker.tls").count(), 3);
    }

    #[test]
    fn what_was_meant_is_suggested() {
        for (section, unknown, meant) in [
            ("broker", "hots", "broker.host"),
            ("broker", "keepalive_s", "broker.keep_alive_s"),
            ("broker", "Topic-Prefix", "broker.topic_prefix"),
            ("", "brocker", "broker"),
            ("", "host", "broker.host"),
            ("broker", "ca_file", "broker.tls.ca_file"),
            ("telemetry", "interval", "telemetry.interval_s"),
        ] {
            assert_eq!(suggestion(section, unknown).as_deref(), Some(meant), "{section} {unknown}");
        }
        assert_eq!(suggestion("broker", "zzz"), None);
    }
}
