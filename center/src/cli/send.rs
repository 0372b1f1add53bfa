//! `update send`.

use std::io::Write;
use std::path::Path;

use keros_protocol::{Job, JobLimits};

use super::arguments::updates::SendArguments;
use super::client::{Client, ClientError, path_part};
use super::magic_link::place::Hash;
use super::magic_link::show::refusing;
use super::script;
use super::{Ended, print_json, watch};
use crate::api::{LinkView, SendOptions, SendToGateway, SendUpdate, UpdateView};
use crate::plan::{Plan, Rollout};

/// Over cellular links it takes this long to connect again.
const SHORT_WINDOW_S: u32 = 60;

pub(super) fn run(
    client: &Client,
    arguments: &SendArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let job = match (&arguments.magic_link, &arguments.script) {
        (Some(hash), _) => Some(magic_link(client, hash, arguments)?),
        (None, Some(file)) => script(file, &arguments.extra_vars)?,
        (None, None) => anyhow::bail!("name a --script or a --magic-link"),
    };
    let Some(job) = job else { return Ok(Ended::InvalidScript) };
    let order = order(arguments, job);
    if arguments.confirm_window.is_some_and(|window_s| (1..SHORT_WINDOW_S).contains(&window_s)) {
        writeln!(
            std::io::stderr(),
            "The confirm window is short: a gateway that needs longer to connect again undoes the job."
        )?;
    }
    let view: UpdateView = match arguments.gateway {
        Some(eui) => client.post(&format!("/gateways/{eui}/updates"), &to_gateway(order))?,
        None => client.post("/updates", &order)?,
    };
    if arguments.watch {
        return watch::run(client, view.update_id, false, json, out);
    }
    if json {
        return print_json(out, &view);
    }
    writeln!(out, "Update {} was accepted for {} gateways.", view.update_id, view.gateway_count())?;
    if !view.plan.is_empty() {
        writeln!(
            out,
            "It is handed out as was ordered: `keros-center update show` says what each gateway waits for."
        )?;
    }
    writeln!(
        out,
        "Those that are online are asked to fetch it now, the others do with their next telemetry. Follow it with:"
    )?;
    writeln!(out, "  keros-center update watch {}", view.update_id)?;
    Ok(Ended::Done)
}

/// Reads and checks a script; `None` when no gateway would run it: the findings are on standard error then.
fn script(file: &Path, extra_vars: &[String]) -> anyhow::Result<Option<Job>> {
    let text = script::read(file)?;
    let vars = script::variables(extra_vars)?;
    let checked = script::check(&text, &file.display().to_string(), &vars);
    script::report(&checked, "Nothing was sent.", &mut |_| Some(text.clone()))?;
    Ok(checked.is_fit().then_some(Job::JetPorch { script: text, vars }))
}

/// Says which gateways would refuse it, as far as the center knows the link.
fn magic_link(client: &Client, hash: &Hash, arguments: &SendArguments) -> anyhow::Result<Job> {
    let source = arguments.source.as_ref().map(ToString::to_string).unwrap_or_default();
    let group = arguments.group.as_deref().map(|name| format!("?group={}", path_part(name)));
    let path = format!("/magic-links/{}{}", hash.digits(), group.unwrap_or_default());
    let digest = match (client.get::<LinkView>(&path), hash.digest()) {
        (Ok(view), _) => {
            warn(&view)?;
            view.digest
        }
        // A registry may have what the center does not.
        (Err(ClientError::Refused(problem)), Some(digest)) if problem.status == 404 && !source.is_empty() => {
            digest
        }
        (Err(error), _) => return Err(error.into()),
    };
    Ok(Job::MagicLink { digest, source, token: None })
}

fn warn(view: &LinkView) -> std::io::Result<()> {
    let not_declared = view.not_declared.as_deref().unwrap_or_default();
    let not_compatible = view.not_compatible.as_deref().unwrap_or_default();
    if not_declared.is_empty() && not_compatible.is_empty() {
        return Ok(());
    }
    writeln!(std::io::stderr(), "{}", refusing(not_declared, not_compatible))
}

/// The same order for one gateway.
fn to_gateway(order: SendUpdate) -> SendToGateway {
    let SendUpdate { group: _, job, limits, options, expires_in_s, plan, dry_run_first } = order;
    SendToGateway { job, limits, options, expires_in_s, plan, dry_run_first }
}

fn order(arguments: &SendArguments, job: Job) -> SendUpdate {
    let default = JobLimits::default();
    SendUpdate {
        group: arguments.group.clone().unwrap_or_default(),
        job,
        limits: JobLimits {
            total_s: arguments.total_timeout.unwrap_or(default.total_s),
            task_s: arguments.task_timeout.unwrap_or(default.task_s),
            ..default
        },
        options: SendOptions { dry_run: arguments.dry_run, confirm_window_s: arguments.confirm_window },
        expires_in_s: Some(arguments.expires.into()),
        plan: Plan {
            not_before_unix_s: arguments.not_before,
            window: arguments.window,
            rollout: (!arguments.stages.is_empty()).then(|| Rollout {
                stages: arguments.stages.clone(),
                max_failed_percent: arguments.max_failed,
                min_wait_s: arguments.stage_wait,
                ..Rollout::default()
            }),
        },
        dry_run_first: arguments.dry_run_first,
    }
}
