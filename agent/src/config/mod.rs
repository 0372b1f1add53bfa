//! The configuration: one file and its drop-ins, each read as a [`fragment`], [`merged`] option by option, and made
//! into valid [`Settings`]. It reads files and nothing else: it opens no socket and knows nothing of the broker.
//!
//! Every mistake becomes a [`Finding`] with its place, so that a check can show all of them at once. What is unknown
//! is only a warning to the daemon: after a rollback an older agent must come up with a newer file.

mod finding;
mod fragment;
mod load;
mod locate;
mod merged;
mod options;
mod settings;
mod show;
mod valid;

#[cfg(test)]
mod tests;

pub(crate) use finding::Finding;
#[cfg(test)]
use finding::Severity;
pub(crate) use load::{DEFAULT_TEXT, Loaded, load, load_as_if};
pub(crate) use settings::{
    BrokerSettings, ExecutorAccess, MagicLinkSettings, RegistryLogin, Settings, TlsSettings,
};
pub(crate) use show::{settings_json, settings_yaml};
