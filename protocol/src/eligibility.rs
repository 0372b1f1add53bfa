//! May this gateway run this command now? The same pure rules for the agent (to answer at once) and for the executor (which
//! does not believe the agent).

use crate::magic_link::Source;
use crate::{
    Command, CommandId, Envelope, Eui, Job, KerosVersion, KeyRing, RefusalReason, UnixSeconds, UpdateId,
    limits,
};

/// What is known of the gateway when a command is judged.
#[derive(Debug, Clone, Copy)]
pub struct Gateway<'a> {
    /// Its own EUI.
    pub eui: Eui,
    /// Its KerOS version, when it has one.
    pub keros: Option<&'a KerosVersion>,
    /// Keys that may order jobs.
    pub command_keys: &'a KeyRing,
    /// The best guess of the time: the clock, but never below the time floor.
    pub now_unix_s: UnixSeconds,
}

/// Why a command is not started, in both forms of [`crate::Outcome::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// By name.
    pub reason: RefusalReason,
    /// In words.
    pub detail: String,
}

impl Refusal {
    /// A refusal; the detail is cut to [`limits::MAX_TEXT_BYTES`].
    #[must_use]
    pub fn new(reason: RefusalReason, detail: impl AsRef<str>) -> Self {
        Self { reason, detail: limits::shorten(detail.as_ref(), limits::MAX_TEXT_BYTES) }
    }
}

/// The ids that an envelope claims to have, without any check: only to name what is being refused.
#[must_use]
pub fn claimed_ids(envelope: &Envelope) -> Option<(CommandId, Option<UpdateId>)> {
    #[derive(serde::Deserialize)]
    struct Ids {
        command_id: CommandId,
        #[serde(default)]
        update_id: serde_json::Value,
    }
    let ids: Ids = serde_json::from_slice(&envelope.unverified_payload().ok()?).ok()?;
    Some((ids.command_id, serde_json::from_value(ids.update_id).ok()))
}

/// Checks signature, form, target, sizes, expiry, kind and KerOS version, in this order.
///
/// # Errors
/// The first [`Refusal`] that applies.
pub fn check(envelope: &Envelope, gateway: &Gateway<'_>) -> Result<Command, Refusal> {
    let refuse = |reason, detail: &str| Err(Refusal::new(reason, detail));
    let payload = envelope.verify(Envelope::COMMAND, gateway.command_keys).map_err(|error| {
        let reason = match error {
            crate::EnvelopeError::TooLarge { .. } => RefusalReason::TooLarge,
            _ => RefusalReason::BadSignature,
        };
        Refusal::new(reason, error.to_string())
    })?;
    let command: Command = serde_json::from_slice(&payload)
        .map_err(|error| Refusal::new(RefusalReason::Unparsable, format!("the command: {error}")))?;
    if command.eui != gateway.eui {
        let detail = format!("the command is for {}, this gateway is {}", command.eui, gateway.eui);
        return refuse(RefusalReason::WrongTarget, &detail);
    }
    if command.expires_at_unix_s <= gateway.now_unix_s {
        let late_s = gateway.now_unix_s - command.expires_at_unix_s;
        return refuse(RefusalReason::Expired, &format!("the command expired {late_s} s ago"));
    }
    check_job(&command.job, gateway)?;
    Ok(command)
}

fn check_job(job: &Job, gateway: &Gateway<'_>) -> Result<(), Refusal> {
    match job {
        Job::JetPorch { script, vars } => {
            match gateway.keros {
                Some(version) if version.major() == 6 => {}
                Some(version) => {
                    let detail = format!("a JetPorch script needs KerOS 6, this gateway has {version}");
                    return Err(Refusal::new(RefusalReason::NotKeros6, detail));
                }
                None => {
                    let detail = "a JetPorch script needs KerOS 6, this gateway's KerOS version is unknown";
                    return Err(Refusal::new(RefusalReason::NotKeros6, detail));
                }
            }
            if script.len() > limits::MAX_SCRIPT_BYTES {
                let detail =
                    format!("the script has {} bytes, at most {}", script.len(), limits::MAX_SCRIPT_BYTES);
                return Err(Refusal::new(RefusalReason::TooLarge, detail));
            }
            let vars_bytes = serde_json::to_string(vars).map_or(usize::MAX, |text| text.len());
            if vars_bytes > limits::MAX_VARS_BYTES {
                let detail =
                    format!("the variables have {vars_bytes} bytes, at most {}", limits::MAX_VARS_BYTES);
                return Err(Refusal::new(RefusalReason::TooLarge, detail));
            }
            Ok(())
        }
        Job::MagicLink { source, token, .. } => check_source(source, token.as_deref()),
        Job::Unknown { kind } => {
            Err(Refusal::new(RefusalReason::Unsupported, format!("unknown kind of command {kind:?}")))
        }
    }
}

