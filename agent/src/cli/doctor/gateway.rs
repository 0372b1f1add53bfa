//! Who the gateway is, how it is set up, and what time it believes it is.

use keros_machine::{ClockFit, TimeJudge};

use super::super::time::utc;
use super::finding::Finding;
use super::patient::{Patient, SUDO};
use crate::clock::{BUILT_AT_UNIX_S, Clock};
use crate::store;

pub(super) fn identity(patient: &Patient) -> Finding {
    match &patient.identity {
        Ok(identity) => {
            let codename = identity.codename.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            let source = serde_json::to_value(identity.source).unwrap_or_default();
            Finding::ok(
                "identity",
                format!("{}{codename}, EUI from {}", identity.eui, source.as_str().unwrap_or_default()),
            )
        }
        Err(error) => Finding::failed(
            "identity",
            "this gateway does not know its EUI",
            "set `identity.eui` to the EUI on the gateway's label in /etc/keros-agent/config.yaml, then: sudo \
             systemctl restart keros-agent",
        )
        .because(error.to_string()),
    }
}

pub(super) fn keros(patient: &Patient) -> Finding {
    let version = patient.identity.as_ref().ok().and_then(|identity| identity.keros_version.as_ref());
    match version {
        Some(version) if version.major() >= 6 => {
            Finding::ok("keros", format!("KerOS {version}: takes scripts and Magic Links"))
        }
        Some(version) => Finding::warning(
            "keros",
            format!("KerOS {version}: takes Magic Links only, no JetPorch scripts"),
            "send this gateway a Magic Link instead of a script, or upgrade it to KerOS 6 first",
        ),
        None => Finding::warning(
            "keros",
            "the KerOS version is not known: takes Magic Links only, no JetPorch scripts",
            "if this is KerOS 6, set `identity.keros_version` in /etc/keros-agent/config.yaml",
        ),
    }
}

pub(super) fn configuration(patient: &Patient) -> Finding {
    let denied = |finding: &&crate::config::Finding| {
        let open = finding.file.as_ref().map(std::fs::File::open);
        matches!(open, Some(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    if !patient.is_root && patient.wrong.iter().any(|finding| denied(&finding)) {
        return Finding::not_checked("config", SUDO);
    }
    let told = |findings: &[crate::config::Finding]| match findings {
        [] => String::new(),
        [first] => first.to_string(),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
    };
    if patient.lacks_center {
        return Finding::failed(
            "config",
            "no center is configured: the agent waits for it",
            "sudo keros-agent enroll, with the line that the center gives; or set `broker.host` in \
             /etc/keros-agent/config.yaml",
        );
    }
    if !patient.wrong.is_empty() {
        let advice = "see all: sudo keros-agent config --check. Correct them, then: sudo systemctl restart keros-agent";
        return Finding::failed("config", told(&patient.wrong), advice);
    }
    if !patient.odd.is_empty() {
        let advice = "see all: sudo keros-agent config --check";
        return Finding::warning("config", told(&patient.odd), advice);
    }
    let broker = &patient.settings.broker;
    Finding::ok("config", format!("good; broker {}, port {}", broker.host, broker.port))
}

/// By the agent's floor, which only root and the agent can read; otherwise by the time when the program was built.
pub(super) fn clock(patient: &Patient) -> Finding {
    let (judge, is_known) = judge(patient);
    let now = Clock::new().now();
    let (says, floor) = (utc(now.unix_s), utc(judge.judged(now)));
    let set = if patient.has_systemd() {
        "set it, or let it be set: sudo timedatectl set-ntp true. See: timedatectl timesync-status"
    } else {
        "set it: sudo date -u -s 'YYYY-MM-DD hh:mm:ss'"
    };
    let meanwhile =
        "Until then the agent judges certificates and expiry by the time that it has from the center";
    match judge.fit(now) {
        ClockFit::BelowFloor => Finding::failed(
            "clock",
            format!("it says {says}, but it is {floor} at least"),
            format!("{set}. {meanwhile}"),
        ),
        ClockFit::FarAhead => Finding::failed(
            "clock",
            format!("it says {says}, far ahead of all that is known ({floor})"),
            format!("if that is wrong, {set}. {meanwhile}"),
        ),
        ClockFit::Fits if !is_known && !patient.is_root => {
            Finding::ok("clock", format!("{says}; run with sudo to compare it with the center's time"))
        }
        ClockFit::Fits
            if patient.has_systemd() && !crate::vitals::is_synchronised(&patient.settings.platform_root) =>
        {
            Finding::warning(
                "clock",
                format!("{says} may be right, but no time server has set it since the start"),
                "compare with: date -u. Let it be set: sudo timedatectl set-ntp true. See: timedatectl timesync-status",
            )
        }
        ClockFit::Fits => Finding::ok("clock", says),
    }
}

/// The time as the agent would judge it, and whether its own floor is known.
pub(super) fn judge(patient: &Patient) -> (TimeJudge, bool) {
    let floor = store::floor_of(&patient.settings.state_folder);
    (TimeJudge::new(floor.unwrap_or(0).max(BUILT_AT_UNIX_S)), floor.is_some())
}
