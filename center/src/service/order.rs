//! Whether an operator's order can be accepted. Pure.

use keros_playbook::{Diagnostic, DiagnosticKind, Script, ScriptSource};
use keros_protocol::limits::{
    MAX_COMMAND_PAYLOAD_BYTES, MAX_FETCH_TOKEN_BYTES, MAX_SCRIPT_BYTES, MAX_VARS_BYTES,
};
use keros_protocol::magic_link::Source;
use keros_protocol::{Command, CommandId, Eui, Job, JobLimits, JobOptions, UnixSeconds, UpdateId};

use super::conflict::Scope;
use super::title;
use crate::api::{SendOptions, SendToGateway, SendUpdate};
use crate::links::BlobError;
use crate::plan::{Plan, Progress};
use crate::store::{FollowsAs, NewUpdate, Origin, PlanRow, RealOrder, StoreError, UpdateRow};

/// Commands expire after this, unless the operator says something else: 7 days.
const DEFAULT_EXPIRY_S: u64 = 7 * 86_400;

/// The longest time that a command may wait: 90 days.
const MAX_EXPIRY_S: u64 = 90 * 86_400;

/// The confirm window when the order does not say: 30 minutes. A script can cut the gateway off, and so can the playbook of a Magic Link,
/// which the same engine runs.
const DEFAULT_CONFIRM_WINDOW_S: u32 = 1800;

/// Findings of the script's check that are shown.
const MAX_FINDINGS: usize = 20;

/// Why an order is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// The order itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// What it names is not there.
    #[error("{0}")]
    NotFound(String),
    /// It does not fit what is under way.
    #[error("{0}")]
    Conflict(String),
    /// It is not any more as who asks saw it.
    #[error("it has changed since you last saw it: look again, then decide again")]
    Changed,
    /// Nobody knows who asks.
    #[error("{0}")]
    Unauthorised(String),
    /// It was tried too often; after so many seconds it may be tried again.
    #[error("{0}")]
    TooMany(String, u64),
    /// Who asks may not do it.
    #[error("{0}")]
    Forbidden(String),
    /// It may be accepted later.
    #[error("{0}")]
    Unavailable(String),
    /// A blob cannot be taken or read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a command comes to its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In the answer to a telemetry.
    Sent,
    /// A person carries it.
    ByHand,
}

pub(super) fn invalid(text: impl Into<String>) -> OrderError {
    OrderError::Invalid(text.into())
}

/// What is to be done, whoever it is for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The job.
    pub(crate) job: Job,
    /// How much it may use.
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    pub(crate) options: SendOptions,
    /// Seconds until the commands expire.
    pub(crate) expires_in_s: Option<u64>,
    /// When the commands are handed out.
    pub(crate) plan: Plan,
    /// A dry run comes first.
    pub(crate) dry_run_first: bool,
}

impl From<SendUpdate> for Order {
    fn from(order: SendUpdate) -> Self {
        let SendUpdate { group: _, job, limits, options, expires_in_s, plan, dry_run_first } = order;
        Self { job, limits, options, expires_in_s, plan, dry_run_first }
    }
}

impl From<SendToGateway> for Order {
    fn from(order: SendToGateway) -> Self {
        let SendToGateway { job, limits, options, expires_in_s, plan, dry_run_first } = order;
        Self { job, limits, options, expires_in_s, plan, dry_run_first }
    }
}

/// For whom an order is.
#[derive(Debug, Clone)]
pub(crate) struct Audience {
    /// The group's name; empty when it is for one gateway.
    pub(crate) group: String,
    /// The gateways, in the order in which stages take them.
    pub(crate) gateways: Vec<Eui>,
    /// How the commands come to them.
    pub(crate) way: Way,
    /// The update that it follows.
    pub(crate) follows: Option<(UpdateId, FollowsAs)>,
}

impl Audience {
    /// Which of the two rules holds for it.
    pub(crate) fn scope(&self) -> Scope {
        if self.group.is_empty() { Scope::Gateway } else { Scope::Group }
    }

