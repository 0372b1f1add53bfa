//! Jobs that should have ended or begun, and telemetry that should have been sent or answered.

use keros_protocol::{Outcome, UnixSeconds};

use super::super::text::short_id;
use super::super::time::distance;
use super::finding::Finding;
use super::patient::Patient;
use crate::local::{ClientError, JobView, StatusView};

/// A deadline is obeyed within this time.
const GRACE_S: u64 = 300;
/// The center answers within seconds; a slow link may take longer.
const ANSWER_S: u64 = 120;

pub(super) fn checks(patient: &Patient) -> Vec<Finding> {
    let agent = match &patient.agent {
        Ok(agent) => agent,
        Err(error) => {
            let why = match error {
                ClientError::NotAllowed(_) => "you may not ask the agent: see the line `socket`",
                _ => "the agent does not answer: see the line `service`",
            };
            return ["jobs", "telemetry"].map(|check| Finding::not_checked(check, why)).into();
        }
    };
    let interval_s = patient.settings.telemetry.interval.as_secs();
    vec![jobs(agent, patient.now_unix_s), telemetry(agent, interval_s, patient.now_unix_s)]
}

fn jobs(agent: &StatusView, now_unix_s: UnixSeconds) -> Finding {
    let is_overdue =
        |job: &&JobView| job.due_unix_s.is_some_and(|due| due.saturating_add(GRACE_S) < now_unix_s);
    if let Some(job) = agent.open_jobs.iter().find(is_overdue) {
        let due = distance(job.due_unix_s.unwrap_or(now_unix_s), now_unix_s);
        return Finding::failed(
            "jobs",
            format!("job {} should have ended {due}: {}", short_id(job), job.outcome),
            format!(
                "see what it does: keros-agent job {}. It ends at its next task: sudo keros-agent cancel {0}",
                short_id(job)
            ),
        );
    }
    match agent.open_jobs.as_slice() {
        [] => Finding::ok("jobs", "none is open"),
        [first, rest @ ..] => {
            let what = match first.outcome {
                Outcome::Accepted {} => "waits",
                Outcome::Confirming { .. } => "is to be confirmed",
                _ => "is under way",
            };
            let more = if rest.is_empty() { String::new() } else { format!(", {} after it", rest.len()) };
            Finding::ok("jobs", format!("{} {what}{more}", short_id(first)))
        }
    }
}

fn telemetry(agent: &StatusView, interval_s: u64, now_unix_s: UnixSeconds) -> Finding {
    let view = &agent.telemetry;
    let ago = |time: UnixSeconds| distance(time, now_unix_s);
    let age_s = |time: UnixSeconds| now_unix_s.saturating_sub(time);
    let late_s = interval_s + interval_s / 2 + 60;
    let Some(sent) = view.last_sent_unix_s else {
        if age_s(agent.started_at_unix_s) > late_s {
            return Finding::failed(
                "telemetry",
                "none was ever sent: no command can come",
                "see the lines above",
            );
        }
        return Finding::ok("telemetry", format!("none yet; the first {}", ago(view.next_unix_s)));
    };
    if age_s(sent) > late_s {
        let says = format!("the last was sent {}, and one is due every {interval_s} s", ago(sent));
        return Finding::failed(
            "telemetry",
            says,
            "see the lines `tcp` to `topic`; then: keros-agent telemetry --now",
        );
    }
    let is_answered = view.last_answered_unix_s.is_some_and(|answered| answered + ANSWER_S >= sent);
    if !is_answered && age_s(sent) > ANSWER_S {
        return Finding::failed(
            "telemetry",
            format!("sent {}, and the center has not answered", ago(sent)),
            "at the center: does keros-center run, and use this broker and the same `broker.topic_prefix`? Then: \
             keros-agent telemetry --now",
        );
    }
    match view.last_answered_unix_s {
        Some(answered) => Finding::ok("telemetry", format!("sent {}, answered {}", ago(sent), ago(answered))),
        None => Finding::ok("telemetry", format!("sent {}; no answer yet", ago(sent))),
    }
}
