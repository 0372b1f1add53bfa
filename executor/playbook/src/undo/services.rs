//! Services: what they were before a run touched them, and how they are brought back to that.
//!
//! What did not run is stopped, and what was not enabled is disabled, before files are put back: afterwards their units may be gone.
//! What ran is restarted, once, when all files are back.

use std::path::Path;
use std::time::Instant;

use super::programs::{Call, ask};
use super::record::Service;
use crate::modules::monit_state;
use crate::system::{HostSystem, Manager, System as _, SystemError};

/// Where systemd looks for units.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// What a service is now.
pub(super) fn state(host: &mut HostSystem, manager: Manager, name: &str) -> Result<Service, SystemError> {
    let (enabled, active) = match manager {
        Manager::Systemd => {
            let enabled = word(&ask(host, "systemctl", &["is-enabled", name])?.output.to_string());
            let active = word(&ask(host, "systemctl", &["is-active", name])?.output.to_string());
            let runs = matches!(active.as_str(), "active" | "activating" | "reloading" | "refreshing");
            (enabled, Some(runs))
        }
        Manager::Monit => {
            let end = ask(host, "monit", &["status", name])?;
            match monit_state(&end.output.to_string()).filter(|_| end.exit_code == 0) {
                Some((runs, monitored)) => (if monitored { MONITORED } else { "" }.to_owned(), Some(runs)),
                None => (String::new(), None),
            }
        }
        Manager::Script => {
            let script = script(name);
            let end = ask(host, &script, &["status"])?;
            let does_not_know = end.output.to_string().to_lowercase().contains("usage");
            let active = match end.exit_code {
                _ if does_not_know => None,
                0 => Some(true),
                1..=3 => Some(false),
                _ => None,
            };
            // That it is started at boot is a matter of links, which are files.
            (String::new(), active)
        }
    };
    Ok(Service { manager, name: name.to_owned(), enabled, active })
}

const MONITORED: &str = "monitored";

fn script(name: &str) -> String {
    format!("/etc/init.d/{name}")
}

/// The last line of one word.
fn word(printed: &str) -> String {
    let mut lines = printed.lines().map(str::trim);
    lines.rfind(|line| !line.is_empty() && !line.contains(' ')).unwrap_or("not-found").to_owned()
}

/// Orders to be given, with the name by which each is told of.
pub(super) type Orders = Vec<(String, Vec<String>)>;

fn is_enabled(word: &str) -> bool {
    matches!(word, "enabled" | "enabled-runtime" | "alias" | "linked" | "linked-runtime" | MONITORED)
}

fn order(service: &Service, verb: &str) -> (String, Vec<String>) {
    let what = format!("{verb} the service {}", service.name);
    let words = match service.manager {
        Manager::Systemd => vec!["systemctl".to_owned(), verb.to_owned(), service.name.clone()],
        Manager::Monit => vec!["monit".to_owned(), verb.to_owned(), service.name.clone()],
        Manager::Script => vec![script(&service.name), verb.to_owned()],
    };
    (what, words)
}

/// Before files are put back.
pub(super) fn orders_before(was: &Service, is: &Service) -> Orders {
    let mut orders = Vec::new();
    if was.active == Some(false) && is.active != Some(false) {
        orders.push(order(was, "stop"));
    }
    if !is_enabled(&was.enabled) && is_enabled(&is.enabled) {
        match was.manager {
            Manager::Systemd => orders.push(order(was, "disable")),
            // To stop a program is not to monitor it any more.
            Manager::Monit if orders.is_empty() => orders.push(order(was, "unmonitor")),
            Manager::Monit | Manager::Script => {}
        }
    }
    orders
}

/// When files are back.
pub(super) fn orders_after(was: &Service, is: &Service) -> Orders {
    let mut orders = Vec::new();
    if is_enabled(&was.enabled) && !is_enabled(&is.enabled) {
        match was.manager {
            Manager::Systemd => orders.push(order(was, "enable")),
            Manager::Monit => orders.push(order(was, "monitor")),
            Manager::Script => {}
        }
    }
    if was.active != Some(false) {
        orders.push(order(was, "restart"));
        if was.manager == Manager::Monit && !is_enabled(&was.enabled) {
            orders.push(order(was, "unmonitor"));
        }
    }
    orders
}

/// Gives an order.
pub(super) fn give(host: &mut HostSystem, words: &[String], until: Instant) -> Result<(), SystemError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((name, arguments)) = words.split_first() else { return Ok(()) };
    Call { name, arguments, input: b"", until }.succeed(host).map(|_| ())
}

/// Whether a file says something to systemd that it must read again.
pub(super) fn is_of_systemd(path: &Path) -> bool {
    UNIT_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Whether a file says something to monit that it must read again.
pub(super) fn is_of_monit(path: &Path) -> bool {
    ["/etc/monitrc", "/etc/monit", "/etc/monit.d"].iter().any(|place| path.starts_with(place))
}

/// Has monit read its files again, where there is one.
pub(super) fn reload_monit(host: &mut HostSystem, until: Instant) -> Result<(), SystemError> {
    if !host.has_tool("monit") {
        return Ok(());
    }
    Call { name: "monit", arguments: &["reload"], input: b"", until }.succeed(host).map(|_| ())
}

/// Has systemd read its units again, where there is one.
pub(super) fn reload(host: &mut HostSystem, until: Instant) -> Result<(), SystemError> {
    if !host.has_tool("systemctl") {
        return Ok(());
    }
    Call { name: "systemctl", arguments: &["daemon-reload"], input: b"", until }.succeed(host).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(enabled: &str, active: Option<bool>) -> Service {
        Service { manager: Manager::Systemd, name: "x".to_owned(), enabled: enabled.to_owned(), active }
    }

    fn verbs(orders: Orders) -> Vec<String> {
        orders.into_iter().map(|(_, words)| words[1].clone()).collect()
    }

    #[test]
    fn what_did_not_run_is_stopped_first_and_what_ran_is_restarted_at_last() {
        let (off, on) = (service("disabled", Some(false)), service("enabled", Some(true)));
        assert_eq!(verbs(orders_before(&off, &on)), ["stop", "disable"]);
        assert_eq!(verbs(orders_after(&off, &off)), [""; 0]);
        assert_eq!(verbs(orders_before(&on, &off)), [""; 0]);
        assert_eq!(verbs(orders_after(&on, &off)), ["enable", "restart"]);
        assert_eq!(verbs(orders_after(&on, &on)), ["restart"], "its files may have changed");
        let gone = service("not-found", Some(false));
        assert_eq!(verbs(orders_before(&gone, &on)), ["stop", "disable"]);
    }
}
