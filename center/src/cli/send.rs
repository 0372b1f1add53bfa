//! `update send`.

use std::io::Write;

use keros_protocol::{Job, JobLimits};

use super::arguments::SendArguments;
use super::client::Client;
use super::script;
use super::{Ended, print_json, watch};
use crate::api::{SendOptions, SendUpdate, UpdateView};

/// Over cellular links it takes this long to connect again.
const SHORT_WINDOW_S: u32 = 60;

pub(super) fn run(
    client: &Client,
    arguments: &SendArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let Some(order) = prepare(arguments)? else { return Ok(Ended::InvalidScript) };
    if arguments.confirm_window.is_some_and(|window_s| (1..SHORT_WINDOW_S).contains(&window_s)) {
        writeln!(
            std::io::stderr(),
            "The confirm window is short: a gateway that needs longer to connect again undoes the job."
        )?;
    }
    let view: UpdateView = client.post("/updates", &order)?;
    if arguments.watch {
        return watch::run(client, view.update_id, false, json, out);
    }
    if json {
        return print_json(out, &view);
    }
    writeln!(out, "Update {} was accepted for {} gateways.", view.update_id, view.gateways.len())?;
    writeln!(
        out,
        "Those that are online are asked to fetch it now, the others do with their next telemetry. Follow it with:"
    )?;
    writeln!(out, "  keros-center update watch {}", view.update_id)?;
    Ok(Ended::Done)
}

/// Reads and checks; `None` when no gateway would run it: the findings are on standard error then.
fn prepare(arguments: &SendArguments) -> anyhow::Result<Option<SendUpdate>> {
    let text = script::read(&arguments.script)?;
    let vars = script::variables(&arguments.extra_vars)?;
    let file = arguments.script.display().to_string();
    let checked = script::check(&text, &file, &vars);
    script::report(&checked, &mut |_| Some(text.clone()))?;
    Ok(checked.is_fit().then(|| order(arguments, text, vars)))
}

fn order(
    arguments: &SendArguments,
    script: String,
    vars: serde_json::Map<String, serde_json::Value>,
) -> SendUpdate {
    let default = JobLimits::default();
    SendUpdate {
        group: arguments.group.clone(),
        job: Job::JetPorch { script, vars },
        limits: JobLimits {
            total_s: arguments.total_timeout.unwrap_or(default.total_s),
            task_s: arguments.task_timeout.unwrap_or(default.task_s),
            ..default
        },
        options: SendOptions { dry_run: arguments.dry_run, confirm_window_s: arguments.confirm_window },
        expires_in_s: Some(arguments.expires.into()),
    }
}
