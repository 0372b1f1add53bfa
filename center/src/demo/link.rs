//! The demo's Magic Link: two files, made into a bundle and put into the center as the command line does.

use std::path::Path;

use anyhow::Context as _;
use keros_protocol::magic_link::{Digest, GatewayPattern};
use keros_protocol::{Eui, Job};

use super::gateway::PLANS;
use crate::bundle::{self, Contents};
use crate::cli::client::Client;
use crate::cli::magic_link::upload;

const FILES: [(&str, &str); 2] = [
    ("site.yml", include_str!("bundle/site.yml")),
    ("files/forwarder.conf", include_str!("bundle/files/forwarder.conf")),
];

/// One with KerOS 6, and the one with KerOS 5.
pub(super) const DECLARED: [Eui; 2] = [PLANS[0].eui, PLANS[2].eui];

/// Makes it and gives it to the center.
///
/// # Errors
/// When a file cannot be written, or the center does not take it.
pub(super) fn make(demo: &Path, client: &Client) -> anyhow::Result<Digest> {
    let folder = demo.join("forwarder settings");
    for (title, text) in FILES {
        let path = folder.join(title);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        std::fs::write(&path, text)?;
    }
    let contents = Contents {
        name: None,
        description: "Made by the demo".to_owned(),
        gateways: DECLARED.map(GatewayPattern::of).into(),
        keros: None,
        models: [].into(),
        expires_at_unix_s: None,
        playbook: None,
    };
    let bundle = bundle::make(&folder, contents).context("cannot make the Magic Link")?;
    Ok(upload::run(client, &bundle)?.digest)
}

/// The job that sends it; without a source it is the center's.
pub(super) fn job(digest: Digest) -> Job {
    Job::MagicLink { digest, source: String::new(), token: None }
}

/// Its files, for people.
pub(super) fn titles() -> String {
    FILES.map(|(title, _)| title).join(", ")
}