    /// The gateway that it is for, when it is for one.
    fn gateway(&self) -> Option<Eui> {
        self.gateways.first().copied().filter(|_| self.scope() == Scope::Gateway)
    }
}

/// Checks an order and makes the update of it, with a command for each gateway.
pub(crate) fn new_update(
    order: Order,
    audience: Audience,
    origin: Origin,
    now: UnixSeconds,
) -> Result<NewUpdate, OrderError> {
    if audience.gateways.is_empty() {
        return Err(invalid(format!(
            "the group {:?} has no gateways: put some into it first",
            audience.group
        )));
    }
    check_job(&order.job)?;
    check_numbers(&order)?;
    let expires_at = expires_at(&order, audience.scope(), now)?;
    let (order, real_order) = first_of(order);
    let expires_at = if real_order.is_some() { now.saturating_add(expires_in_s(&order)) } else { expires_at };
    let gateway = audience.gateway();
    let stages = match &order.plan.rollout {
        Some(rollout) => rollout.sizes(audience.gateways.len()),
        None => vec![audience.gateways.len()],
    };
    let progress = Progress {
        last: u32::try_from(stages.len().saturating_sub(1)).unwrap_or(u32::MAX),
        since: order.plan.first_at(now),
        ..Progress::default()
    };
    let update = NewUpdate {
        row: UpdateRow {
            update_id: UpdateId(uuid::Uuid::now_v7()),
            group: audience.group,
            options: options(order.options, audience.way),
            eui: gateway,
            plan: PlanRow { plan: order.plan, progress, follows: audience.follows, ..PlanRow::default() },
            real_order,
            tally: None,
            kind: order.job.kind().to_owned(),
            job_begin: title::begin(&order.job),
            link_digest: match &order.job {
                Job::MagicLink { digest, .. } => Some(*digest),
                Job::JetPorch { .. } | Job::Unknown { .. } => None,
            },
            created_at: now,
            expires_at,
            by_hand: audience.way == Way::ByHand,
            origin,
        },
        job: order.job,
        limits: order.limits,
        commands: commands(audience.gateways, &stages),
    };
    check_payload(&update)?;
    Ok(update)
}

/// A command for each gateway with its stage, by EUI. The gateways come in the order of the stages.
fn commands(gateways: Vec<Eui>, stages: &[usize]) -> Vec<(CommandId, Eui, u32)> {
    let stages = (0_u32..).zip(stages).flat_map(|(stage, size)| std::iter::repeat_n(stage, *size));
    let mut staged: Vec<(Eui, u32)> = gateways.into_iter().zip(stages).collect();
    staged.sort_unstable();
    staged.into_iter().map(|(eui, stage)| (CommandId(uuid::Uuid::now_v7()), eui, stage)).collect()
}

fn expires_in_s(order: &Order) -> u64 {
    order.expires_in_s.unwrap_or(DEFAULT_EXPIRY_S)
}

/// What is wrong with the times of an order: a page says it before anything is confirmed.
pub(crate) fn fault_of_times(order: &SendUpdate, now: UnixSeconds) -> Option<String> {
    let scope = if order.group.is_empty() { Scope::Gateway } else { Scope::Group };
    let fault = expires_at(&order.clone().into(), scope, now).err()?;
    Some(fault.to_string().replace("plan.not_before_unix_s", "“Not before”"))
}

