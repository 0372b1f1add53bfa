//! Keeps the beginning and the end of what a program prints, in bounded memory however much it is.

use std::collections::VecDeque;

use keros_protocol::Output;

/// Head and tail of a stream of bytes: three quarters of the room for the head, one for the tail.
pub(super) struct Bounded {
    head: Vec<u8>,
    head_room: usize,
    tail: VecDeque<u8>,
    tail_room: usize,
    omitted: u64,
}

impl Bounded {
    pub(super) fn new(room: usize) -> Self {
        let tail_room = room / 4;
        Self { head: Vec::new(), head_room: room - tail_room, tail: VecDeque::new(), tail_room, omitted: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let into_head = bytes.len().min(self.head_room - self.head.len());
        self.head.extend_from_slice(&bytes[..into_head]);
        let rest = &bytes[into_head..];
        let skipped = rest.len().saturating_sub(self.tail_room);
        self.tail.extend(&rest[skipped..]);
        let over = self.tail.len().saturating_sub(self.tail_room);
        self.tail.drain(..over);
        self.omitted += (skipped + over) as u64;
    }

    /// As text; a character that a cut went through, and any byte that is not UTF-8, becomes U+FFFD.
    pub(super) fn into_output(mut self) -> Output {
        if self.omitted == 0 {
            self.head.extend(self.tail);
            return Output { head: text(&self.head), ..Output::default() };
        }
        let tail: Vec<u8> = self.tail.into();
        Output { head: text(&self.head), omitted_bytes: self.omitted, tail: text(&tail) }
    }
}

/// Characters in place of bad bytes are three times as long; the bound holds for what is kept of the program's own bytes.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(room: usize, pieces: &[&str]) -> Output {
        let mut bounded = Bounded::new(room);
        pieces.iter().for_each(|piece| bounded.push(piece.as_bytes()));
        bounded.into_output()
    }

    #[test]
    fn short_output_is_whole_and_long_output_keeps_head_and_tail() {
        assert_eq!(output(8, &["abc", "defgh"]).head, "abcdefgh");
        let long = output(8, &["abcdefg", "hijklmnop", "qrstuvwxyz"]);
        assert_eq!((long.head.as_str(), long.omitted_bytes, long.tail.as_str()), ("abcdef", 18, "yz"));
        let none = output(0, &["abc"]);
        assert_eq!((none.head.as_str(), none.omitted_bytes, none.tail.as_str()), ("", 3, ""));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_such() {
        let mut bounded = Bounded::new(8);
        bounded.push(b"a\xffb");
        assert_eq!(bounded.into_output().head, "a\u{fffd}b");
    }
}
