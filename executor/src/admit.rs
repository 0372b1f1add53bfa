//! May this command run here? The executor asks by itself, from its own files: it does not believe the agent.

use std::path::Path;

use keros_protocol::eligibility::{Gateway, Refusal, check};
use keros_protocol::{Command, Envelope, RefusalReason, UnixSeconds};

use crate::engine::{Engine, Plan};
use crate::statement::identity;
use crate::trust;

/// A command that may run, and how.
pub(crate) struct Admitted {
    /// The command, as it was signed.
    pub(crate) command: Command,
    /// What it does.
    pub(crate) plan: Plan,
}

/// Verifies a command and checks its job whole. Changes nothing.
///
/// # Errors
/// The first reason that applies.
pub(crate) fn admit(
    platform_root: &Path,
    trust_folder: &Path,
    engine: &dyn Engine,
    envelope: &Envelope,
    now_unix_s: UnixSeconds,
) -> Result<Admitted, Refusal> {
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
    let plan = engine.plan(&command)?;
    Ok(Admitted { command, plan })
}