/// Checks the plan, and says when the commands expire: the time counts from the moment before which nothing is handed out. It is the same for
/// all stages: what has not begun by then never does, so that every update ends by itself.
fn expires_at(order: &Order, scope: Scope, now: UnixSeconds) -> Result<UnixSeconds, OrderError> {
    let expires_in_s = expires_in_s(order);
    if !(1..=MAX_EXPIRY_S).contains(&expires_in_s) {
        return Err(invalid(format!("expires_in_s is 1 to {MAX_EXPIRY_S} seconds, found {expires_in_s}")));
    }
    let plan = &order.plan;
    let from = plan.not_before_unix_s.unwrap_or(now).max(now);
    if from > now.saturating_add(MAX_EXPIRY_S) {
        return Err(invalid("plan.not_before_unix_s is 90 days ahead at most"));
    }
    if let Some(rollout) = &plan.rollout {
        if scope == Scope::Gateway {
            return Err(invalid("an update for one gateway has no stages: leave plan.rollout away"));
        }
        rollout.check().map_err(OrderError::Invalid)?;
    }
    let expires_at = from.saturating_add(expires_in_s);
    if plan.first_at(now) >= expires_at {
        return Err(invalid(
            "the window does not open before the commands expire: choose a longer expiry, or another window",
        ));
    }
    Ok(expires_at)
}

/// What is sent now: the order itself, or its dry run, to all gateways at once; then also how the real one is to be done.
fn first_of(order: Order) -> (Order, Option<RealOrder>) {
    if !order.dry_run_first {
        return (order, None);
    }
    let real = RealOrder {
        options: SendOptions { dry_run: false, ..order.options },
        plan: order.plan.clone(),
        expires_in_s: order.expires_in_s,
    };
    let options = SendOptions { dry_run: true, ..order.options };
    (Order { options, plan: Plan::default(), ..order }, Some(real))
}

fn check_numbers(order: &Order) -> Result<(), OrderError> {
    if order.limits != order.limits.clamped() {
        return Err(invalid(format!(
            "limits.total_s and limits.task_s are 1 to {} seconds, limits.output_bytes at most {}",
            JobLimits::MAX_S,
            keros_protocol::limits::MAX_OUTPUT_BYTES
        )));
    }
    if order.options.confirm_window_s.is_some_and(|window_s| window_s > JobLimits::MAX_S) {
        return Err(invalid(format!(
            "options.confirm_window_s is 0 to {} seconds, 0 for no window",
            JobLimits::MAX_S
        )));
    }
    Ok(())
}

/// The options of the commands.
fn options(stated: SendOptions, way: Way) -> JobOptions {
    let SendOptions { dry_run, confirm_window_s } = stated;
    let default_s = match way {
        Way::Sent => DEFAULT_CONFIRM_WINDOW_S,
        // Somebody stands beside the gateway, which may have no link to the center at all.
        Way::ByHand => 0,
    };
    // Nothing is changed, so there is nothing to undo.
    let confirm_window_s = if dry_run { 0 } else { confirm_window_s.unwrap_or(default_s) };
    JobOptions { dry_run, confirm_window_s }
}

fn check_job(job: &Job) -> Result<(), OrderError> {
    match job {
        Job::JetPorch { script, vars } => {
            if script.len() > MAX_SCRIPT_BYTES {
                let found = script.len();
                return Err(invalid(format!(
                    "the script has {found} bytes, at most {MAX_SCRIPT_BYTES} are allowed"
                )));
            }
            let vars_bytes = serde_json::to_vec(vars).map_err(|error| invalid(error.to_string()))?.len();
            if vars_bytes > MAX_VARS_BYTES {
                return Err(invalid(format!(
                    "the variables have {vars_bytes} bytes as JSON, at most {MAX_VARS_BYTES} are allowed"
                )));
            }
            check_script(&ScriptSource {
                text: script.clone(),
                file: "script".to_owned(),
                extra_vars: vars.clone(),
                ..ScriptSource::default()
            })
        }
        Job::MagicLink { source, token, .. } => check_magic_link(source, token.as_deref()),
        Job::Unknown { kind } => Err(invalid(format!(
            "this center does not know the kind of job {kind:?}: it knows `jetporch` and `magic_link`"
        ))),
    }
}

