//! The check of a JetPorch script before it is sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `POST /scripts/check`: nothing is sent and nothing kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CheckScript {
    /// The YAML text, 256 KiB at most.
    pub(crate) script: String,
    /// Variables of the highest precedence, as they would be sent.
    #[serde(default)]
    pub(crate) vars: Map<String, Value>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ScriptCheckView {
    /// Whether the center would send it. What a gateway's own version may be able to do is for the gateway to say.
    pub(crate) fit: bool,
    /// What the check found, in the order of the text; 100 at most.
    pub(crate) findings: Vec<FindingView>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FindingView {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// Line, from 1; 0 when it is about the whole script.
    pub(crate) line: u32,
    /// Column in characters, from 1; 0 when it is about the whole line.
    pub(crate) column: u32,
    /// What is wrong, in words.
    pub(crate) message: String,
    /// What was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// No gateway would run the script: it is not sent.
    Error,
    /// This version of the engine cannot do it: gateways of the same version refuse, as `unsupported`.
    Warning,
}

impl Severity {
    /// The name in the REST API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
