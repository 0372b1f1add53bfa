//! Reads what gateways send. Pure; bad input is a value that is logged and counted, never an error that stops anything.

use keros_protocol::limits::{
    MAX_DIFFERENCES_BYTES, MAX_REPORT_BYTES, MAX_TELEMETRY_BYTES, MAX_TEXT_BYTES, shorten,
};
use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{Eui, Outcome, Presence, Report, ReportPosition, Telemetry};
use serde::Deserialize;

/// Nonces that one telemetry may ask for, and their greatest length.
const MAX_NONCES: usize = 8;
const MAX_NONCE_BYTES: usize = 128;

/// A message that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// How a gateway is.
    Telemetry(Box<Telemetry>),
    /// What became of a command.
    Report(Box<ReceivedReport>),
    /// Whether a gateway is connected.
    Presence {
        /// The gateway.
        eui: Eui,
        /// It is.
        online: bool,
    },
}

impl Incoming {
    /// The gateway that it is of.
    pub(crate) fn eui(&self) -> Eui {
        match self {
            Self::Telemetry(telemetry) => telemetry.eui,
            Self::Report(report) => report.eui,
            Self::Presence { eui, .. } => *eui,
        }
    }
}

/// A report, with the text that it came as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReceivedReport {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Stream and number.
    pub(crate) position: ReportPosition,
    /// Number of the report before it.
    pub(crate) after: u64,
    /// The command that it is about, as the gateway names it.
    pub(crate) command_id: String,
    /// The name of its status.
    pub(crate) status: String,
    /// What happened; absent when this center does not know the status: the report is kept all the same.
    pub(crate) outcome: Option<Outcome>,
    /// What a dry run would change: it is taken out of the outcome, which is shown for many gateways at once.
    pub(crate) differences: Option<String>,
    /// As it came.
    pub(crate) json: String,
}

/// Why a message is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// Not a topic of ours.
    #[error("the topic is not one that gateways send on")]
    Topic,
    /// Greater than allowed.
    #[error("{found} bytes, at most {most} are allowed")]
    TooLarge {
        /// Its size, bytes.
        found: usize,
        /// Allowed, bytes.
        most: usize,
    },
    /// Not what it should be.
    #[error("it cannot be read: {0}")]
    Unparsable(String),
    /// From one gateway in the name of another.
    #[error("it speaks for gateway {0}")]
    OtherGateway(Eui),
}

/// Reads one message.
pub(crate) fn read(prefix: &Prefix, topic: &str, payload: &[u8]) -> Result<Incoming, Unusable> {
    let (eui, leaf) = prefix.parse(topic).ok_or(Unusable::Topic)?;
    match leaf {
        Leaf::Telemetry => telemetry(eui, payload).map(Box::new).map(Incoming::Telemetry),
        Leaf::Report => report(eui, payload).map(Box::new).map(Incoming::Report),
        Leaf::Presence => {
            let presence = Presence::parse(payload)
                .ok_or_else(|| Unusable::Unparsable("neither `online` nor `offline`".to_owned()))?;
            Ok(Incoming::Presence { eui, online: presence == Presence::Online })
        }
        Leaf::Down => Err(Unusable::Topic),
    }
}

fn telemetry(eui: Eui, payload: &[u8]) -> Result<Telemetry, Unusable> {
    bounded(payload, MAX_TELEMETRY_BYTES)?;
    let mut telemetry: Telemetry = parse(payload)?;
    if telemetry.eui != eui {
        return Err(Unusable::OtherGateway(telemetry.eui));
    }
    telemetry.agent_version = clean(&telemetry.agent_version, 64);
    telemetry.codename = telemetry.codename.map(|text| clean(&text, 32)).filter(|text| !text.is_empty());
    telemetry.packages_digest = telemetry.packages_digest.map(|text| clean(&text, 128));
    // JSON has no infinity: what is kept could not be read again.
    telemetry.disks.retain(|disk| disk.used_percent.is_finite());
    telemetry.nonces.retain(|nonce| nonce.len() <= MAX_NONCE_BYTES);
    telemetry.nonces.truncate(MAX_NONCES);
    Ok(telemetry)
}

/// The fields of a report that every version has.
#[derive(Deserialize)]
struct ReportHead {
    eui: Eui,
    #[serde(flatten)]
    position: ReportPosition,
    after: u64,
    command_id: String,
    status: String,
}

/// Reads a report.
pub(super) fn report(eui: Eui, payload: &[u8]) -> Result<ReceivedReport, Unusable> {
    bounded(payload, MAX_REPORT_BYTES)?;
    let head: ReportHead = parse(payload)?;
    if head.eui != eui {
        return Err(Unusable::OtherGateway(head.eui));
    }
    // BIGINT is signed.
    if i64::try_from(head.position.number).is_err() {
        return Err(Unusable::Unparsable("the number is above 2^63 - 1".to_owned()));
    }
    let json = String::from_utf8(payload.to_vec()).map_err(|e| Unusable::Unparsable(e.to_string()))?;
    // One that cannot be read in full is kept all the same, else every later report of the gateway would wait for it.
    let mut outcome = serde_json::from_slice::<Report>(payload).ok().map(|report| report.outcome);
    let differences = outcome.as_mut().and_then(take_differences);
    Ok(ReceivedReport {
        eui,
        position: head.position,
        after: head.after,
        command_id: clean(&head.command_id, 64),
        status: clean(&head.status, 64),
        outcome,
        differences,
        json,
    })
}

fn take_differences(outcome: &mut Outcome) -> Option<String> {
    let Outcome::Succeeded { differences, .. } = outcome else { return None };
    // Room for the words that say how much is left out.
    // PostgreSQL's texts do not hold it.
    let text = differences.take()?.to_string().replace('\0', "\u{fffd}");
    Some(shorten(&text, MAX_DIFFERENCES_BYTES + 128))
}

fn bounded(payload: &[u8], most: usize) -> Result<(), Unusable> {
    if payload.len() > most {
        return Err(Unusable::TooLarge { found: payload.len(), most });
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Unusable> {
    serde_json::from_slice(payload)
        .map_err(|error| Unusable::Unparsable(shorten(&error.to_string(), MAX_TEXT_BYTES)))
}

/// A text for a column and for a screen: no control characters, bounded.
fn clean(text: &str, max_bytes: usize) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    shorten(text.trim(), max_bytes)
}
