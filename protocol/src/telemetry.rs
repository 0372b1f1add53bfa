//! Gateway to center, every hour: how the gateway is. Names of vitals are the ones that clients of the vendor's service know.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{CommandId, Eui, KerosVersion, Outcome, UnixSeconds};

/// The payload of `…/presence` is one of these words, without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The agent is connected.
    Online,
    /// It is not: its last will, or its farewell.
    Offline,
}

impl Presence {
    /// The payload.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    /// Reads a payload; `None` for any other text.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        [Self::Online, Self::Offline].into_iter().find(|p| p.as_str().as_bytes() == payload)
    }
}

/// The payload of `…/telemetry`. What a gateway cannot find out is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Telemetry {
    /// Names this message; the answer repeats it, in its body and as MQTT correlation data.
    pub telemetry_id: uuid::Uuid,
    /// The gateway; the same as in the topic.
    pub eui: Eui,
    /// [`crate::PROTOCOL_VERSION`] of the sender.
    pub protocol_version: u32,
    /// The agent's version.
    pub agent_version: String,
    /// Hardware code name, e.g. `wiis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codename: Option<String>,
    /// KerOS version; absent when this is no KerOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keros_version: Option<KerosVersion>,
    /// `/proc/sys/kernel/random/boot_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<uuid::Uuid>,
    /// The gateway's clock.
    pub time_unix_s: UnixSeconds,
    /// Whether that clock can be believed.
    pub clock: ClockState,
    /// Seconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// CPU in use since the last telemetry (since boot at first), percent of all cores.
    #[serde(default, deserialize_with = "any_number_or_none", skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f32>,
    /// Memory in use (total less available), percent.
    #[serde(default, deserialize_with = "any_number_or_none", skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f32>,
    /// The warmest thermal zone, degrees Celsius.
    #[serde(default, deserialize_with = "any_number_or_none", skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// File systems on real devices.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Of the interface with the default route: `ethernet`, `wifi`, `cellular`, `other`; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface_category: Option<String>,
    /// `sha256:` and hex of the package list as compact JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages_digest: Option<String>,
    /// All packages sorted by name; only when the center may not know them yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_packages: Option<Vec<Package>>,
    /// The job under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobUnderWay>,
    /// The bundle that is fetched, also between two attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleUnderWay>,
    /// Reports that the center has not acknowledged yet.
    #[serde(default)]
    pub reports_pending: u32,
    /// The stream of the gateway's reports. Another one than before says that the gateway has lost its state: the center sends
    /// again what it has of that gateway no end of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_stream: Option<uuid::Uuid>,
    /// Nonces that the gateway wants to find in the next signed statement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nonces: Vec<String>,
}

/// Whether the gateway's clock can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// The kernel says that it is disciplined by a time source.
    Synchronised,
    /// It runs free, but is not below the floor.
    Unsynchronised,
    /// It is below the time floor (build time, signed statements): wrong for certain.
    BelowFloor,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// In use, percent of what an ordinary user may use.
    #[serde(deserialize_with = "any_number")]
    pub used_percent: f32,
}

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The job that the executor runs at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobUnderWay {
    /// Its command.
    pub command_id: CommandId,
    /// Its outcome so far, with the task under way.
    pub outcome: Outcome,
}

/// A Magic Link's bundle on its way to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BundleUnderWay {
    /// The command that waits for it.
    pub command_id: CommandId,
    /// Bytes of it that are on the gateway.
    pub have_bytes: u64,
    /// Of all; absent until its manifest is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Why the last attempt ended before the bundle was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A number beyond what is kept becomes an infinity, which the center leaves out: one absurd number must not make all of a
/// gateway's telemetry unreadable. To read it as `f32` at once may refuse it, depending on how the JSON reader was built.
fn any_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    #[allow(clippy::cast_possible_truncation, reason = "this is what it is for")]
    f64::deserialize(deserializer).map(|number| number as f32)
}

/// As [`any_number`], where there may be none.
fn any_number_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    #[allow(clippy::cast_possible_truncation, reason = "this is what it is for")]
    Option::<f64>::deserialize(deserializer).map(|number| number.map(|number| number as f32))
}
