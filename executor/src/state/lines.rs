//! The form of a line in the journal: the event's JSON with a checksum as its first member, so that a damaged line is
//! noticed and everything that reads JSON lines can still read it.

use keros_protocol::limits::MAX_EXECUTOR_LINE_BYTES;
use sha2::{Digest as _, Sha256};

/// What comes before the checksum, and after it.
const BEFORE: &[u8] = b"{\"sum\":\"";
const AFTER: &[u8] = b"\",";
/// Hex digits of the checksum: 64 bits of SHA-256.
const DIGITS: usize = 16;
/// The longest line: an event and its checksum.
const MAX_LINE_BYTES: usize = MAX_EXECUTOR_LINE_BYTES + 64;

/// The line for an event that is the JSON object `json`, with its line feed.
pub(crate) fn encode(json: &str) -> Vec<u8> {
    let sum = checksum(json.as_bytes());
    let members = json.get(1..).unwrap_or_default();
    [BEFORE, sum.as_bytes(), AFTER, members.as_bytes(), b"\n"].concat()
}

/// The event's JSON in a line without its line feed; `None` when the line is not as it was written.
pub(crate) fn decode(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(BEFORE)?;
    let (sum, rest) = rest.split_at_checked(DIGITS)?;
    let members = rest.strip_prefix(AFTER)?;
    let json = [b"{", members].concat();
    let intact = checksum(&json).as_bytes() == sum;
    String::from_utf8(json).ok().filter(|_| intact)
}

/// The first 64 bits of SHA-256, as hex.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..DIGITS / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a line that is not as it was written looks like one that a power cut tore: file systems fill such holes with
/// zeros, and no JSON text has one.
pub(crate) fn looks_torn(line: &[u8]) -> bool {
    line.contains(&0)
}

/// Cuts a stream of bytes into lines, of which each is bounded.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    pending: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes and hands over each complete line, without its line feed. A line beyond the bound is handed
    /// over cut, so that it is taken as damaged.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            line(&self.pending);
            self.pending.clear();
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// What came after the last line feed.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.pending
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE_BYTES + 1).saturating_sub(self.pending.len());
        self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_on_disk_is_frozen() {
        let line = encode(r#"{"event":"status","version":"1"}"#);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"sum\":\"6e7d2805339bcff5\",\"event\":\"status\",\"version\":\"1\"}\n"
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let json = r#"{"event":"started","tasks":3}"#;
        let line = encode(json);
        let line = &line[..line.len() - 1];
        assert_eq!(decode(line).as_deref(), Some(json));
        for bit in 0..line.len() * 8 {
            let mut altered = line.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&altered), None, "bit {bit}");
        }
        for end in 0..line.len() {
            assert_eq!(decode(&line[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn lines_are_found_in_any_pieces() {
        for size in 1..8 {
            let mut splitter = Splitter::default();
            let mut lines = Vec::new();
            for piece in b"one\n\nthree\nrest".chunks(size) {
                splitter.push(piece, |line| lines.push(String::from_utf8(line.to_vec()).unwrap()));
            }
            assert_eq!(lines, ["one", "", "three"]);
            assert_eq!(splitter.pending(), b"rest");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_the_bound() {
        let mut splitter = Splitter::default();
        for _ in 0..40 {
            splitter.push(&vec![b'x'; 64 * 1024], |_| ());
        }
        assert_eq!(splitter.pending().len(), MAX_LINE_BYTES + 1);
    }
}
