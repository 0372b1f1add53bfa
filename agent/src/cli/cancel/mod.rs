//! `keros-agent cancel`: ends a job by root's word. The agent ends what waits; what it has handed over is in the hands of the
//! executor, which takes no word of the agent's for it, so root asks there too. A job on its way from one to the other is asked for
//! again, at both, until one of them has it.

mod executor;

pub(super) use executor::NoAnswer;

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::time::{Duration, Instant};

use keros_protocol::executor::CancelAnswer;
use keros_protocol::{CommandId, Outcome};
use serde::Serialize;

use super::{Failure, Sockets, exit, find, note, print, sockets, text};
use crate::arguments::{Arguments, Cancel};
use crate::config;
use crate::local::{CancelResult, CancelledJob, ClientError, JobView, JobsView};

/// A job is on its way for milliseconds; an executor under load may need seconds before it has begun.
const ON_ITS_WAY: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// What came of it; as JSON it is what is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Ended {
    command_id: CommandId,
    #[serde(flatten)]
    result: End,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum End {
    /// It had not started, and has ended.
    Cancelled {},
    /// It stops after the task under way.
    Stopping {},
    /// Its changes are undone.
    RollingBack {},
    /// It has ended, or is being undone or kept already.
    TooLate {
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
}

/// Cancels, tells, and gives the exit code.
pub(super) fn cancel(arguments: &Arguments, what: &Cancel) -> Result<u8, Failure> {
    let sockets = sockets(arguments)?;
    let id = match what.id.parse() {
        Ok(id) => id,
        Err(_) => find(&sockets.status().get::<JobsView>("/v1/jobs")?, &what.id)?.command_id,
    };
    if !what.yes && io::stdin().is_terminal() && io::stderr().is_terminal() && !agreed(&sockets, id)? {
        note("Nothing was cancelled.\n");
        return Ok(exit::FAILED);
    }
    let ended = Ended { command_id: id, result: ask(&sockets, arguments, id)? };
    if what.format.json {
        let json = serde_json::to_string_pretty(&ended).unwrap_or_default();
        print(&format!("{json}\n"));
    } else {
        print(&told(&ended));
    }
    Ok(if matches!(ended.result, End::TooLate { .. }) { exit::FAILED } else { exit::OK })
}

fn agreed(sockets: &Sockets, id: CommandId) -> Result<bool, Failure> {
    let job: JobView = sockets.status().get(&format!("/v1/jobs/{id}"))?;
    note(&format!(
        "Job {id} ({}): {}. Cancel it? [y/N] ",
        text::clean(job.kind.as_deref().unwrap_or("unknown kind")),
        text::clean(&job.outcome.to_string())
    ));
    let mut answer = String::new();
    // Nobody who answers is a no.
    let _ = io::stdin().lock().take(64).read_line(&mut answer);
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn ask(sockets: &Sockets, arguments: &Arguments, id: CommandId) -> Result<End, Failure> {
    let begin = Instant::now();
    loop {
        let answer: CancelledJob = sockets.control().post(&format!("/v1/jobs/{id}/cancel"))?;
        match answer.result {
            CancelResult::Cancelled {} => return Ok(End::Cancelled {}),
            CancelResult::TooLate { outcome } => return Ok(End::TooLate { outcome }),
            CancelResult::HandedOver {} => {}
        }
        let (settings, _, _) = config::load(arguments.config.as_deref()).for_doctor();
        match executor::cancel(settings.executor, id).map_err(Failure::Executor)? {
            CancelAnswer::Stopping => return Ok(End::Stopping {}),
            CancelAnswer::RollingBack => return Ok(End::RollingBack {}),
            CancelAnswer::TooLate => return Ok(End::TooLate { outcome: outcome(sockets, id)? }),
            CancelAnswer::Unknown if begin.elapsed() > ON_ITS_WAY => return Err(Failure::OnItsWay(id)),
            CancelAnswer::Unknown => std::thread::sleep(ASK_EVERY),
        }
    }
}

/// How a job has ended that the executor has ended a moment ago; `None` when it is only about to.
fn outcome(sockets: &Sockets, id: CommandId) -> Result<Option<Outcome>, Failure> {
    match sockets.status().get::<JobView>(&format!("/v1/jobs/{id}")) {
        Ok(job) => Ok(Some(job.outcome).filter(Outcome::is_terminal)),
        Err(ClientError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn told(ended: &Ended) -> String {
    let Ended { command_id, result } = ended;
    let follow = format!("See what comes of it: keros-agent job {command_id}");
    match result {
        End::Cancelled {} => {
            "The job is cancelled. It had not started, so nothing was changed. The center is told.\n"
                .to_owned()
        }
        End::Stopping {} => format!("The job stops after the task under way.\n{follow}\n"),
        End::RollingBack {} => format!("The job is being undone.\n{follow}\n"),
        End::TooLate { outcome: Some(outcome) } => {
            format!("Too late: it ended as {}.\n", text::clean(&outcome.to_string()))
        }
        End::TooLate { outcome: None } => {
            format!("Too late: it has ended, was confirmed, or is being undone already.\n{follow}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use keros_protocol::Summary;

    use super::*;

    #[test]
    fn a_person_and_a_program_are_told_the_same() {
        let outcome = Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
        for (result, name, words) in [
            (End::Cancelled {}, "cancelled", "had not started"),
            (End::Stopping {}, "stopping", "after the task under way"),
            (End::RollingBack {}, "rolling_back", "being undone"),
            (End::TooLate { outcome: Some(outcome) }, "too_late", "Too late: it ended as succeeded."),
            (End::TooLate { outcome: None }, "too_late", "Too late: it has ended, was confirmed"),
        ] {
            let ended = Ended { command_id: CommandId(uuid::Uuid::nil()), result };
            assert!(told(&ended).contains(words), "{}", told(&ended));
            assert_eq!(serde_json::to_value(&ended).unwrap()["result"], name);
        }
    }
}
