//! Tries a connection to the broker step by step, as the daemon makes it: name, TCP, TLS, log-in, own topic. Each step has a
//! time limit and a result with a name. It publishes nothing, and leaves no session behind.
//!
//! A second client with the same identifier ends the first one's connection, so a probe can disturb the daemon: [`Login`] says
//! what the caller knows of it. The embedded broker wants the EUI in the identifier, and `packaging/mosquitto` makes the user
//! name the identifier: there, [`Login::Beside`] ends the daemon's connection too, which comes back within seconds.

mod judge;
mod login;
mod step;
#[cfg(test)]
mod tests;
mod walk;

use std::time::Duration;

use keros_protocol::Eui;

use crate::clock::SharedTime;
use crate::config::BrokerSettings;

pub(crate) use step::{Step, StepOutcome, StepResult, Trouble, TroubleKind};

/// What is tried, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    /// The broker.
    pub(crate) broker: &'a BrokerSettings,
    /// The gateway.
    pub(crate) eui: Eui,
    /// Certificates are judged by it.
    pub(crate) time: &'a SharedTime,
    /// Whether to log in.
    pub(crate) login: Login,
}

/// How the probe logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// Not at all: the daemon is logged in with these very settings.
    No,
    /// By the daemon's own client identifier, as it would: it is not connected.
    AsAgent,
    /// By another identifier: the daemon may be connected, and these settings are to be proved all the same.
    Beside,
}

/// Goes through all steps, in order; after one that failed, the others are not tried. It takes no longer than `limit`, and
/// usually much less. Not to be called from within the daemon's runtime: it blocks.
pub(crate) fn probe(target: &Target<'_>, limit: Duration) -> Vec<StepResult> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let trouble = Trouble::new(TroubleKind::Machine, error.to_string());
            return vec![StepResult { step: Step::Name, outcome: StepOutcome::Failed(trouble) }];
        }
    };
    let results = runtime.block_on(walk::walk(target, limit));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    results
}

/// The first step that failed, if any did.
pub(crate) fn failure(results: &[StepResult]) -> Option<(Step, &Trouble)> {
    results.iter().find_map(|result| match &result.outcome {
        StepOutcome::Failed(trouble) => Some((result.step, trouble)),
        StepOutcome::Passed(_) | StepOutcome::NotTried(_) => None,
    })
}
