//! Whether the agent runs, by its socket and by the service manager.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use nix::unistd::{Gid, Group};

use super::super::time::distance;
use super::finding::Finding;
use super::patient::{Patient, SUDO};
use super::program::output;
use crate::local::{self, ClientError};
use crate::mqtt::chain;

const UNIT: &str = "keros-agent.service";
/// The init script of KerOS 5.
const INIT_SCRIPT: &str = "etc/init.d/keros-agent";
/// The group of technicians.
const GROUP: &str = "keros";
const LOGS: &str = "journalctl -u keros-agent -n 50";
/// An agent that has just been started again may be failing again and again.
const FRESH_S: u64 = 600;

pub(super) fn service(patient: &Patient) -> Finding {
    match &patient.agent {
        Ok(agent) => {
            let started = distance(agent.started_at_unix_s, patient.now_unix_s);
            let says = format!("the agent {} runs, started {started}", agent.agent_version);
            let restarts = unit(patient).and_then(|unit| unit.get("NRestarts")?.parse::<u32>().ok());
            let is_fresh = patient.now_unix_s.saturating_sub(agent.started_at_unix_s) < FRESH_S;
            match restarts {
                Some(count) if count > 0 && is_fresh => Finding::warning(
                    "service",
                    format!("{says}; it had to be started again {count} times"),
                    format!("see why: {LOGS}"),
                ),
                _ => Finding::ok("service", says),
            }
        }
        Err(ClientError::NotAllowed(_)) => match unit(patient) {
            Some(unit) if is(&unit, "ActiveState", "active") => {
                Finding::ok("service", "systemd says that it runs")
            }
            Some(unit) => by_systemd(patient, &unit),
            None => Finding::not_checked("service", SUDO),
        },
        Err(ClientError::NotRunning(_)) => match unit(patient) {
            Some(unit) => by_systemd(patient, &unit),
            None => without_systemd(patient),
        },
        Err(error) => Finding::failed(
            "service",
            "the agent runs, and does not answer as it should",
            format!("see why: {LOGS}. Then: sudo systemctl restart keros-agent"),
        )
        .because(chain(error)),
    }
}

/// What systemd says of the unit; `None` where there is no systemd, or it gives no answer.
fn unit(patient: &Patient) -> Option<BTreeMap<String, String>> {
    if !patient.has_systemd() {
        return None;
    }
    let properties = "--property=LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,ExecMainStatus,\
                      StateChangeTimestamp";
    let text = output("systemctl", &["show", UNIT, properties])?;
    let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Some(text.lines().filter_map(pair).collect())
}

fn is(unit: &BTreeMap<String, String>, key: &str, value: &str) -> bool {
    unit.get(key).is_some_and(|found| found == value)
}

fn by_systemd(patient: &Patient, unit: &BTreeMap<String, String>) -> Finding {
    let get = |key: &str| unit.get(key).map_or("", String::as_str);
    let since = match get("StateChangeTimestamp") {
        "" => String::new(),
        time => format!(" since {time}"),
    };
    let code = get("ExecMainStatus");
    match (get("LoadState"), get("ActiveState"), get("SubState")) {
        ("not-found" | "masked", ..) => Finding::failed(
            "service",
            format!("systemd has no {UNIT}, or it is masked"),
            "install the package keros-agent anew; sudo systemctl unmask keros-agent",
        ),
        (_, "active", _) if patient.lacks_center => {
            Finding::not_checked("service", "it runs, and waits for its configuration: see the line `config`")
        }
        (_, "active", _) => Finding::failed(
            "service",
            "systemd says that the agent runs, but its socket is not there",
            "does `runtime_folder` agree with the agent's own? See: sudo keros-agent config --show. Then: sudo systemctl \
             restart keros-agent",
        ),
        (_, _, "auto-restart") => Finding::failed(
            "service",
            format!("the agent does not stay up: it ends with exit code {code}, and is started again"),
            ended(code),
        ),
        (_, "failed", _) => {
            let result = get("Result");
            Finding::failed(
                "service",
                format!("the agent has failed{since} ({result}, exit code {code})"),
                ended(code),
            )
        }
        (_, "activating" | "reloading" | "deactivating", sub) => Finding::failed(
            "service",
            format!("the agent is just being started or stopped ({sub}){since}"),
            format!("wait a minute, and look again; if it stays so: {LOGS}"),
        ),
        _ => {
            let enable = if get("UnitFileState") == "enabled" { "start" } else { "enable --now" };
            Finding::failed(
                "service",
                format!("the agent is stopped{since}"),
                format!("sudo systemctl {enable} keros-agent"),
            )
        }
    }
}

/// What to do about an agent that ended with this code.
fn ended(code: &str) -> String {
    match code {
        "78" => "its configuration is wrong: sudo keros-agent config --check".to_owned(),
        "203" => "its program is missing: install the package keros-agent anew".to_owned(),
        "217" => {
            "its user is missing: sudo systemd-sysusers, then: sudo systemctl start keros-agent".to_owned()
        }
        _ => format!("see why: {LOGS}. Then: sudo systemctl restart keros-agent"),
    }
}

fn without_systemd(patient: &Patient) -> Finding {
    let advice = if patient.at(INIT_SCRIPT).exists() {
        "sudo /etc/init.d/keros-agent start; then see that it stays: sudo monit summary"
    } else if patient.has_systemd() {
        "sudo systemctl start keros-agent"
    } else {
        "start it: keros-agent run. On a gateway, install the package keros-agent"
    };
    let socket = patient.socket.display();
    Finding::failed("service", format!("the agent does not run: nobody listens on {socket}"), advice)
}

/// Whether technicians may ask the agent.
pub(super) fn socket(patient: &Patient) -> Finding {
    let metadata = match patient.socket.metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => metadata,
        _ => return Finding::not_checked("socket", "the agent does not answer: see the line `service`"),
    };
    if let Err(ClientError::NotAllowed(_)) = &patient.agent {
        return Finding::failed(
            "socket",
            "you may not ask the agent: you are not in the group keros",
            "sudo usermod -aG keros \"$USER\", then log in again; or use sudo",
        );
    }
    let restart = "sudo systemctl restart keros-agent";
    match Group::from_name(GROUP).ok().flatten() {
        None => Finding::warning(
            "socket",
            "there is no group keros: only root can ask the agent",
            format!("sudo groupadd --system keros, then: {restart}"),
        ),
        Some(group) if group.gid != Gid::from_raw(metadata.gid()) => Finding::warning(
            "socket",
            "the agent's socket is not for the group keros: only root can ask the agent",
            format!(
                "the agent's user must be in that group: sudo usermod -aG keros keros-agent, then: {restart}"
            ),
        ),
        Some(_) => {
            let control = local::control_path(patient.socket.parent().unwrap_or(&patient.socket));
            if control.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
                let says = format!("others than root may use {}", control.display());
                return Finding::failed("socket", says, format!("put its mode right: {restart}"));
            }
            Finding::ok("socket", "for root and the group keros")
        }
    }
}
