//! A telemetry message from what is known of the gateway. It reads nothing by itself.

use keros_platform::Identity;
use keros_protocol::{
    BundleUnderWay, ClockState, JobUnderWay, PROTOCOL_VERSION, Telemetry, UnixSeconds, limits,
};

use crate::vitals::Vitals;

/// What the daemon adds to the vitals.
pub(crate) struct Context<'a> {
    /// The message's id.
    pub(crate) telemetry_id: uuid::Uuid,
    /// Who this gateway is.
    pub(crate) identity: &'a Identity,
    /// The gateway's clock.
    pub(crate) time_unix_s: UnixSeconds,
    /// It cannot be earlier than this.
    pub(crate) floor_unix_s: UnixSeconds,
    /// The job under way.
    pub(crate) job: Option<JobUnderWay>,
    /// The bundle that is fetched.
    pub(crate) bundle: Option<BundleUnderWay>,
    /// Reports that the center has not acknowledged.
    pub(crate) reports_pending: u32,
    /// The stream that these are in.
    pub(crate) report_stream: uuid::Uuid,
    /// What the center is asked to sign.
    pub(crate) nonces: Vec<String>,
}

/// Composes the message, and its bytes. A package list that would not fit is left out; its digest tells that there is one.
pub(crate) fn compose(context: Context<'_>, vitals: Vitals) -> (Telemetry, Vec<u8>) {
    let clock = match vitals.clock_synchronised {
        _ if context.time_unix_s < context.floor_unix_s => ClockState::BelowFloor,
        true => ClockState::Synchronised,
        false => ClockState::Unsynchronised,
    };
    let mut telemetry = Telemetry {
        telemetry_id: context.telemetry_id,
        eui: context.identity.eui,
        protocol_version: PROTOCOL_VERSION,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        codename: context.identity.codename.clone(),
        keros_version: context.identity.keros_version.clone(),
        boot_id: vitals.boot_id,
        time_unix_s: context.time_unix_s,
        clock,
        uptime: vitals.uptime,
        cpu_percent: vitals.cpu_percent,
        memory_percent: vitals.memory_percent,
        temperature: vitals.temperature,
        disks: vitals.disks,
        network_interface_category: vitals.network_interface_category,
        packages_digest: vitals.packages_digest,
        installed_packages: vitals.installed_packages,
        job: context.job,
        bundle: context.bundle,
        reports_pending: context.reports_pending,
        report_stream: Some(context.report_stream),
        nonces: context.nonces,
    };
    let mut payload = to_json(&telemetry);
    if payload.len() > limits::MAX_TELEMETRY_BYTES {
        tracing::warn!(bytes = payload.len(), "the package list is too long for telemetry and is left out");
        telemetry.installed_packages = None;
        payload = to_json(&telemetry);
    }
    (telemetry, payload)
}

fn to_json(telemetry: &Telemetry) -> Vec<u8> {
    // Serialising plain fields to memory cannot fail; an empty message would be passed over by the center.
    serde_json::to_vec(telemetry).unwrap_or_default()
}
