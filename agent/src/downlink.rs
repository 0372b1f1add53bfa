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
                link: command.job.link(),
                by_hand: false,
            },
        }),
        Err(refusal) => {
            let (command_id, update_id) = claimed_ids(envelope).ok_or(DownlinkError::NoId)?;
            let verdict = Verdict::Refused { reason: refusal.reason, detail: refusal.detail };
            Ok(Arrival { command_id, update_id, verdict })
        }
    }
}

#[cfg(test)]
mod tests {
    use keros_protocol::{
        Command, CommandId, Job, JobLimits, JobOptions, KerosVersion, RefusalReason, SigningKey, UpdateId,
    };

    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
    }

    fn ring(seed: u8) -> KeyRing {
        KeyRing::new(vec![key(seed).public()])
    }

    fn statement(eui: Eui, seed: u8) -> Envelope {
        let text = format!(r#"{{"eui":"{eui}","time_unix_s":1800000000}}"#);
        Envelope::sign(Envelope::STATEMENT, text.as_bytes(), &key(seed))
    }

    fn command(eui: Eui) -> Envelope {
        let command = Command {
            command_id: CommandId(uuid::Uuid::from_u128(7)),
            update_id: UpdateId(uuid::Uuid::from_u128(8)),
            eui,
            issued_at_unix_s: 1000,
            expires_at_unix_s: 2000,
            job: Job::JetPorch { script: "x".to_owned(), vars: serde_json::Map::new() },
            limits: JobLimits { total_s: 999_999, ..JobLimits::default() },
            options: JobOptions::default(),
        };
        Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&command).unwrap(), &key(1))
    }

    fn judged(envelope: &Envelope, now_unix_s: u64) -> Result<Verdict, DownlinkError> {
        let keros: KerosVersion = "6.3.1".parse().unwrap();
        let command_keys = ring(1);
        let gateway = Gateway { eui: EUI, keros: Some(&keros), command_keys: &command_keys, now_unix_s };
        judge(envelope, &gateway).map(|arrival| {
            assert_eq!(
                arrival.command_id,
                CommandId(uuid::Uuid::from_u128(7)),
                "refusals name their command"
            );
            arrival.verdict
        })
    }

    fn reason(envelope: &Envelope, now_unix_s: u64) -> RefusalReason {
        match judged(envelope, now_unix_s) {
            Ok(Verdict::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_this_gateways_topic_is_read() {
        let prefix = Prefix::default();
        let read = |topic: &str, payload: &[u8]| parse(&prefix, EUI, topic.as_bytes(), payload);
        assert_eq!(read("keros/v1/7076FF0056070123/down", b"{}"), Ok(Downlink::default()));
        for topic in ["keros/v1/7076FF0056070124/down", "keros/v1/7076FF0056070123/report", "x", ""] {
            assert!(matches!(read(topic, b"{}"), Err(DownlinkError::Topic(_))), "{topic}");
        }
        assert!(matches!(parse(&prefix, EUI, &[0xff, 0xfe], b"{}"), Err(DownlinkError::Topic(_))));
    }

    #[test]
    fn what_is_malformed_or_too_large_is_named() {
        let prefix = Prefix::default();
        let read = |payload: &[u8]| parse(&prefix, EUI, b"keros/v1/7076FF0056070123/down", payload);
        for payload in
            ["", "{", "[5]", "5", r#"{"commands":5}"#, r#"{"statement":{}}"#, "{\"nudge\":\"yes\"}"]
        {
            assert!(matches!(read(payload.as_bytes()), Err(DownlinkError::Unreadable(_))), "{payload}");
        }
        assert!(matches!(read(&vec![b' '; 10 * 1024 * 1024]), Err(DownlinkError::TooLarge(_))));
        let many = Downlink { commands: vec![command(EUI); 17], ..Downlink::default() };
        assert_eq!(read(&serde_json::to_vec(&many).unwrap()), Err(DownlinkError::TooMany(17)));
        let deep = format!("{{\"later\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(deep.as_bytes()), Ok(Downlink::default()), "an unknown field costs no stack");
    }

    #[test]
    fn a_statement_must_be_signed_unaltered_and_for_this_gateway() {
        assert_eq!(verify_statement(&statement(EUI, 2), &ring(2), EUI).unwrap().time_unix_s, 1_800_000_000);
        let other = Eui::from_u64(5);
        assert_eq!(
            verify_statement(&statement(other, 2), &ring(2), EUI),
            Err(DownlinkError::StatementTarget(other))
        );
        let wrong_key = verify_statement(&statement(EUI, 1), &ring(2), EUI);
        assert!(matches!(wrong_key, Err(DownlinkError::Statement(EnvelopeError::UnknownKey(_)))));
        let mut unsigned = statement(EUI, 2);
        unsigned.signatures.clear();
        assert!(verify_statement(&unsigned, &ring(2), EUI).is_err());
        let altered = Envelope { payload: statement(other, 2).payload, ..statement(EUI, 2) };
        assert!(matches!(
            verify_statement(&altered, &ring(2), EUI),
            Err(DownlinkError::Statement(EnvelopeError::BadSignature(_)))
        ));
        // A key that may order jobs may not state, and the other way round.
        assert!(verify_statement(&command(EUI), &ring(1), EUI).is_err());
    }

    #[test]
    fn commands_are_judged_by_name() {
        let eligible = judged(&command(EUI), 1500).unwrap();
        assert!(matches!(eligible, Verdict::Eligible { expires_at_unix_s: 2000, total_s: 86_400, .. }));
        assert_eq!(reason(&command(EUI), 2000), RefusalReason::Expired);
        assert_eq!(reason(&command(Eui::from_u64(5)), 1500), RefusalReason::WrongTarget);
        let mut unsigned = command(EUI);
        unsigned.signatures.clear();
        assert_eq!(reason(&unsigned, 1500), RefusalReason::BadSignature);
        let altered = Envelope { payload: command(Eui::from_u64(5)).payload, ..command(EUI) };
        assert_eq!(reason(&altered, 1500), RefusalReason::BadSignature);
        let nameless = Envelope { payload: "bm90IGpzb24=".to_owned(), ..command(EUI) };
        assert_eq!(judged(&nameless, 1500), Err(DownlinkError::NoId));
    }
}
