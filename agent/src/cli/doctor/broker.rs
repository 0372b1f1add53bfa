//! The way to the broker: route, name, TCP, TLS, log-in, topic. A daemon that is connected is not disturbed: its word is taken
//! for the log-in.

use std::time::Duration;

use super::super::time;
use super::finding::Finding;
use super::patient::{Patient, SUDO};
use crate::clock::{Clock, SharedTime};
use crate::local::{ClientError, StatusView};
use crate::probe::{self, Login, Step, StepOutcome, StepResult, Target, Trouble, TroubleKind};

const CHECKS: [&str; 6] = ["route", "name", "tcp", "tls", "log-in", "topic"];

pub(super) fn checks(patient: &Patient, limit: Duration) -> Vec<Finding> {
    let why = match &patient.identity {
        _ if patient.wrong.iter().any(|_| patient.settings.broker.host.is_empty()) => {
            Some("`broker.host` is not known: see the line `config`")
        }
        Err(_) => Some("the EUI is not known: see the line `identity`"),
        Ok(_) => None,
    };
    let (None, Ok(identity)) = (why, &patient.identity) else {
        let why = why.unwrap_or_default();
        return CHECKS.iter().map(|check| Finding::not_checked(check, why)).collect();
    };
    let connected = connected(patient);
    let is_hidden = matches!(patient.agent, Err(ClientError::NotAllowed(_)));
    let time = SharedTime::new(Clock::new(), super::gateway::judge(patient).0);
    let login = match &patient.agent {
        _ if connected.is_some() || is_hidden => Login::No,
        // It may connect at any moment, and must not be pushed out then.
        Ok(_) | Err(ClientError::Io(_)) => Login::Beside,
        Err(_) => Login::AsAgent,
    };
    let target = Target { broker: &patient.settings.broker, eui: identity.eui, time: &time, login };
    let results = probe::probe(&target, limit);
    let route = route(patient, &results);
    let is_cut = route.verdict == super::finding::Verdict::Failed;
    let steps = results.iter().map(|result| step(patient, result, connected, is_cut));
    std::iter::once(route).chain(steps).collect()
}

/// The agent, when it is logged in at the broker that is configured.
fn connected(patient: &Patient) -> Option<&StatusView> {
    let broker = format!("{}:{}", patient.settings.broker.host, patient.settings.broker.port);
    let agent = patient.agent.as_ref().ok()?;
    (agent.connection.state == "connected" && agent.connection.broker == broker).then_some(agent)
}

fn route(patient: &Patient, results: &[StepResult]) -> Finding {
    let reached = results
        .iter()
        .any(|result| result.step == Step::Tcp && matches!(result.outcome, StepOutcome::Passed(_)));
    match crate::vitals::default_route(&patient.settings.platform_root) {
        Some(kind) => Finding::ok("route", format!("the default route goes by {kind}")),
        None if reached => Finding::ok("route", "no default route, and the broker needs none"),
        None => Finding::failed(
            "route",
            "there is no default route: the network of this gateway is down",
            TroubleKind::NoRoute.advice(&patient.settings.broker, &patient.eui()),
        ),
    }
}

fn step(patient: &Patient, result: &StepResult, connected: Option<&StatusView>, is_cut: bool) -> Finding {
    let check = match result.step {
        Step::Name => "name",
        Step::Tcp => "tcp",
        Step::Tls => "tls",
        Step::LogIn => "log-in",
        Step::Topic => "topic",
    };
    match (&result.outcome, connected) {
        (StepOutcome::Passed(text), _) => Finding::ok(check, text),
        (StepOutcome::NotTried(_), Some(agent)) if matches!(result.step, Step::LogIn | Step::Topic) => {
            let since = patient.now_unix_s.saturating_sub(agent.connection.since_unix_s);
            let since = time::duration(since);
            Finding::ok(check, format!("the agent is connected, for {since}"))
        }
        (StepOutcome::Failed(Trouble { kind: TroubleKind::Unreadable, .. }), Some(_)) => {
            Finding::ok(check, "the agent is connected by mutual TLS")
        }
        (StepOutcome::Failed(Trouble { kind: TroubleKind::Unreadable, .. }), None) => {
            Finding::not_checked(check, SUDO)
        }
        (StepOutcome::NotTried(_), None) if matches!(patient.agent, Err(ClientError::NotAllowed(_))) => {
            Finding::not_checked(
                check,
                "you may not ask the agent whether it is connected; a second log-in would push it out",
            )
        }
        (StepOutcome::NotTried(_), _)
            if result.step == Step::Tls && patient.settings.broker.tls.is_none() =>
        {
            without_tls(&patient.settings.broker.host)
        }
        (StepOutcome::NotTried(why), _) => Finding::not_checked(check, why),
        (StepOutcome::Failed(trouble), _) => failed(patient, check, trouble, is_cut),
    }
}

fn without_tls(host: &str) -> Finding {
    let address = host.parse::<std::net::IpAddr>();
    if host == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
        return Finding::ok("tls", "none, and none is needed on this machine");
    }
    Finding::warning(
        "tls",
        "the connection is not encrypted: the password can be read on the way",
        "set `broker.tls.ca_file`, or enrol this gateway: sudo keros-agent enroll",
    )
}

fn failed(patient: &Patient, check: &'static str, trouble: &Trouble, is_cut: bool) -> Finding {
    let broker = &patient.settings.broker;
    let of_network = matches!(trouble.kind, TroubleKind::NameServers | TroubleKind::NoRoute);
    let advice = if is_cut && of_network {
        "see the line `route`".to_owned()
    } else {
        trouble.kind.advice(broker, &patient.eui())
    };
    Finding::failed(check, trouble.kind.says(broker), advice).because(&trouble.error)
}
