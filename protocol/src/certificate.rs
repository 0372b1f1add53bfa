//! Reads the little of X.509 certificates (RFC 5280) and certificate requests (RFC 2986) that gateway and center must know. It must not
//! judge a certificate: the TLS library does that.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::UnixSeconds;
use crate::der::{
    self, Element, Elements, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, UTC_TIME, common_name,
};

const EXPLICIT_VERSION: u8 = 0xa0;
/// Object identifiers 1.2.840.10045.2.1 (an elliptic curve's key) and 1.2.840.10045.3.1.7 (P-256), as in a key's algorithm.
const EC_P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
/// Object identifier 1.2.840.10045.4.3.2, ECDSA with SHA-256.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// A point of P-256, uncompressed: 4 and both coordinates.
const POINT_BYTES: usize = 65;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Upper-case hex, without zeros in front.
    pub serial: String,
    /// The subject's common name; `None` when there is not exactly one.
    pub common_name: Option<String>,
    /// Valid from then.
    pub not_before_unix_s: UnixSeconds,
    /// Valid until then.
    pub not_after_unix_s: UnixSeconds,
    /// `SubjectPublicKeyInfo`, DER.
    pub public_key: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate; `None` when it is none.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut parts = Elements(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
        let mut serial = parts.next()?;
        if serial.tag == EXPLICIT_VERSION {
            serial = parts.next()?;
        }
        let _signature = parts.take(SEQUENCE)?;
        let _issuer = parts.take(SEQUENCE)?;
        let mut validity = parts.enter(SEQUENCE)?;
        let subject = parts.enter(SEQUENCE)?;
        let public_key = parts.take(SEQUENCE)?;
        Some(Self {
            serial: serial_text(serial)?,
            common_name: common_name(subject),
            not_before_unix_s: time(validity.next()?)?,
            not_after_unix_s: time(validity.next()?)?,
            public_key: public_key.whole.to_vec(),
        })
    }
}

/// A certificate request that its own key has signed: ECDSA on P-256, the one kind that gateways make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The subject's common name.
    pub common_name: String,
    /// The point of P-256, 65 bytes.
    pub point: Vec<u8>,
}

impl CertificateRequest {
    /// Reads and verifies a request; `None` when it is none, or not of this kind. Its attributes are not looked at: the center says what
    /// goes into a certificate.
    #[must_use]
    pub fn verified(der: &[u8]) -> Option<Self> {
        let mut outer = Elements(der);
        let mut parts = outer.enter(SEQUENCE)?;
        let signed = parts.take(SEQUENCE)?;
        let algorithm = parts.enter(SEQUENCE)?.take(OBJECT_IDENTIFIER)?;
        let signature = parts.next()?;
        let mut info = Elements(signed.value);
        let _version = info.take(INTEGER)?;
        let common_name = common_name(info.enter(SEQUENCE)?)?;
        let point = p256_point(info.take(SEQUENCE)?.whole)?;
        let is_whole = outer.is_empty() && parts.is_empty() && algorithm.value == ECDSA_WITH_SHA256;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        let is_signed = key.verify(signed.whole, der::bits(&signature)?).is_ok();
        (is_whole && is_signed).then(|| Self { common_name, point: point.to_vec() })
    }
}

/// The point of a `SubjectPublicKeyInfo` of P-256, 65 bytes; `None` for keys of another kind.
#[must_use]
pub fn p256_point(public_key: &[u8]) -> Option<&[u8]> {
    let mut parts = Elements(public_key).enter(SEQUENCE)?;
    let algorithm = parts.take(SEQUENCE)?;
    let point = der::bits(&parts.next()?)?;
    (algorithm.value == EC_P256 && point.len() == POINT_BYTES).then_some(point)
}

