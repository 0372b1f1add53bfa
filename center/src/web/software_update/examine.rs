//! What the center says of a form that is filled in: all that is wrong with it, and what it would come to.

use keros_protocol::Job;
use keros_protocol::magic_link::Digest;

use super::super::links::Described;
use super::fields::{Fields, Filled, What, Wrong};
use crate::access::Caller;
use crate::api::{CheckScript, PreviewView, ScriptCheckView, SendUpdate};
use crate::rest::Api;
use crate::service::{Addressed, OrderError, fault_of_times, unix_now};
use crate::web::Failure;

/// The answer.
#[derive(Default)]
pub(super) struct Examined {
    /// All that is wrong.
    pub(super) wrong: Vec<Wrong>,
    /// What a gateway would say of the script.
    pub(super) check: Option<ScriptCheckView>,
    /// The Magic Link of the hash.
    pub(super) link: Option<Described>,
    /// Who of the gateways takes it.
    pub(super) preview: Option<PreviewView>,
    /// What would be sent; absent when something is wrong.
    pub(super) order: Option<SendUpdate>,
}

/// Looks up and checks what is filled in; what is refused becomes a line of the page.
pub(super) async fn examine(
    api: &Api,
    caller: &Caller,
    to: &Addressed,
    fields: &Fields,
) -> Result<Examined, Failure> {
    let mut examined = Examined::default();
    let filled = match fields.read() {
        Ok(filled) => filled,
        Err(wrong) => {
            examined.wrong = wrong;
            return Ok(examined);
        }
    };
    let job = match &filled.what {
        What::Job(job) => {
            look_at_script(api, fields, &mut examined).await?;
            Some(job.clone())
        }
        What::Link(hash) => look_up(api, caller, hash, &mut examined).await?.map(link_job),
    };
    let Some(job) = job else { return Ok(examined) };
    match api.center().preview_for(caller, to.clone(), &job, unix_now()).await {
        Ok(preview) => examined.preview = Some(preview),
        Err(error) => examined.wrong.push(said(wrong_field(fields), error)?),
    }
    if examined.wrong.is_empty() {
        let order = order(to, filled, job);
        match fault_of_times(&order, unix_now()) {
            Some(text) => examined.wrong.push(Wrong { field: "not_before", text }),
            None => examined.order = Some(order),
        }
    }
    Ok(examined)
}

fn link_job(digest: Digest) -> Job {
    Job::MagicLink { digest, source: String::new(), token: None }
}

fn order(to: &Addressed, filled: Filled, job: Job) -> SendUpdate {
    SendUpdate {
        group: to.group_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        job,
        limits: filled.limits,
        options: filled.options,
        expires_in_s: Some(filled.expires_in_s),
        plan: filled.plan,
        dry_run_first: filled.dry_run_first,
    }
}

fn wrong_field(fields: &Fields) -> &'static str {
    if fields.is_script() { "script" } else { "hash" }
}

async fn look_at_script(api: &Api, fields: &Fields, examined: &mut Examined) -> Result<(), Failure> {
    let order = CheckScript { script: fields.script_text(), vars: serde_json::Map::new() };
    let check = api.center().check_script(order).await?;
    if !check.fit {
        let text = "No gateway would run this script: its faults are said below it.".to_owned();
        examined.wrong.push(Wrong { field: "script", text });
    }
    examined.check = Some(check);
    Ok(())
}

async fn look_up(
    api: &Api,
    caller: &Caller,
    hash: &str,
    examined: &mut Examined,
) -> Result<Option<Digest>, Failure> {
    match api.center().link(caller, hash).await {
        Ok(link) => {
            let digest = link.digest;
            examined.link = Some(Described::new(link));
            Ok(Some(digest))
        }
        Err(error) => {
            examined.wrong.push(said("hash", error)?);
            Ok(None)
        }
    }
}

/// What is the visitor's to put right is said at the field; what the center itself failed at is a page of its own.
fn said(field: &'static str, error: OrderError) -> Result<Wrong, Failure> {
    let failure = Failure::from(error);
    if failure.status.is_server_error() { Err(failure) } else { Ok(Wrong { field, text: failure.detail }) }
}
