//! What gateway and center say to each other over HTTPS, as JSON. Every answer is judged as one from a stranger.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::place::HostPort;
use crate::topics::Prefix;
use crate::{Eui, KeyError, TrustedKey, UnixSeconds};

/// The most that a request has: a certificate request is some 400 bytes, as base 64 in JSON.
pub const REQUEST_BYTES: usize = 8 * 1024;
/// The most that an answer has: a few authorities of some 2 KiB, a chain, keys of some 120 bytes.
pub const ANSWER_BYTES: usize = 64 * 1024;
/// Authorities: two during a switch, for broker and registry, and room.
const MAX_AUTHORITIES: usize = 8;
/// Keys of one purpose: two during a switch, and room.
const MAX_KEYS: usize = 8;
const MAX_PASSWORD_CHARS: usize = 256;

/// A gateway asks for its place. The key of its request is bound to the token from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueRequest {
    /// Who asks.
    pub eui: Eui,
    /// From the line.
    pub token: String,
    /// A certificate request (PKCS #10) in DER, base 64.
    pub request: String,
}

/// What a gateway needs to reach its center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// For whom this is.
    pub eui: Eui,
    /// The center's time.
    pub time_unix_s: UnixSeconds,
    /// The broker; always with TLS.
    pub broker: HostPort,
    /// First levels of all topics.
    pub topic_prefix: String,
    /// Certificates, PEM: who may have signed those of broker, registry and entrance.
    pub authorities: Vec<String>,
    /// By what the gateway logs in.
    pub login: Login,
    /// Public keys, PEM, that may order jobs.
    pub command_keys: Vec<String>,
    /// Public keys, PEM, that may make statements.
    pub statement_keys: Vec<String>,
}

/// How a gateway logs in at the broker.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Login {
    /// By a certificate for the key of its request.
    Certificate {
        /// It, and what leads to the authority, PEM.
        certificate: String,
    },
    /// By its EUI and this.
    Password {
        /// It.
        password: String,
    },
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate",
            Self::Password { .. } => "Password",
        })
    }
}

/// The gateway has tried and written what it was given: the token is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmRequest {
    /// Who it is.
    pub eui: Eui,
    /// From the line.
    pub token: String,
}

/// A gateway asks for its next certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Who asks.
    pub eui: Eui,
    /// Serial number of the certificate that it has, upper-case hex.
    pub serial: String,
    /// A certificate request for the new key: DER, base 64.
    pub request: String,
    /// [`renewal_message`] signed with the key of the certificate that it has (ECDSA P-256, SHA-256, ASN.1), base 64.
    pub signature: String,
}

/// The next certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// It, and what leads to the authority, PEM.
    pub certificate: String,
}

/// What the old key signs: so no other signature of it can be taken for a renewal.
#[must_use]
pub fn renewal_message(serial: &str, request_der: &[u8]) -> Vec<u8> {
    [b"keros-renew-v1\0", serial.as_bytes(), b"\0", request_der].concat()
}

/// Why the center does not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolProblem {
    /// By name.
    pub reason: EnrolReason,
    /// In words.
    pub detail: String,
}

