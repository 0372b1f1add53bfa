//! May this command run here? The executor asks by itself, from its own files: it does not believe the agent.

use std::path::Path;

use keros_protocol::eligibility::{Gateway, Refusal, check};
use keros_protocol::magic_link::LinkGateway;
use keros_protocol::{Command, Envelope, Job, RefusalReason, UnixSeconds};

use crate::bundle::{Offer, Trouble};
use crate::engine::{Engine, Plan};
use crate::statement::identity;
use crate::trust;

/// A command that may run.
pub(crate) struct Admitted {
    /// The command, as it was signed.
    pub(crate) command: Command,
    /// What it does.
    pub(crate) work: Work,
}

/// What a command does.
pub(crate) enum Work {
    /// A script, checked whole.
    Script(Plan),
    /// A Magic Link for this gateway. Its playbook can be checked when its bundle has been copied.
    Link(Box<Offer>),
}

/// Verifies a command, and checks its job as far as that goes without changing anything.
///
/// # Errors
/// The first reason that applies.
pub(crate) fn admit(
    platform_root: &Path,
    trust_folder: &Path,
    engine: &dyn Engine,
    envelope: &Envelope,
    bundle: Option<&Path>,
    now_unix_s: UnixSeconds,
) -> Result<Admitted, Trouble> {
    let command_keys = trust::command_keys(trust_folder)?;
    let identity = identity(platform_root).map_err(|error| {
        let detail = format!("the executor does not know which gateway this is: {error}");
        Refusal::new(RefusalReason::WrongTarget, detail)
    })?;
    let gateway = Gateway {
        eui: identity.eui,
        keros: identity.keros_version.as_ref(),
        command_keys: &command_keys,
        now_unix_s,
    };
    let command = check(envelope, &gateway)?;
    let work = match &command.job {
        Job::MagicLink { digest, .. } => {
            let model = identity.codename.as_deref();
            let gateway = LinkGateway { eui: identity.eui, keros: gateway.keros, model, now_unix_s };
            Work::Link(Box::new(Offer::read(bundle, *digest, &gateway)?))
        }
        _ => Work::Script(engine.plan(&command, None)?),
    };
    Ok(Admitted { command, work })
}
