//! Files that notice when a byte of them has changed: a JSON object whose first field is the checksum of all the rest. What an
//! older version wrote has none, and is known by how it begins; an older version passes over the field.

use sha2::{Digest as _, Sha256};

const BEGIN: &[u8] = b"{\"checksum\":\"sha256:";
const HEX_BYTES: usize = 64;
const END: &[u8] = b"\",";

/// Adds the checksum to a JSON object that has at least one field.
pub(crate) fn seal(object: &[u8]) -> Vec<u8> {
    let fields = object.strip_prefix(b"{").unwrap_or(object);
    [BEGIN, hex_digest(fields).as_bytes(), END, fields].concat()
}

/// What a file of this content is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Its checksum holds.
    Whole,
    /// It has none, and begins as an older version began it.
    Older,
}

/// Checks a file's content. `older`: how a file without a checksum begins.
///
/// # Errors
/// In words, when it was changed.
pub(crate) fn check(content: &[u8], older: &str) -> Result<Seal, String> {
    if content.starts_with(older.as_bytes()) {
        return Ok(Seal::Older);
    }
    let sealed = content.strip_prefix(BEGIN).and_then(|rest| rest.split_at_checked(HEX_BYTES));
    let sealed = sealed.and_then(|(hex, rest)| Some((hex, rest.strip_prefix(END)?)));
    match sealed {
        Some((hex, fields)) if hex_digest(fields).as_bytes() == hex => Ok(Seal::Whole),
        Some(_) => Err("its checksum does not hold".to_owned()),
        None => Err("it does not begin as such a file does".to_owned()),
    }
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_object_is_still_json_and_every_change_shows() {
        let sealed = seal(br#"{"version":1,"list":[1,2]}"#);
        let read: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(read["list"][1], 2);
        assert_eq!(check(&sealed, "{\"version\":"), Ok(Seal::Whole));
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[index] ^= 1 << bit;
                assert!(check(&flipped, "{\"version\":").is_err(), "byte {index}, bit {bit}");
            }
        }
        for length in 0..sealed.len() {
            assert!(check(&sealed[..length], "{\"version\":").is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn what_an_older_version_wrote_is_known_by_how_it_begins() {
        assert_eq!(check(br#"{"version":1}"#, "{\"version\":"), Ok(Seal::Older));
        assert!(check(br#"{"virsion":1}"#, "{\"version\":").is_err());
    }
}
