//! A report as it goes over the wire, within its limit.

use keros_machine::{output_of, shorten_output};
use keros_protocol::{Outcome, Report, limits};

/// The report's JSON, at most [`limits::MAX_REPORT_BYTES`]: what a program printed is halved until it fits.
pub(crate) fn to_json(mut report: Report) -> Vec<u8> {
    loop {
        // Serialising plain fields to memory cannot fail; an empty message would be passed over by the center.
        let payload = serde_json::to_vec(&report).unwrap_or_default();
        if payload.len() <= limits::MAX_REPORT_BYTES || !halve(&mut report.outcome) {
            return payload;
        }
    }
}

/// Keeps half of it. `false` when nothing is left to leave out.
fn halve(outcome: &mut Outcome) -> bool {
    let Some(output) = output_of(outcome) else { return false };
    let bytes = output.head.len() + output.tail.len();
    shorten_output(output, bytes / 2);
    bytes > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_protocol::{CommandId, Eui, Output, ReportPosition, Summary};

    #[test]
    fn an_output_that_json_makes_too_long_is_shortened_at_both_ends() {
        let output =
            Output { head: "\u{1}".repeat(120_000), tail: "\u{2}é".repeat(20_000), omitted_bytes: 5 };
        let report = Report {
            eui: Eui::from_u64(1),
            position: ReportPosition { stream: uuid::Uuid::nil(), number: 1 },
            after: 0,
            command_id: CommandId(uuid::Uuid::nil()),
            update_id: None,
            time_unix_s: 0,
            outcome: Outcome::Failed {
                task: None,
                exit_code: None,
                message: String::new(),
                output: Some(output),
                summary: Summary::default(),
            },
        };
        let payload = to_json(report);
        assert!(payload.len() <= limits::MAX_REPORT_BYTES);
        let read: Report = serde_json::from_slice(&payload).unwrap();
        let Outcome::Failed { output: Some(output), .. } = read.outcome else { panic!("{read:?}") };
        assert_eq!(output.omitted_bytes as usize + output.head.len() + output.tail.len(), 180_005);
        assert!(output.tail.ends_with('é') && !output.head.is_empty());
    }
}
