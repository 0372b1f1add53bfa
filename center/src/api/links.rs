//! Magic Links.

use keros_protocol::magic_link::{BundleFile, Digest, GatewayPattern, KerosRange, MagicLink, Title};
use keros_protocol::{Envelope, Eui, JobLimits, UnixSeconds, UpdateId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::updates::{SendOptions, UpdateView};

/// `POST /magic-links/collect`: remove the links that no update runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CollectLinks {
    /// Only those that were put into the store, and last sent, longer ago than this.
    pub(crate) older_than_s: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RemovedLinks {
    /// Magic Links.
    pub(crate) links: u32,
    /// Blobs that no other link names.
    pub(crate) blobs: u32,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// `POST /magic-links/{digest}/sign`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SignLink {
    /// The gateway, in any spelling that people use.
    pub(crate) eui: String,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    #[serde(default)]
    pub(crate) options: SendOptions,
    /// Seconds until the command expires; 7 days by default.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SignedLink {
    /// The update that follows what becomes of it; cancelling it works as for any other.
    pub(crate) update: UpdateView,
    /// The signed command: what is carried to the gateway.
    pub(crate) envelope: Envelope,
}

/// `GET /magic-links/{digest}` (`sha256:` and 64 hex digits, or the first 8 or more of them alone), the elements of `GET /magic-links`
/// (without `gateways`, `files` and `updates`), and the answer to `PUT /magic-links/{digest}`, whose body is the manifest. Blobs come
/// before it: `PUT /blobs/{digest}`. `DELETE /magic-links/{digest}` answers with [`RemovedLinks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LinkView {
    /// The hash.
    pub(crate) digest: Digest,
    /// What it is called.
    pub(crate) name: String,
    /// What it does.
    #[serde(default)]
    pub(crate) description: String,
    /// The gateways that it is declared for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<GatewayPattern>,
    /// How many these are.
    pub(crate) gateway_count: u32,
    /// The KerOS versions that it fits; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keros: Option<KerosRange>,
    /// The hardware that it fits; empty: any.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// When its time is over; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at_unix_s: Option<UnixSeconds>,
    /// The file that is run.
    pub(crate) playbook: Title,
    /// All files together.
    pub(crate) size_bytes: u64,
    /// The files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<LinkFileView>,
    /// How many these are.
    pub(crate) file_count: u32,
    /// When the center got it; absent when it is not the center's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_at_unix_s: Option<UnixSeconds>,
    /// The updates that name it, newest first, 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) updates: Vec<UpdateId>,
    /// With `?group=NAME`: the gateways of that group that it is not declared for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_declared: Option<Vec<Eui>>,
    /// With `?group=NAME`: those that it is declared for and does not fit, by what they last told of their KerOS and hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_compatible: Option<Vec<Eui>>,
}

/// A file of a Magic Link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LinkFileView {
    /// Its path in the bundle.
    pub(crate) title: Title,
    /// Its length.
    pub(crate) size_bytes: u64,
    /// Its content.
    pub(crate) digest: Digest,
    /// It is a program.
    #[serde(default)]
    pub(crate) executable: bool,
}

impl LinkView {
    /// What a link says of itself, without what the center knows of it.
    pub(crate) fn new(digest: Digest, link: &MagicLink) -> Self {
        let MagicLink { manifest, config } = link.clone();
        let file = |file: BundleFile| LinkFileView {
            title: file.title,
            size_bytes: file.blob.size,
            digest: file.blob.digest,
            executable: file.executable,
        };
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            digest,
            gateway_count: count(config.gateways.len()),
            file_count: count(manifest.files.len()),
            name: config.name,
            description: config.description,
            gateways: config.gateways,
            keros: config.keros,
            models: config.models,
            expires_at_unix_s: config.expires_at_unix_s,
            playbook: config.playbook,
            size_bytes: manifest.total_bytes(),
            files: manifest.files.into_iter().map(file).collect(),
            created_at_unix_s: None,
            updates: Vec::new(),
            not_declared: None,
            not_compatible: None,
        }
    }
}
