//! What every failure looks like.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// RFC 9457 problem details, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the status says it; else one of the `urn:keros:problem:…` of `docs/rest.md`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The status in words.
    pub(crate) title: String,
    /// HTTP status.
    pub(crate) status: u16,
    /// What went wrong and what to do.
    pub(crate) detail: String,
    /// What is wrong with which field or parameter of the request, 20 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldProblem>,
}

/// What is wrong with one field or parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FieldProblem {
    /// Where it is in the body: a JSON pointer (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// Its name in the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    /// What is wrong with it.
    pub(crate) detail: String,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: String,
    /// The center's version.
    pub(crate) version: String,
    /// It hears the gateways.
    pub(crate) broker_connected: bool,
    /// Messages that made no sense, since the start.
    pub(crate) messages_left_out: u64,
    /// Messages of gateways that sent too many, since the start.
    pub(crate) messages_over_rate: u64,
    /// The store of Magic Links.
    pub(crate) magic_links_bytes: u64,
}
