//! What the center sends: taken apart and judged. It must not change anything.

use keros_machine::{Arrival, Verdict};
use keros_protocol::eligibility::{self, Gateway, claimed_ids};
use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{Downlink, Envelope, EnvelopeError, Eui, KeyRing, Statement, limits};

/// Why a message, or a part of it, is passed over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DownlinkError {
    /// Another topic than the one subscribed to.
    #[error("a message on the topic {0:?}, which is not this gateway's")]
    Topic(String),
    /// Too long.
    #[error("a Downlink of {0} bytes, at most {most} are allowed", most = limits::MAX_DOWNLINK_BYTES)]
    TooLarge(usize),
    /// Not the JSON of a Downlink.
    #[error("a Downlink that cannot be read: {0}")]
    Unreadable(String),
    /// Too many commands.
    #[error("a Downlink with {0} commands, at most {most} are allowed", most = limits::MAX_COMMANDS_PER_DOWNLINK)]
    TooMany(usize),
    /// The statement's signature does not hold.
    #[error("a statement that is not believed")]
    Statement(#[from] EnvelopeError),
    /// The statement is signed, but not readable.
    #[error("a signed statement that cannot be read: {0}")]
    StatementUnreadable(String),
    /// The statement is for another gateway.
    #[error("a statement for gateway {0}")]
    StatementTarget(Eui),
    /// A command that does not even say its id.
    #[error("a command without a readable id")]
    NoId,
}

/// Reads a message.
///
/// # Errors
/// [`DownlinkError`] says why it is passed over.
pub(crate) fn parse(
    prefix: &Prefix,
    eui: Eui,
    topic: &[u8],
    payload: &[u8],
) -> Result<Downlink, DownlinkError> {
    let topic = String::from_utf8_lossy(topic);
    if prefix.parse(&topic) != Some((eui, Leaf::Down)) {
        return Err(DownlinkError::Topic(limits::shorten(&topic, 256)));
    }
    if payload.len() > limits::MAX_DOWNLINK_BYTES {
        return Err(DownlinkError::TooLarge(payload.len()));
    }
    let downlink: Downlink = serde_json::from_slice(payload)
        .map_err(|error| DownlinkError::Unreadable(limits::shorten(&error.to_string(), 256)))?;
    if downlink.commands.len() > limits::MAX_COMMANDS_PER_DOWNLINK {
        return Err(DownlinkError::TooMany(downlink.commands.len()));
    }
    Ok(downlink)
}

/// The statement, if it is signed and for this gateway.
///
/// # Errors
/// [`DownlinkError`] says why it is not believed.
pub(crate) fn verify_statement(
    envelope: &Envelope,
    ring: &KeyRing,
    eui: Eui,
) -> Result<Statement, DownlinkError> {
    let payload = envelope.verify(Envelope::STATEMENT, ring)?;
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| DownlinkError::StatementUnreadable(limits::shorten(&error.to_string(), 256)))?;
    if statement.eui == eui { Ok(statement) } else { Err(DownlinkError::StatementTarget(statement.eui)) }
}

/// Judges a command.
///
/// # Errors
/// [`DownlinkError::NoId`] when it cannot even be said which command is refused.
pub(crate) fn judge(envelope: &Envelope, gateway: &Gateway<'_>) -> Result<Arrival, DownlinkError> {
    match eligibility::check(envelope, gateway) {
        Ok(command) => Ok(Arrival {
            command_id: command.command_id,
            update_id: Some(command.update_id),
            verdict: Verdict::Eligible {
                kind: command.job.kind().to_owned(),
                expires_at_unix_s: command.expires_at_unix_s,
                total_s: command.limits.clamped().total_s,
            },
        }),
        Err(refusal) => {
            let (command_id, update_id) = claimed_ids(envelope).ok_or(DownlinkError::NoId)?;
            let verdict = Verdict::Refused { reason: refusal.reason, detail: refusal.detail };
            Ok(Arrival { command_id, update_id, verdict })
        }
    }
}
