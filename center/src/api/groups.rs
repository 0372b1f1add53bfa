//! Groups of gateways.

use keros_protocol::Eui;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /groups/{name}`, the elements of `GET /groups`, and the body of `POST /groups`.
/// `PUT` and `DELETE /groups/{name}/gateways/{eui}` change its members, `DELETE /groups/{name}` removes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GroupView {
    /// Its name.
    pub(crate) name: String,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// Its members.
    #[serde(default)]
    pub(crate) gateways: Vec<Eui>,
}
