//! What a virtual gateway says of itself: as long as what a real one says.

use keros_machine::{Now, State};
use keros_protocol::{ClockState, Disk, Eui, PROTOCOL_VERSION, Package, Telemetry};
use uuid::Uuid;

use crate::gateway::Profile;

/// Packages of a KerOS 6 gateway: some 8 KiB as JSON.
pub(crate) fn packages() -> Vec<Package> {
    (0..150)
        .map(|number| Package {
            name: format!("keros-component-{number:03}"),
            version: format!("6.3.1-{}-0-gc7e2b007", number % 7),
        })
        .collect()
}

/// `sha256:` and hex of the list as compact JSON.
pub(crate) fn digest(packages: &[Package]) -> String {
    let json = serde_json::to_vec(packages).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &json);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// One message. Vitals wander, so that no two are alike.
pub(crate) fn compose(
    eui: Eui,
    profile: &Profile,
    state: &State,
    now: Now,
    telemetry_id: Uuid,
    nonces: Vec<String>,
) -> Telemetry {
    let wander = |span: u64| (eui.as_u64().wrapping_mul(31).wrapping_add(now.unix_s) % span) as f32;
    let known = state.packages_known() == Some(profile.packages_digest.as_str());
    Telemetry {
        telemetry_id,
        eui,
        protocol_version: PROTOCOL_VERSION,
        agent_version: "0.1.0".to_owned(),
        codename: Some("wiis".to_owned()),
        keros_version: Some(profile.version.clone()),
        boot_id: Some(Uuid::from_u128(u128::from(eui.as_u64()))),
        time_unix_s: now.unix_s,
        clock: ClockState::Synchronised,
        uptime: Some(now.monotonic_ms / 1000),
        cpu_percent: Some(3.0 + wander(20)),
        memory_percent: Some(40.0 + wander(9)),
        temperature: Some(35.0 + wander(25)),
        disks: vec![
            Disk { mount: "/".to_owned(), size_bytes: 3_800_000_000, used_percent: 31.0 },
            Disk { mount: "/user".to_owned(), size_bytes: 2_000_000_000, used_percent: 5.0 + wander(3) },
        ],
        network_interface_category: Some("cellular".to_owned()),
        packages_digest: Some(profile.packages_digest.clone()),
        installed_packages: (!known).then(|| profile.packages.clone()),
        job: state.job_under_way(),
        bundle: None,
        reports_pending: state.reports_pending(),
        report_stream: Some(state.last_report().stream),
        nonces,
    }
}
