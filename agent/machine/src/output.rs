//! What a program printed, cut down. It must not cut a character in two, nor forget to say how much it left out.

use keros_protocol::{Outcome, Output};

/// The output in an outcome, if it has one.
pub fn output_of(outcome: &mut Outcome) -> Option<&mut Output> {
    match outcome {
        Outcome::Failed { output, .. }
        | Outcome::TimedOut { output, .. }
        | Outcome::Succeeded { differences: output, .. } => output.as_mut(),
        Outcome::Received {}
        | Outcome::Accepted {}
        | Outcome::Running { .. }
        | Outcome::Confirming { .. }
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