/// Whom it is declared for is in the Magic Link itself: [`crate::magic_link::MagicLink::check`].
fn check_source(source: &str, token: Option<&str>) -> Result<(), Refusal> {
    if !source.is_empty() {
        source
            .parse::<Source>()
            .map_err(|error| Refusal::new(RefusalReason::Unparsable, error.to_string()))?;
    }
    let is_token = |text: &str| {
        text.len() <= limits::MAX_FETCH_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !token.is_none_or(is_token) {
        let most = limits::MAX_FETCH_TOKEN_BYTES;
        let detail = format!("the token for the source has at most {most} printable characters");
        return Err(Refusal::new(RefusalReason::Unparsable, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobLimits, JobOptions, SigningKey};

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    fn key() -> SigningKey {
        SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap()
    }

    fn command(job: Job) -> Command {
        Command {
            command_id: CommandId(uuid::Uuid::from_u128(1)),
            update_id: UpdateId(uuid::Uuid::from_u128(2)),
            eui: EUI,
            issued_at_unix_s: 1000,
            expires_at_unix_s: 2000,
            job,
            limits: JobLimits::default(),
            options: JobOptions::default(),
        }
    }

    fn script() -> Job {
        Job::JetPorch { script: "x".to_owned(), vars: serde_json::Map::new() }
    }

    fn judge(command: &Command, keros: Option<&str>, now_unix_s: u64) -> Result<Command, RefusalReason> {
        let envelope = Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(command).unwrap(), &key());
        let keros: Option<KerosVersion> = keros.map(|text| text.parse().unwrap());
        let ring = KeyRing::new(vec![key().public()]);
        let gateway = Gateway { eui: EUI, keros: keros.as_ref(), command_keys: &ring, now_unix_s };
        check(&envelope, &gateway).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn only_keros_6_runs_scripts() {
        assert!(judge(&command(script()), Some("6.3.1"), 1500).is_ok());
        for keros in [Some("5.10.1-0-gc7e2b007"), Some("4.1.6"), Some("7.0.0"), None] {
            assert_eq!(judge(&command(script()), keros, 1500), Err(RefusalReason::NotKeros6));
        }
    }

    #[test]
    fn each_rule_has_its_name() {
        assert_eq!(judge(&command(script()), Some("6.3.1"), 2000), Err(RefusalReason::Expired));
        let other = Command { eui: Eui::from_u64(1), ..command(script()) };
        assert_eq!(judge(&other, Some("6.3.1"), 1500), Err(RefusalReason::WrongTarget));
        let unknown = command(Job::Unknown { kind: "firmware".to_owned() });
        assert_eq!(judge(&unknown, Some("6.3.1"), 1500), Err(RefusalReason::Unsupported));
        let script = "x".repeat(limits::MAX_SCRIPT_BYTES + 1);
        let large = command(Job::JetPorch { script, vars: serde_json::Map::new() });
        assert_eq!(judge(&large, Some("6.3.1"), 1500), Err(RefusalReason::TooLarge));
    }

    #[test]
    fn a_magic_link_needs_a_source_that_can_be_asked_or_none() {
        let link = |source: &str, token: Option<&str>| Job::MagicLink {
            digest: crate::magic_link::Digest::of(b""),
            source: source.to_owned(),
            token: token.map(str::to_owned),
        };
        let good = "https://center.example/v2/links";
        for keros in [Some("6.3.1"), Some("5.10.1"), None] {
            assert!(judge(&command(link(good, Some("a.b"))), keros, 1500).is_ok());
            assert!(judge(&command(link("", None)), keros, 1500).is_ok());
        }
        for (source, token) in
            [("file:///etc", None), (good, Some("a\r\nb")), (good, Some(&*"x".repeat(1025)))]
        {
            let verdict = judge(&command(link(source, token)), Some("6.3.1"), 1500);
            assert_eq!(verdict, Err(RefusalReason::Unparsable), "{source} {token:?}");
        }
    }

    #[test]
    fn ids_are_found_in_what_is_refused() {
        let payload = br#"{"command_id":"00000000-0000-0000-0000-000000000001","eui":5}"#;
        let envelope = Envelope::sign(Envelope::COMMAND, payload, &key());
        assert_eq!(claimed_ids(&envelope), Some((CommandId(uuid::Uuid::from_u128(1)), None)));
        let envelope = Envelope::sign(Envelope::COMMAND, b"[]", &key());
        assert_eq!(claimed_ids(&envelope), None);
    }
}