/// What a gateway would refuse as unreadable or too large is refused here. What this version of the engine cannot do is not: the
/// gateways may run another one, and refuse by name.
fn check_script(source: &ScriptSource) -> Result<(), OrderError> {
    Script::parse(source).map(drop).or_else(judge_findings)
}

/// What this version of the engine cannot do, a gateway with another one may.
pub(super) fn is_judged_by_gateways(finding: &Diagnostic) -> bool {
    match finding.kind {
        DiagnosticKind::Unsupported => true,
        DiagnosticKind::Invalid | DiagnosticKind::TooLarge => false,
    }
}

/// Refuses with the findings that any gateway would refuse for.
pub(super) fn judge_findings(findings: Vec<Diagnostic>) -> Result<(), OrderError> {
    let wrong: Vec<String> =
        findings.iter().filter(|finding| !is_judged_by_gateways(finding)).map(ToString::to_string).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(MAX_FINDINGS);
    let mut text = wrong.into_iter().take(MAX_FINDINGS).collect::<Vec<_>>().join("\n");
    if more > 0 {
        text.push_str(&format!("\nand {more} more"));
    }
    Err(invalid(text))
}

fn check_magic_link(source: &str, token: Option<&str>) -> Result<(), OrderError> {
    if source.is_empty() {
        return match token {
            None => Ok(()),
            Some(_) => Err(invalid(
                "`token` belongs to a `source`: for its own store the center makes one for each gateway",
            )),
        };
    }
    source.parse::<Source>().map_err(|error| invalid(error.to_string()))?;
    let is_token =
        |text: &str| text.len() <= MAX_FETCH_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_none_or(is_token) {
        return Ok(());
    }
    Err(invalid(format!("`token` has at most {MAX_FETCH_TOKEN_BYTES} printable characters")))
}

/// JSON escapes can make a script many times longer: what is signed must fit into an envelope that agents accept.
fn check_payload(update: &NewUpdate) -> Result<(), OrderError> {
    let Some((command_id, eui, _)) = update.commands.first() else { return Ok(()) };
    let command = Command {
        command_id: *command_id,
        update_id: update.row.update_id,
        eui: *eui,
        issued_at_unix_s: update.row.created_at,
        expires_at_unix_s: update.row.expires_at,
        job: update.job.clone(),
        limits: update.limits,
        options: update.row.options,
    };
    let bytes = serde_json::to_vec(&command).map_err(|error| invalid(error.to_string()))?.len();
    if bytes > MAX_COMMAND_PAYLOAD_BYTES {
        return Err(invalid(format!(
            "the command has {bytes} bytes as JSON, at most {MAX_COMMAND_PAYLOAD_BYTES} are allowed: the script has many \
             characters that JSON has to escape"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_has_one_command_in_its_stage() {
        let euis: Vec<Eui> = [5, 3, 9, 1].map(Eui::from_u64).into();
        let commands = commands(euis, &[1, 3]);
        let staged: Vec<_> = commands.iter().map(|(_, eui, stage)| (eui.as_u64(), *stage)).collect();
        assert_eq!(staged, [(1, 1), (3, 1), (5, 0), (9, 1)]);
        assert!(commands.is_sorted(), "ids grow with EUIs: {commands:?}");
    }

    #[test]
    fn the_confirm_window_is_what_is_said_or_the_default_of_the_way_and_a_dry_run_has_none() {
        for (way, dry_run, stated, expected) in [
            (Way::Sent, false, None, DEFAULT_CONFIRM_WINDOW_S),
            (Way::Sent, false, Some(0), 0),
            (Way::Sent, false, Some(90), 90),
            (Way::Sent, true, None, 0),
            (Way::Sent, true, Some(90), 0),
            (Way::ByHand, false, None, 0),
            (Way::ByHand, false, Some(90), 90),
        ] {
            let stated = SendOptions { dry_run, confirm_window_s: stated };
            let expected = JobOptions { dry_run, confirm_window_s: expected };
            assert_eq!(options(stated, way), expected, "{way:?} {stated:?}");
        }
    }
}
