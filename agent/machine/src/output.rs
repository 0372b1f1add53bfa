//! What a program printed, cut down. It must not cut a character in two, nor forget to say how much it left out.

use keros_protocol::{Outcome, Output};

/// The output in an outcome, if it has one.
pub fn output_of(outcome: &mut Outcome) -> Option<&mut Output> {
    match outcome {
        Outcome::Failed { output, .. } | Outcome::TimedOut { output, .. } => output.as_mut(),
        Outcome::Received {}
        | Outcome::Accepted {}
        | Outcome::Running { .. }
        | Outcome::Confirming { .. }
        | Outcome::Succeeded { .. }
        | Outcome::Refused { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Interrupted { .. }
        | Outcome::RolledBack { .. } => None,
    }
}

/// Keeps at most `max_bytes`: half of them of the beginning and half of the end, where both are that long.
pub fn shorten_output(output: &mut Output, max_bytes: usize) {
    let (head, tail) = (output.head.len(), output.tail.len());
    if head + tail <= max_bytes {
        return;
    }
    let head_kept = (max_bytes - tail.min(max_bytes / 2)).min(head);
    let head_end = (0..=head_kept).rev().find(|end| output.head.is_char_boundary(*end)).unwrap_or(0);
    let tail_kept = (max_bytes - head_kept).min(tail);
    let tail_start =
        (tail - tail_kept..=tail).find(|start| output.tail.is_char_boundary(*start)).unwrap_or(tail);
    output.head.truncate(head_end);
    output.tail.drain(..tail_start);
    output.omitted_bytes += (head - head_end + tail_start) as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(head: &str, tail: &str, max_bytes: usize) -> (String, u64, String) {
        let mut output = Output { head: head.to_owned(), omitted_bytes: 0, tail: tail.to_owned() };
        shorten_output(&mut output, max_bytes);
        (output.head, output.omitted_bytes, output.tail)
    }

    #[test]
    fn both_ends_are_kept_and_all_bytes_are_counted() {
        let is = |head: &str, omitted, tail: &str| (head.to_owned(), omitted, tail.to_owned());
        assert_eq!(shortened("abc", "def", 6), is("abc", 0, "def"));
        assert_eq!(shortened("abcdef", "ghijkl", 6), is("abc", 6, "jkl"));
        assert_eq!(shortened("abcdefgh", "", 6), is("abcdef", 2, ""));
        assert_eq!(shortened("a", "bcdefgh", 6), is("a", 2, "defgh"));
        assert_eq!(shortened("éé", "éé", 3), is("é", 6, ""), "characters stay whole");
        assert_eq!(shortened("abc", "def", 0), is("", 6, ""));
    }
}
