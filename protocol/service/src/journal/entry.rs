//! One entry of the journal, as far as a person wants to see it.

use keros_protocol::limits::shorten;
use serde::{Deserialize, Serialize};

/// Kept of a message, bytes: our own lines are no longer.
const MAX_MESSAGE_BYTES: usize = 4096;
/// Kept of any other field, bytes.
const MAX_FIELD_BYTES: usize = 256;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// When, microseconds since 1970.
    pub unix_us: u64,
    /// The unit that has said it, or that systemd says it about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The program that has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// 0 (the machine is unusable) to 7 (to find mistakes), as in syslog(3).
    pub priority: u8,
    /// What it says.
    pub message: String,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The update that the job belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_id: Option<String>,
    /// The event's id in the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

impl Entry {
    /// The fields that are read.
    #[cfg_attr(feature = "libsystemd", allow(dead_code, reason = "the library gives all fields"))]
    pub(super) const FIELDS: &str =
        "MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER,KEROS_JOB_ID,KEROS_UPDATE_ID,MESSAGE_ID";

    /// From the fields of an entry of that time.
    pub(super) fn from_fields(unix_us: u64, field: impl Fn(&str) -> Option<String>) -> Self {
        let short = |name: &str| field(name).map(|text| shorten(&text, MAX_FIELD_BYTES));
        let priority = field("PRIORITY").and_then(|text| text.parse().ok()).filter(|priority| *priority <= 7);
        Self {
            unix_us,
            unit: short("UNIT").or_else(|| short("_SYSTEMD_UNIT")),
            program: short("SYSLOG_IDENTIFIER"),
            priority: priority.unwrap_or(6),
            message: shorten(&field("MESSAGE").unwrap_or_default(), MAX_MESSAGE_BYTES),
            job_id: short("KEROS_JOB_ID"),
            update_id: short("KEROS_UPDATE_ID"),
            message_id: short("MESSAGE_ID"),
        }
    }
}
