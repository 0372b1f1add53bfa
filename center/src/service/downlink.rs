//! Makes what is sent to gateways. Pure: it signs, and keeps to the size of a Downlink.

use keros_protocol::limits::{
    MAX_CANCELLATIONS_PER_STATEMENT, MAX_COMMANDS_PER_DOWNLINK, MAX_DOWNLINK_BYTES,
};
use keros_protocol::{
    Cancellation, Command, CommandId, Downlink, Envelope, Eui, Job, ReportPosition, SigningKey, Statement,
    Telemetry, UnixSeconds,
};

use crate::links::{Grant, Links};
use crate::store::{DueCommand, GatewayRow};

/// The agent's Maximum Packet Size counts the topic and the properties too: a prefix of 64 bytes, correlation data of
/// [`MAX_CORRELATION_BYTES`], and room.
const PACKET_OVERHEAD_BYTES: usize = 2048;

/// Correlation data beyond this is not sent back.
pub(crate) const MAX_CORRELATION_BYTES: usize = 256;

/// A message for one gateway.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    /// The gateway.
    pub(crate) eui: Eui,
    /// The Downlink as JSON.
    pub(crate) payload: Vec<u8>,
    /// Sent back as it came.
    pub(crate) correlation: Option<Vec<u8>>,
    /// What it is for.
    pub(crate) kind: OutgoingKind,
}

/// What a Downlink is for; decides how long a broker keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutgoingKind {
    /// The answer to a telemetry.
    Answer,
    /// Reports are stored.
    Acknowledgement,
    /// "Send telemetry now."
    Nudge,
}

impl OutgoingKind {
    /// How long the broker keeps it for a gateway that is away, seconds. All of it is made anew for the next telemetry, which
    /// comes every hour; a nudge has no use for a gateway that comes back, since that sends telemetry anyway.
    pub(crate) const fn expiry_s(self) -> u32 {
        match self {
            Self::Answer | Self::Acknowledgement => 3600,
            Self::Nudge => 60,
        }
    }
}

/// The envelope of a command. It is the same each time: neither Ed25519 nor a gateway's token has randomness. `None`: it runs a Magic Link
/// of the center's own store, and there is no registry now that a gateway could fetch it from.
pub(crate) fn command_envelope(
    eui: Eui,
    due: &DueCommand,
    key: &SigningKey,
    links: &Links,
) -> Result<Option<Envelope>, serde_json::Error> {
    let Some(job) = job(eui, due, links) else { return Ok(None) };
    let command = Command {
        command_id: due.command_id,
        update_id: due.update_id,
        eui,
        issued_at_unix_s: due.issued_at,
        expires_at_unix_s: due.expires_at,
        job,
        limits: due.limits,
        options: due.options,
    };
    Ok(Some(Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&command)?, key)))
}

/// The job as the gateway gets it: with the place of the center's own store, and what opens it there.
fn job(eui: Eui, due: &DueCommand, links: &Links) -> Option<Job> {
    match &due.job {
        Job::MagicLink { digest, source, .. } if source.is_empty() && !due.by_hand => {
            let source = links.source.as_ref()?.to_string();
            let grant = Grant { digest: *digest, eui, expires_at: due.expires_at };
            Some(Job::MagicLink { digest: *digest, source, token: Some(links.tokens.token(&grant)) })
        }
        job => Some(job.clone()),
    }
}

/// What one answer brings: first what the gateway has lost, since one of these may be running, then what it never had.
pub(crate) fn to_send(lost: Vec<DueCommand>, due: Vec<DueCommand>) -> Vec<DueCommand> {
    // After a restored backup one may be both.
    let due = due
        .into_iter()
        .filter(|due| !lost.iter().any(|lost| lost.command_id == due.command_id))
        .collect::<Vec<_>>();
    lost.into_iter().chain(due).take(MAX_COMMANDS_PER_DOWNLINK).collect()
}

/// The cancellations of a statement: of each command that is sent beside it, then of others as there is room.
pub(crate) fn cancellations(due: &[DueCommand], others: &[CommandId]) -> Vec<Cancellation> {
    let mut list: Vec<CommandId> = due
        .iter()
        .filter(|command| command.cancel_requested)
        .take(MAX_CANCELLATIONS_PER_STATEMENT)
        .map(|command| command.command_id)
        .collect();
    for id in others {
        if list.len() >= MAX_CANCELLATIONS_PER_STATEMENT {
            break;
        }
        if !list.contains(id) {
            list.push(*id);
        }
    }
    list.into_iter().map(|command_id| Cancellation { command_id }).collect()
}

// Each command of a Downlink has its cancellation beside it.
const _: () = assert!(MAX_COMMANDS_PER_DOWNLINK <= MAX_CANCELLATIONS_PER_STATEMENT);

/// A signed statement.
pub(crate) fn statement(
    eui: Eui,
    last_report: Option<ReportPosition>,
    cancellations: Vec<Cancellation>,
    nonces: Vec<String>,
    now: UnixSeconds,
    key: &SigningKey,
) -> Result<Envelope, serde_json::Error> {
    let statement = Statement { eui, time_unix_s: now, last_report, cancellations, nonces };
    Ok(Envelope::sign(Envelope::STATEMENT, &serde_json::to_vec(&statement)?, key))
}

/// A Downlink that only carries a statement, with or without a nudge.
pub(crate) fn bare(eui: Eui, statement: Envelope, kind: OutgoingKind) -> Result<Outgoing, serde_json::Error> {
    let nudge = kind == OutgoingKind::Nudge;
    let downlink = Downlink { statement: Some(statement), nudge, ..Downlink::default() };
    Ok(Outgoing { eui, payload: serde_json::to_vec(&downlink)?, correlation: None, kind })
}

/// The answer to a telemetry, with as many of the commands, oldest first, as have room in it; which ones those are.
pub(crate) fn answer(
    telemetry: &Telemetry,
    correlation: Option<Vec<u8>>,
    packages_wanted: bool,
    statement: Envelope,
    commands: Vec<(CommandId, Envelope)>,
) -> Result<(Outgoing, Vec<CommandId>), serde_json::Error> {
    let mut downlink = Downlink {
        telemetry_id: Some(telemetry.telemetry_id),
        statement: Some(statement),
        packages_wanted,
        ..Downlink::default()
    };
    let mut size = serde_json::to_vec(&downlink)?.len() + PACKET_OVERHEAD_BYTES + "\"commands\":[],".len();
    let mut sent = Vec::new();
    for (command_id, envelope) in commands.into_iter().take(MAX_COMMANDS_PER_DOWNLINK) {
        size += serde_json::to_vec(&envelope)?.len() + 1;
        if size > MAX_DOWNLINK_BYTES {
            break;
        }
        downlink.commands.push(envelope);
        sent.push(command_id);
    }
    let payload = serde_json::to_vec(&downlink)?;
    let correlation = correlation.filter(|data| data.len() <= MAX_CORRELATION_BYTES);
    Ok((Outgoing { eui: telemetry.eui, payload, correlation, kind: OutgoingKind::Answer }, sent))
}

/// Whether the package list has to be asked for: a digest is stated, the list did not come, and another one is kept.
pub(crate) fn packages_wanted(gateway: Option<&GatewayRow>, telemetry: &Telemetry) -> bool {
    let kept = gateway.and_then(|gateway| gateway.packages_digest.as_ref());
    telemetry.installed_packages.is_none()
        && telemetry.packages_digest.as_ref().is_some_and(|stated| Some(stated) != kept)
}