fn serial_text(serial: Element<'_>) -> Option<String> {
    if serial.tag != INTEGER {
        return None;
    }
    let digits: String = serial.value.iter().map(|byte| format!("{byte:02X}")).collect();
    let digits = digits.trim_start_matches('0');
    Some(if digits.is_empty() { "0".to_owned() } else { digits.to_owned() })
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
fn time(element: Element<'_>) -> Option<UnixSeconds> {
    let text = std::str::from_utf8(element.value).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (element.tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let is_time =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    // What was before 1970 is long over in any case.
    is_time.then(|| u64::try_from(seconds).unwrap_or(0))
}

/// Days from 1970-01-01 (the proleptic Gregorian calendar; years are counted from March).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: u8 = der::SET;
    const UTF8_STRING: u8 = der::UTF8_STRING;
    const PRINTABLE_STRING: u8 = der::PRINTABLE_STRING;
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let mut out = vec![tag];
        match u8::try_from(value.len()) {
            Ok(length) if length < 0x80 => out.push(length),
            _ => out.extend([0x82, (value.len() >> 8) as u8, value.len() as u8]),
        }
        [out, value].concat()
    }

    fn name(kind: &[u8], tag: u8, text: &str) -> Vec<u8> {
        let attribute = der(SEQUENCE, &[&der(OBJECT_IDENTIFIER, &[kind]), &der(tag, &[text.as_bytes()])]);
        der(SET, &[&attribute])
    }

    fn certificate(version: bool, names: &[Vec<u8>]) -> Vec<u8> {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let subject = der(SEQUENCE, &names);
        let issuer = der(SEQUENCE, &[&name(COMMON_NAME, UTF8_STRING, "the authority")]);
        let version_der = der(EXPLICIT_VERSION, &[&[2, 1, 2]]);
        let validity = der(
            SEQUENCE,
            &[&der(UTC_TIME, &[b"261101000000Z"]), &der(GENERALIZED_TIME, &[b"20500229235959Z"])],
        );
        let long = der(0x30, &[&[0; 300]]);
        let fields: [&[u8]; 7] = [
            if version { &version_der } else { &[] },
            &[2, 2, 0, 0xab],
            &long,
            &issuer,
            &validity,
            &subject,
            &long,
        ];
        der(SEQUENCE, &[&der(SEQUENCE, &fields), &long])
    }

    #[test]
    fn the_subjects_name_is_found_not_the_issuers() {
        let country = name(&[0x55, 0x04, 0x06], PRINTABLE_STRING, "FR");
        let own = name(COMMON_NAME, UTF8_STRING, "7076FF0056070123");
        for version in [true, false] {
            let read = Certificate::parse(&certificate(version, &[country.clone(), own.clone()])).unwrap();
            assert_eq!(read.common_name.as_deref(), Some("7076FF0056070123"));
            assert_eq!((read.serial.as_str(), read.not_before_unix_s), ("AB", 1_793_491_200));
        }
    }

    #[test]
    fn no_name_two_names_and_odd_encodings_are_none() {
        let own = name(COMMON_NAME, UTF8_STRING, "A");
        let common_name =
            |names: &[Vec<u8>]| Certificate::parse(&certificate(true, names)).unwrap().common_name;
        assert_eq!(common_name(&[]), None);
        assert_eq!(common_name(&[own.clone(), own]), None);
        assert_eq!(common_name(&[name(COMMON_NAME, 0x1e, "A")]), None);
    }

    #[test]
    fn cut_off_anywhere_it_is_none_and_no_panic() {
        let whole = certificate(true, &[name(COMMON_NAME, UTF8_STRING, "7076FF0056070123")]);
        for end in 0..whole.len() {
            assert_eq!(Certificate::parse(&whole[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn times_are_those_of_the_standard() {
        let read = |tag, text: &str| {
            let whole = der(tag, &[text.as_bytes()]);
            time(Elements(&whole).next().unwrap())
        };
        assert_eq!(read(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(read(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(read(UTC_TIME, "500101000000Z"), Some(0));
        assert_eq!(read(GENERALIZED_TIME, "20240229120000Z"), Some(1_709_208_000));
        assert_eq!(read(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for text in
            ["", "Z", "241301000000Z", "240101240000Z", "2401010000Z", "2401010000+0Z", "24010100000éZ"]
        {
            assert_eq!(read(UTC_TIME, text), None, "{text}");
        }
    }
}
