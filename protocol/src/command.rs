//! What an operator orders: one command for one gateway. It travels only inside a signed [`crate::Envelope`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::magic_link::Digest;
use crate::{Eui, UnixSeconds};

/// Names one command for one gateway: a UUID of version 7. It is run at most once, ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct CommandId(pub uuid::Uuid);

/// Names one update: the order to a whole group, of which each gateway gets a command of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct UpdateId(pub uuid::Uuid);

macro_rules! id_text {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

id_text!(CommandId);
id_text!(UpdateId);

/// The signed payload of payload type [`crate::Envelope::COMMAND`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Names this command; never used twice.
    pub command_id: CommandId,
    /// The update that this command is part of.
    pub update_id: UpdateId,
    /// The one gateway that may run it.
    pub eui: Eui,
    /// When the center made it.
    pub issued_at_unix_s: UnixSeconds,
    /// From this second on it may no longer be started.
    pub expires_at_unix_s: UnixSeconds,
    /// What is to be done.
    pub job: Job,
    /// How much it may use.
    #[serde(default)]
    pub limits: JobLimits,
    /// How it is to be done.
    #[serde(default)]
    pub options: JobOptions,
}

/// What a command orders, told apart by its `kind`.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// `jetporch`: run a JetPorch script; only for KerOS 6.
    JetPorch {
        /// The YAML text, at most [`crate::limits::MAX_SCRIPT_BYTES`].
        script: String,
        /// Variables of the highest precedence.
        vars: Map<String, Value>,
    },
    /// `magic_link`: run the bundle with this digest, good only for the gateways declared in it.
    MagicLink {
        /// The digest of an OCI image manifest.
        digest: Digest,
        /// Where to get it: a [`crate::magic_link::Source`]. Empty: a technician brings it to the gateway.
        source: String,
        /// What opens the source to this gateway, as a bearer token (RFC 6750); at most
        /// [`crate::limits::MAX_FETCH_TOKEN_BYTES`].
        token: Option<String>,
    },
    /// A kind that this version does not know. It is refused as `unsupported`, by name.
    Unknown {
        /// The name found.
        kind: String,
    },
}

impl Job {
    /// The `kind` on the wire.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::JetPorch { .. } => "jetporch",
            Self::MagicLink { .. } => "magic_link",
            Self::Unknown { kind } => kind,
        }
    }

    /// The Magic Link that it runs, when it is one.
    #[must_use]
    pub const fn link(&self) -> Option<Digest> {
        if let Self::MagicLink { digest, .. } = self { Some(*digest) } else { None }
    }
}

#[derive(Serialize, Deserialize)]
struct JetPorchFields {
    script: String,
    #[serde(default)]
    vars: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct MagicLinkFields {
    digest: Digest,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    fields: T,
}

impl Serialize for Job {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.kind();
        match self {
            Self::JetPorch { script, vars } => {
                let fields = JetPorchFields { script: script.clone(), vars: vars.clone() };
                Tagged { kind, fields }.serialize(serializer)
            }
            Self::MagicLink { digest, source, token } => {
                let fields =
                    MagicLinkFields { digest: *digest, source: source.clone(), token: token.clone() };
                Tagged { kind, fields }.serialize(serializer)
            }
            Self::Unknown { .. } => Tagged { kind, fields: Map::new() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut map = Map::deserialize(deserializer)?;
        let Some(Value::String(kind)) = map.remove("kind") else {
            return Err(D::Error::custom("a job needs a text field `kind`"));
        };
        let fields = Value::Object(map);
        match kind.as_str() {
            "jetporch" => serde_json::from_value(fields)
                .map(|JetPorchFields { script, vars }| Self::JetPorch { script, vars })
                .map_err(D::Error::custom),
            "magic_link" => serde_json::from_value(fields)
                .map(|MagicLinkFields { digest, source, token }| Self::MagicLink { digest, source, token })
                .map_err(D::Error::custom),
            _ => Ok(Self::Unknown { kind: crate::limits::shorten(&kind, 64) }),
        }
    }
}

/// How much a job may use. A field that is not stated has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct JobLimits {
    /// The whole job, seconds, 1 to 86,400; 3,600 by default.
    pub total_s: u32,
    /// One task (one item of a loop), seconds, 1 to 86,400; 600 by default.
    pub task_s: u32,
    /// Output kept of one task, bytes, head and tail together; 65,536 by default and at most.
    pub output_bytes: u32,
}

impl JobLimits {
    /// The longest time that may be asked for, for one task or in total: a day.
    pub const MAX_S: u32 = 86_400;

    /// The limits with each number brought into its range.
    #[must_use]
    pub fn clamped(self) -> Self {
        let max_output = u32::try_from(crate::limits::MAX_OUTPUT_BYTES).unwrap_or(u32::MAX);
        Self {
            total_s: self.total_s.clamp(1, Self::MAX_S),
            task_s: self.task_s.clamp(1, Self::MAX_S),
            output_bytes: self.output_bytes.min(max_output),
        }
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        Self { total_s: 3600, task_s: 600, output_bytes: 65_536 }
    }
}

/// How a job is to be done. A field that is not stated has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct JobOptions {
    /// Change nothing, report what would change.
    pub dry_run: bool,
    /// Undo the job unless the center confirms it within this many seconds; 0: no such window.
    pub confirm_window_s: u32,
}
