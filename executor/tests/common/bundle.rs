//! A Magic Link as an agent would have it: the blobs in a folder, and the command that names it.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use keros_protocol::executor::{Event, Request};
use keros_protocol::{Command, Job};
use keros_test_bundle::Bundle;

use super::{Gateway, command, line};

pub use keros_test_bundle::File;

/// What the agent would have fetched.
pub struct Link(Bundle);

impl Deref for Link {
    type Target = Bundle;

    fn deref(&self) -> &Bundle {
        &self.0
    }
}

impl Link {
    /// Puts it into a folder of the gateway's; the playbook is `site.yml`.
    pub fn make(gateway: &Gateway, files: &[File<'_>]) -> Self {
        Self::with_config(gateway, files, r#"{"name":"test","gateways":["7076FF*"],"playbook":"site.yml"}"#)
    }

    pub fn with_config(gateway: &Gateway, files: &[File<'_>], config: &str) -> Self {
        Self(Bundle::with_config(&gateway.path("given"), config, files.iter().copied()).unwrap())
    }

    /// Where the executor has its copy.
    pub fn copy(&self, gateway: &Gateway) -> PathBuf {
        gateway.path("state/bundles").join(self.digest.hex())
    }

    pub fn command(&self, number: u16) -> Command {
        let job = Job::MagicLink { digest: self.digest, source: String::new(), token: None };
        Command { job, ..command(number, "") }
    }

    pub fn request(&self, gateway: &Gateway, command: &Command) -> Vec<u8> {
        request(gateway, command, Some(&self.layout))
    }

    pub fn run(&self, gateway: &Gateway, command: &Command) -> Vec<Event> {
        gateway.session(&self.request(gateway, command)).events()
    }
}

pub fn request(gateway: &Gateway, command: &Command, folder: Option<&Path>) -> Vec<u8> {
    let bundle = folder.map(Path::to_owned);
    line(&Request::Run { envelope: gateway.envelope(command), statement: None, bundle })
}
