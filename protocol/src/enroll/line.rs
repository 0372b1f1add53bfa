//! The one line that a person carries from the center to a gateway:
//! `KEROS1/<EUI>/<host>:<port>/<85 digits>/<8 digits>`.
//!
//! The long part is base 32 of the time at which it was made (5 bytes, big endian), the token (16) and the pin (32); the last one is the
//! beginning (5 bytes) of the SHA-256 of all before it. Blanks and line ends in it are passed over, and letters may be of either case:
//! it survives mail programs, a terminal's edge and the telephone.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::base32;
use super::place::HostPort;
use super::token::EnrolToken;
use crate::{Eui, UnixSeconds};

const BEGIN: &str = "KEROS";
const VERSION: &str = "1";
const SECRET_BYTES: usize = 5 + 16 + 32;
const CHECK_BYTES: usize = 5;
/// The longest host, all other parts (some 130 characters), and blanks.
const MAX_BYTES: usize = 1024;

/// SHA-256 of an X.509 certificate in DER: of the authority that signed the entrance's certificate, or of that one itself.
pub type Pin = [u8; 32];

/// What the line says.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolLine {
    /// The gateway that it is for.
    pub eui: Eui,
    /// Where it goes: HTTPS.
    pub entrance: HostPort,
    /// Whom it trusts there.
    pub pin: Pin,
    /// By which it is known there.
    pub token: EnrolToken,
    /// When it was made: it is not earlier than that.
    pub issued_at_unix_s: UnixSeconds,
}

/// Why a text is no such line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Something else.
    #[error("this is no enrolment line: it begins with KEROS1/ and is printed by `keros-center enroll`")]
    Other,
    /// A later version.
    #[error("this line is of another version: install the keros-agent of the center's version first")]
    Version,
    /// The end is missing.
    #[error("the line is cut off: copy all of it, to the last 8 letters and digits behind the last /")]
    Cut,
    /// The checksum does not hold.
    #[error("the line is not what the center printed, a character is wrong: copy it again")]
    Altered,
}

impl EnrolLine {
    fn body(&self) -> String {
        let mut secret = Vec::with_capacity(SECRET_BYTES);
        secret.extend_from_slice(&self.issued_at_unix_s.to_be_bytes()[3..]);
        secret.extend_from_slice(&self.token.bytes());
        secret.extend_from_slice(&self.pin);
        format!("{BEGIN}{VERSION}/{}/{}/{}/", self.eui, self.entrance, base32::encode(&secret))
    }
}

fn check(body: &str) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Sha256::digest(body.as_bytes())[..CHECK_BYTES]);
    check
}

impl fmt::Display for EnrolLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body}{}", base32::encode(&check(&body)))
    }
}

/// Without the token.
impl fmt::Debug for EnrolLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolLine({} at {})", self.eui, self.entrance)
    }
}

impl FromStr for EnrolLine {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        if text.len() > MAX_BYTES {
            return Err(LineError::Other);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut parts = text.split('/');
        let first = parts.next().unwrap_or_default().to_ascii_uppercase();
        match first.strip_prefix(BEGIN) {
            Some(VERSION) => {}
            Some("") if !text.contains('/') => return Err(LineError::Cut),
            Some(version) if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(LineError::Version);
            }
            _ => return Err(LineError::Other),
        }
        let parts: Vec<&str> = parts.collect();
        let [eui, entrance, secret, given] = parts[..] else {
            return Err(if parts.len() < 4 { LineError::Cut } else { LineError::Altered });
        };
        if given.len() < 8 {
            return Err(LineError::Cut);
        }
        let secret: [u8; SECRET_BYTES] = base32::decode(secret).ok_or(LineError::Altered)?;
        let (time, rest) = secret.split_at(5);
        let (token, pin) = rest.split_at(16);
        let line = Self {
            eui: eui.parse().map_err(|_| LineError::Altered)?,
            entrance: entrance.parse().map_err(|_| LineError::Altered)?,
            pin: pin.try_into().map_err(|_| LineError::Altered)?,
            token: EnrolToken::from_bytes(token.try_into().map_err(|_| LineError::Altered)?),
            issued_at_unix_s: time.iter().fold(0, |value, byte| value << 8 | UnixSeconds::from(*byte)),
        };
        let given: [u8; CHECK_BYTES] = base32::decode(given).ok_or(LineError::Altered)?;
        if given == check(&line.body()) { Ok(line) } else { Err(LineError::Altered) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> EnrolLine {
        EnrolLine {
            eui: Eui::from_u64(0x7076_FF00_5607_0123),
            entrance: "center.example:8443".parse().unwrap(),
            pin: std::array::from_fn(|at| at as u8),
            token: EnrolToken::from_bytes([0x5a; 16]),
            issued_at_unix_s: 1_795_000_000,
        }
    }

    #[test]
    fn a_line_is_read_back_however_it_was_carried() {
        let text = line().to_string();
        assert!(
            text.len() < 150 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/:.".contains(&b)),
            "{text}"
        );
        for carried in [text.clone(), text.to_lowercase(), format!("  {}\r\n{} \n", &text[..70], &text[70..])]
        {
            assert_eq!(carried.parse(), Ok(line()), "{carried}");
        }
    }

    #[test]
    fn a_line_that_was_cut_off_anywhere_says_so() {
        let text = line().to_string();
        for end in 0..text.len() {
            let error = text[..end].parse::<EnrolLine>().unwrap_err();
            assert_eq!(error, if end < 5 { LineError::Other } else { LineError::Cut }, "{end}");
        }
    }

    #[test]
    fn a_line_with_any_other_character_is_refused() {
        let text = line().to_string();
        for at in 0..text.len() {
            for other in ["2", "Z", "/", "-", "x", "é"] {
                let mut altered = text.clone();
                altered.replace_range(at..=at, other);
                let read = altered.parse::<EnrolLine>();
                assert!(read.is_err() || altered.eq_ignore_ascii_case(&text), "{altered}");
            }
        }
        for (other, error) in [
            ("", LineError::Other),
            ("hello", LineError::Other),
            ("KEROS2/x", LineError::Version),
            ("KEROSX/x", LineError::Other),
            (&format!("{text}A"), LineError::Altered),
            (&format!("{text}/A"), LineError::Altered),
            (&"A".repeat(5000), LineError::Other),
        ] {
            assert_eq!(other.parse::<EnrolLine>(), Err(error), "{other}");
        }
    }
}
