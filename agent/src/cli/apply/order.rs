//! The command file: what `keros-center magic-link sign` wrote. Its signature is the agent's to judge, and the executor's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use keros_protocol::limits::MAX_ENVELOPE_BYTES;
use keros_protocol::magic_link::Digest;
use keros_protocol::{Command, Envelope, Eui, Job};

/// A command that may be handed over.
pub(super) struct Order {
    pub(super) envelope: Envelope,
    /// Undone after so long without the center, seconds; 0: never.
    pub(super) confirm_window_s: u32,
}

/// Why a command file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the command file {} {what}", path.display())]
pub(crate) struct OrderError {
    path: PathBuf,
    what: String,
    #[source]
    source: Option<io::Error>,
}

/// Reads a command file, and checks that it is for this Magic Link and this gateway.
pub(super) fn read(path: &Path, hash: Digest, eui: Eui) -> Result<Order, OrderError> {
    let error = |what: String| OrderError { path: path.to_owned(), what, source: None };
    let text = read_text(path).map_err(|cause| OrderError {
        path: path.to_owned(),
        what: "cannot be read".to_owned(),
        source: Some(cause),
    })?;
    let envelope: Envelope =
        serde_json::from_slice(&text).map_err(|cause| error(format!("is no signed command: {cause}")))?;
    let payload =
        envelope.unverified_payload().map_err(|cause| error(format!("is no signed command: {cause}")))?;
    let command: Command =
        serde_json::from_slice(&payload).map_err(|cause| error(format!("has no command in it: {cause}")))?;
    if command.eui != eui {
        return Err(error(format!("is for the gateway {}, this one is {eui}", command.eui)));
    }
    match command.job {
        Job::MagicLink { digest, .. } if digest == hash => {
            Ok(Order { envelope, confirm_window_s: command.options.confirm_window_s })
        }
        Job::MagicLink { digest, .. } => {
            Err(error(format!("is for the Magic Link {digest}, not for {hash}")))
        }
        job => Err(error(format!("orders a job of kind {}, not a Magic Link", job.kind()))),
    }
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_ENVELOPE_BYTES as u64 + 1).read_to_end(&mut text)?;
    match text.len() > MAX_ENVELOPE_BYTES {
        true => Err(io::Error::other(format!("it has more than {MAX_ENVELOPE_BYTES} bytes"))),
        false => Ok(text),
    }
}
