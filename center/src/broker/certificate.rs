//! Finds the one common name in an X.509 certificate (RFC 5280) that the TLS library has verified already. It must not
//! judge the certificate.

/// Object identifier 2.5.4.3, `commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// The subject's common name; `None` when there is none, more than one, or one in an unusual encoding.
pub(crate) fn common_name(certificate_der: &[u8]) -> Option<String> {
    let (certificate, _) = value_of(SEQUENCE, certificate_der)?;
    let (to_be_signed, _) = value_of(SEQUENCE, certificate)?;
    let (tag, _, after_version) = element(to_be_signed)?;
    let rest = if tag == EXPLICIT_VERSION { after_version } else { to_be_signed };
    // serialNumber, signature, issuer, validity, subject
    let rest = (0..4).try_fold(rest, |rest, _| element(rest).map(|(_, _, rest)| rest))?;
    let (mut names, _) = value_of(SEQUENCE, rest)?;
    let mut found = None;
    while !names.is_empty() {
        let (mut set, rest) = value_of(SET, names)?;
        names = rest;
        while !set.is_empty() {
            let (attribute, rest) = value_of(SEQUENCE, set)?;
            set = rest;
            let (kind, value) = value_of(OBJECT_IDENTIFIER, attribute)?;
            if kind == COMMON_NAME && found.replace(text(value)?).is_some() {
                return None;
            }
        }
    }
    found
}

fn text(der: &[u8]) -> Option<String> {
    let (tag, value, _) = element(der)?;
    let is_text = matches!(tag, UTF8_STRING | PRINTABLE_STRING);
    is_text.then(|| String::from_utf8(value.to_vec()).ok()).flatten()
}

/// The value of the first element, which must have this tag, and what follows the element.
fn value_of(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, _, _)| *found == tag).map(|(_, value, rest)| (value, rest))
}

/// Tag, value and rest of the first DER element (X.690, section 8.1; definite lengths of up to four bytes).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let long = der(0x30, &[&[0; 300]]);
        let fields: [&[u8]; 6] =
            [if version { &version_der } else { &[] }, &[2, 1, 7], &long, &issuer, &long, &subject];
        der(SEQUENCE, &[&der(SEQUENCE, &fields), &long])
    }

    #[test]
    fn the_subjects_name_is_found_not_the_issuers() {
        let country = name(&[0x55, 0x04, 0x06], PRINTABLE_STRING, "FR");
        let own = name(COMMON_NAME, UTF8_STRING, "7076FF0056070123");
        for version in [true, false] {
            let der = certificate(version, &[country.clone(), own.clone()]);
            assert_eq!(common_name(&der).as_deref(), Some("7076FF0056070123"));
        }
    }

    #[test]
    fn no_name_two_names_and_odd_encodings_are_none() {
        let own = name(COMMON_NAME, UTF8_STRING, "A");
        assert_eq!(common_name(&certificate(true, &[])), None);
        assert_eq!(common_name(&certificate(true, &[own.clone(), own])), None);
        assert_eq!(common_name(&certificate(true, &[name(COMMON_NAME, 0x1e, "A")])), None);
    }

    #[test]
    fn cut_off_anywhere_it_is_none_and_no_panic() {
        let whole = certificate(true, &[name(COMMON_NAME, UTF8_STRING, "7076FF0056070123")]);
        for end in 0..whole.len() {
            assert_eq!(common_name(&whole[..end]), None, "cut at {end}");
        }
    }
}
