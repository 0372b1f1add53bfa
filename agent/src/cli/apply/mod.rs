//! `keros-agent apply`: runs an exported Magic Link on a gateway without a network. Everything is checked before anything is
//! sent; then the agent gets the blobs that it lacks, and the signed command, and the job is followed to its end.

mod bundle;
mod layout;
mod order;
mod progress;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use keros_protocol::eligibility::Refusal;
use keros_protocol::magic_link::{Descriptor, Digest};
use keros_protocol::{CommandId, Outcome};
use serde::Serialize;

use super::{Failure, Sockets, exit, note, print, text, time};
use crate::arguments::Apply;
use crate::local::{Client, ClientError, JobView, JudgedCommand, Judgement, StatusView};
use bundle::Bundle;
use layout::Layout;
use progress::Progress;

pub(super) use bundle::BundleError;
pub(super) use order::OrderError;

/// Between two looks at the job.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// The agent may be away for so long, e.g. when the job upgrades it.
const AWAY_LIMIT: Duration = Duration::from_secs(300);

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Applied {
    #[serde(flatten)]
    judged: JudgedCommand,
    /// As it was when the agent was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobView>,
}

/// Checks, copies, hands over, follows; gives the exit code.
pub(super) fn apply(sockets: &Sockets, arguments: &Apply) -> Result<u8, Failure> {
    let json = arguments.format.json;
    let (status, control) = (sockets.status(), sockets.control());
    let gateway: StatusView = status.get("/v1/status")?;
    let order = order::read(&arguments.command, arguments.hash, gateway.eui)?;
    let mut judged: JudgedCommand = control.post_json("/v1/commands/check", &order.envelope)?;
    if let Judgement::Accepted {} = judged.judgement {
        match open(&arguments.path, arguments.hash, &gateway, json) {
            Ok(bundle) => {
                copy(&control, &bundle, &arguments.path, json)?;
                judged = control.post_json("/v1/commands", &order.envelope)?;
            }
            Err(BundleError::Refused(Refusal { reason, detail })) => {
                judged.judgement = Judgement::Refused { reason, detail };
            }
            Err(error) => return Err(Failure::Bundle(arguments.path.clone(), error)),
        }
    }
    if let Judgement::Refused { reason, detail } = &judged.judgement {
        if !json {
            return Err(Failure::Refused(format!("{reason}: {detail}")));
        }
        print_json(&Applied { judged, job: None });
        return Ok(exit::REFUSED);
    }
    if !json {
        note(&opening(&judged, arguments.no_wait));
        note(&window(order.confirm_window_s, &gateway));
    }
    let job = follow(&status, judged.command_id, arguments.no_wait, json)?;
    let code = job.as_ref().map_or(exit::OK, |job| exit_code(&job.outcome));
    match job {
        job if json => print_json(&Applied { judged, job }),
        Some(job) => print(&(text::job(&job, time::now_unix_s()) + &closing(&status, &job))),
        None => print("It ended long ago; only its id is kept.\n"),
    }
    Ok(code)
}

/// The Magic Link with this hash, for this gateway; every byte of it was checked.
fn open(path: &Path, hash: Digest, gateway: &StatusView, json: bool) -> Result<Bundle, BundleError> {
    let bundle = Bundle::open(Layout::open(path)?, hash, gateway)?;
    bundle.verify(&mut Progress::new("checking", bundle.total_bytes(), json))?;
    Ok(bundle)
}

/// Gives the agent the blobs that it lacks.
fn copy(control: &Client, bundle: &Bundle, path: &Path, json: bool) -> Result<(), Failure> {
    let mut missing: Vec<Descriptor> = Vec::new();
    for blob in &bundle.blobs {
        if !control.exists(&address(blob.digest))? {
            missing.push(*blob);
        }
    }
    let mut progress = Progress::new("copying", missing.iter().map(|blob| blob.size).sum(), json);
    let mut before = 0;
    for blob in missing {
        let content = bundle.content(blob.digest);
        let mut content = content.map_err(|error| Failure::Bundle(path.to_owned(), error))?;
        control.put(&address(blob.digest), blob.size, &mut content.reader, &mut |sent| {
            progress.at(before + sent);
        })?;
        before += blob.size;
    }
    Ok(())
}

fn address(digest: Digest) -> String {
    format!("/v1/blobs/{digest}")
}

/// The job as it is when it has ended, or at once. `None` when nothing but its id is kept.
fn follow(status: &Client, id: CommandId, no_wait: bool, json: bool) -> Result<Option<JobView>, Failure> {
    let (mut told, mut heard) = (String::new(), Instant::now());
    loop {
        match status.get::<JobView>(&format!("/v1/jobs/{id}")) {
            Ok(job) if no_wait || job.outcome.is_terminal() => return Ok(Some(job)),
            Ok(job) => {
                heard = Instant::now();
                let line = job.outcome.to_string();
                if line != told && !json {
                    note(&format!("{}\n", text::clean(&line)));
                    told = line;
                }
            }
            Err(ClientError::Refused { status: 404, .. }) => return Ok(None),
            Err(ClientError::NotRunning(_) | ClientError::Io(_)) if heard.elapsed() < AWAY_LIMIT => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn opening(judged: &JudgedCommand, no_wait: bool) -> String {
    let id = judged.command_id;
    let follow = if no_wait { "" } else { " Leaving (Ctrl-C) does not stop it." };
    match &judged.judgement {
        Judgement::Duplicate { .. } => format!("This command came before, and is not run once more: {id}\n"),
        _ => format!("The agent has taken the command {id}.{follow}\n"),
    }
}

/// A job with a window does not stay without a link: that must not come as a surprise.
fn window(window_s: u32, gateway: &StatusView) -> String {
    if window_s == 0 || gateway.connection.state == "connected" {
        return String::new();
    }
    format!(
        "Its command has a confirm window: unless the center is reached within {} min of its end, it is undone.\n\
         For a gateway that stays without a link it is signed without --confirm-window.\n",
        window_s.div_ceil(60)
    )
}

/// What becomes of the report.
fn closing(status: &Client, job: &JobView) -> String {
    if !job.outcome.is_terminal() {
        return format!("See how it goes on: keros-agent job {}\n", job.command_id);
    }
    match status.get::<StatusView>("/v1/status") {
        Ok(view) if view.reports_pending == 0 => "The center knows.\n".to_owned(),
        Ok(view) if view.connection.state == "connected" => "The center is being told.\n".to_owned(),
        _ => "The report is kept and goes to the center when the link returns.\n".to_owned(),
    }
}

const fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Refused { .. } => exit::REFUSED,
        Outcome::Received {}
        | Outcome::Accepted {}
        | Outcome::Running { .. }
        | Outcome::Confirming { .. }
        | Outcome::Succeeded { .. } => exit::OK,
        Outcome::Failed { .. }
        | Outcome::Cancelled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Interrupted { .. }
        | Outcome::RolledBack { .. } => exit::FAILED,
    }
}

fn print_json(applied: &Applied) {
    print(&format!("{}\n", serde_json::to_string_pretty(applied).unwrap_or_default()));
}
