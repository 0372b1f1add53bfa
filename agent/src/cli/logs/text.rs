//! One entry as a line for a person.

use keros_protocol::text::printable;
use keros_service::journal::Entry;

use crate::cli::time::utc;

/// The beginning of an id that tells jobs apart: its time.
const JOB_CHARS: usize = 13;

/// Time, program, message; and the job, where not all lines are about one.
pub(super) fn line(entry: &Entry, of_one_job: bool) -> String {
    if entry.unix_us == 0 {
        // A line of a file: it has all that in it.
        return format!("{}\n", printable(&entry.message));
    }
    let program = entry.program.as_deref().or(entry.unit.as_deref()).unwrap_or("?");
    let mark = match entry.priority {
        0..=3 => "error: ",
        4 => "warning: ",
        _ => "",
    };
    let mut text = format!("{}  {:14}  ", utc(entry.unix_us / 1_000_000), printable(program));
    text.push_str(mark);
    text.push_str(&printable(&entry.message));
    if let Some(job) = entry.job_id.as_ref().filter(|_| !of_one_job) {
        let job: String = printable(job).chars().take(JOB_CHARS).collect();
        text.push_str(&format!("  [job {job}]"));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_time_program_and_job_and_moves_no_terminal() {
        let entry = Entry {
            unix_us: 1_700_000_000_000_000,
            program: Some("keros-executor".to_owned()),
            priority: 4,
            message: "job ended\x1b[2J".to_owned(),
            job_id: Some("0192f0ab-1234-7000-8000-000000000000".to_owned()),
            ..Entry::default()
        };
        let shown = "2023-11-14 22:13:20 UTC  keros-executor  warning: job ended\\u{1b}[2J";
        assert_eq!(line(&entry, true), format!("{shown}\n"));
        assert_eq!(line(&entry, false), format!("{shown}  [job 0192f0ab-1234]\n"));
    }
}