/// Why, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrolReason {
    /// No token of this center, or it was taken back.
    UnknownToken,
    /// The token is for another gateway.
    OtherGateway,
    /// Its time is over.
    Expired,
    /// A gateway has confirmed with it.
    Used,
    /// Another key has asked with it.
    OtherKey,
    /// The request cannot be read.
    BadRequest,
    /// Too many requests: later.
    TooMany,
    /// The center cannot give log-ins as it runs now.
    NotPossible,
    /// No certificate of this center, or it was revoked.
    UnknownCertificate,
    /// It expired too long ago.
    CertificateExpired,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuedError {
    /// For another gateway.
    #[error("it is for {0}")]
    OtherGateway(Eui),
    /// The prefix.
    #[error("{0}")]
    Prefix(String),
    /// How many there are of something.
    #[error("it has {1} {0}")]
    Count(&'static str, usize),
    /// A PEM text of an authority or a certificate.
    #[error("its {0} is no certificate")]
    Certificate(&'static str),
    /// A key.
    #[error("one of its {0} cannot be used: {1}")]
    Key(&'static str, KeyError),
    /// The password.
    #[error("its password is not one line of 1 to {MAX_PASSWORD_CHARS} visible ASCII characters")]
    Password,
}

impl Issued {
    /// Whether it is for this gateway, complete and within its bounds. Whether certificate and key belong together is for the one who has
    /// the key.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, eui: Eui) -> Result<(), IssuedError> {
        if self.eui != eui {
            return Err(IssuedError::OtherGateway(self.eui));
        }
        self.topic_prefix.parse::<Prefix>().map_err(|error| IssuedError::Prefix(error.to_string()))?;
        check_authorities(&self.authorities)?;
        check_keys("command keys", &self.command_keys)?;
        check_keys("statement keys", &self.statement_keys)?;
        match &self.login {
            Login::Certificate { certificate } if is_certificate_pem(certificate) => Ok(()),
            Login::Certificate { .. } => Err(IssuedError::Certificate("certificate")),
            Login::Password { password } => {
                let is_plain = password.bytes().all(|byte| byte.is_ascii_graphic());
                let length = 1..=MAX_PASSWORD_CHARS;
                if is_plain && length.contains(&password.len()) { Ok(()) } else { Err(IssuedError::Password) }
            }
        }
    }
}

impl Renewed {
    /// Whether it has a certificate, and nothing else that would be written to a file.
    ///
    /// # Errors
    /// When it has not.
    pub fn check(&self) -> Result<(), IssuedError> {
        let is_good = is_certificate_pem(&self.certificate);
        if is_good { Ok(()) } else { Err(IssuedError::Certificate("certificate")) }
    }
}

fn check_authorities(authorities: &[String]) -> Result<(), IssuedError> {
    if !(1..=MAX_AUTHORITIES).contains(&authorities.len()) {
        return Err(IssuedError::Count("authorities", authorities.len()));
    }
    let is_good = authorities.iter().all(|pem| is_certificate_pem(pem));
    if is_good { Ok(()) } else { Err(IssuedError::Certificate("authority")) }
}

fn check_keys(what: &'static str, keys: &[String]) -> Result<(), IssuedError> {
    if !(1..=MAX_KEYS).contains(&keys.len()) {
        return Err(IssuedError::Count(what, keys.len()));
    }
    keys.iter().try_for_each(|pem| {
        TrustedKey::from_pem(pem).map(drop).map_err(|error| IssuedError::Key(what, error))
    })
}

/// Certificates and nothing else: it is written to a file in which other blocks would mean something.
fn is_certificate_pem(text: &str) -> bool {
    let is_plain = |line: &str| line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let mut inside = false;
    let mut blocks = 0;
    for line in text.lines() {
        match (inside, line) {
            (false, "-----BEGIN CERTIFICATE-----") => inside = true,
            (true, "-----END CERTIFICATE-----") => {
                inside = false;
                blocks += 1;
            }
            (true, line) if !line.is_empty() && is_plain(line) => {}
            (false, "") => {}
            _ => return false,
        }
    }
    blocks > 0 && !inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    fn issued() -> Issued {
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public().to_pem();
        Issued {
            eui: EUI,
            time_unix_s: 1_795_000_000,
            broker: "center.example:8883".parse().unwrap(),
            topic_prefix: "keros".to_owned(),
            authorities: vec![PEM.to_owned()],
            login: Login::Password { password: "secret".to_owned() },
            command_keys: vec![key.clone()],
            statement_keys: vec![key],
        }
    }

    #[test]
    fn an_answer_that_a_gateway_could_not_use_is_refused() {
        assert_eq!(issued().check(EUI), Ok(()));
        assert_eq!(issued().check(Eui::from_u64(1)), Err(IssuedError::OtherGateway(EUI)));
        let worse: [fn(&mut Issued); 12] = [
            |issued| issued.topic_prefix = "a/#".to_owned(),
            |issued| issued.authorities.clear(),
            |issued| issued.authorities = vec![PEM.to_owned(); 9],
            |issued| issued.authorities[0] = "x".to_owned(),
            |issued| {
                issued.authorities[0]
                    .push_str("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")
            },
            |issued| issued.command_keys.clear(),
            |issued| issued.statement_keys[0] = "no key".to_owned(),
            |issued| issued.statement_keys = vec![issued.statement_keys[0].clone(); 9],
            |issued| issued.login = Login::Password { password: String::new() },
            |issued| issued.login = Login::Password { password: "a\nb".to_owned() },
            |issued| issued.login = Login::Password { password: "x".repeat(257) },
            |issued| issued.login = Login::Certificate { certificate: PEM[..30].to_owned() },
        ];
        for (number, change) in worse.into_iter().enumerate() {
            let mut issued = issued();
            change(&mut issued);
            assert!(issued.check(EUI).is_err(), "change {number}");
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_still_a_problem() {
        let problem: EnrolProblem =
            serde_json::from_str(r#"{"reason":"from_the_future","detail":"x"}"#).unwrap();
        assert_eq!(problem.reason, EnrolReason::Other);
        assert!(!format!("{:?}", issued()).contains("secret"));
    }
}
