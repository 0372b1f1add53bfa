//! Vitals under the names that clients of the vendor's service know, and which of them are worth a look.

use keros_protocol::{ClockState, Telemetry};

/// From here on a vital is worth a look. CPU: nothing is left for the packet forwarder. Memory: of 240 MiB some 24 are left. Temperature: the
/// processor's own limit is 95 °C to 105 °C, by grade. Disk: an update of packages may not fit any more.
const CPU_PERCENT: f32 = 95.0;
const MEMORY_PERCENT: f32 = 90.0;
const TEMPERATURE: f32 = 85.0;
const DISK_PERCENT: f32 = 90.0;

/// What in a telemetry is worth a look, by name: `cpu_percent`, `memory_percent`, `temperature`, `disk`, `clock`.
pub(crate) fn warnings(telemetry: &Telemetry) -> Vec<&'static str> {
    let above = |value: Option<f32>, limit: f32| value.is_some_and(|value| value >= limit);
    [
        ("cpu_percent", above(telemetry.cpu_percent, CPU_PERCENT)),
        ("memory_percent", above(telemetry.memory_percent, MEMORY_PERCENT)),
        ("temperature", above(telemetry.temperature, TEMPERATURE)),
        ("disk", telemetry.disks.iter().any(|disk| disk.used_percent >= DISK_PERCENT)),
        ("clock", telemetry.clock == ClockState::BelowFloor),
    ]
    .into_iter()
    .filter_map(|(name, bad)| bad.then_some(name))
    .collect()
}
