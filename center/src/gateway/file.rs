//! Lists of gateways as CSV (RFC 4180): `eui,name,description,labels`, a line for each gateway. Pure; it reads bytes and gives values.

use std::collections::BTreeSet;

use keros_protocol::Eui;
use keros_protocol::limits::shorten;

use super::label;

/// The columns that are read; the first is required. Labels have blanks between.
const COLUMNS: [&str; 4] = ["eui", "name", "description", "labels"];

/// The columns of a file that the center writes. Such a file can be read again: what is no property of the gateway is passed over.
pub(crate) const WRITTEN: [&str; 13] = [
    "eui",
    "name",
    "description",
    "labels",
    "status",
    "last_telemetry_unix_s",
    "model",
    "keros_version",
    "agent_version",
    "groups",
    "customer_id",
    "retired",
    "location",
];

/// Lines of a file, and errors that are told of it. A file of 2 MiB, the most that a request may have, holds some 20,000 lines of 100 bytes.
pub(crate) const MAX_LINES: usize = 20_000;
pub(crate) const MAX_ERRORS: usize = 100;

/// A gateway that is to be declared. What its file has no column for stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counted from 1, with the head.
    pub(crate) line: u64,
    /// The gateway.
    pub(crate) eui: Eui,
    /// Its name; empty for none.
    pub(crate) name: Option<String>,
    /// Free text.
    pub(crate) description: Option<String>,
    /// Its labels.
    pub(crate) labels: Option<Vec<String>>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineError {
    /// Counted from 1, with the head.
    pub(crate) line: u64,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// Reads a file: its lines, and what is wrong with the others. `check` says what the service refuses of a name or a description.
pub(crate) fn read(
    bytes: &[u8],
    check: impl Fn(Option<&str>, Option<&str>) -> Option<String>,
) -> (Vec<Line>, Vec<LineError>) {
    let mut errors = Vec::new();
    // Spreadsheets write a byte order mark, and semicolons where the comma is in numbers.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // The reader counts lines by their line feeds, and takes one after a carriage return for the next line's.
    let unix: Vec<u8>;
    let bytes = if bytes.contains(&b'\r') {
        let text = bytes
            .iter()
            .enumerate()
            .filter(|(at, byte)| **byte != b'\r' || bytes.get(at + 1) != Some(&b'\n'));
        unix = text.map(|(_, byte)| *byte).collect();
        &unix[..]
    } else {
        bytes
    };
    if let Some(error) = open_quote(bytes) {
        return (Vec::new(), vec![error]);
    }
    let head_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let delimiter = if bytes[..head_end].contains(&b';') { b';' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).flexible(true).from_reader(bytes);
    let head = reader.headers().map_err(csv_error);
    let (places, cells) = match head.and_then(|head| columns(head).map(|places| (places, head.len()))) {
        Ok(head) => head,
        Err(message) => return (Vec::new(), vec![LineError { line: 1, message }]),
    };
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for record in reader.records() {
        if lines.len() + errors.len() >= MAX_LINES || errors.len() >= MAX_ERRORS {
            let message =
                format!("the file is read no further: at most {MAX_LINES} lines, {MAX_ERRORS} errors");
            errors.push(LineError { line: 0, message });
            break;
        }
        let position = record.as_ref().map_or_else(csv::Error::position, csv::StringRecord::position);
        let at = position.map(csv::Position::line);
        let line = match record {
            Ok(record) => one(&record, &places, cells, at.unwrap_or(0)),
            Err(error) => Err(csv_error(error)),
        };
        let line = line.and_then(|line| {
            if !seen.insert(line.eui) {
                return Err(format!("gateway {} is in the file already", line.eui));
            }
            check(line.name.as_deref(), line.description.as_deref()).map_or(Ok(line), Err)
        });
        match line {
            Ok(line) => lines.push(line),
            Err(message) => errors.push(LineError { line: at.unwrap_or(0), message }),
        }
    }
    if lines.is_empty() && errors.is_empty() {
        errors.push(LineError { line: 1, message: "the file names no gateway".to_owned() });
    }
    (lines, errors)
}

/// A quote that is not closed takes all lines after it for one text.
fn open_quote(bytes: &[u8]) -> Option<LineError> {
    let is_odd = |line: &[u8]| line.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    let odd = bytes.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| is_odd(line));
    // A text of several lines begins in one such line and ends in another.
    let lines: Vec<u64> = odd.map(|(_, line)| line).collect();
    let line = *lines.last().filter(|_| lines.len() % 2 == 1)?;
    let message =
        "a quote in this line, or in one before it, is not closed: inside a text it is written twice"
            .to_owned();
    Some(LineError { line, message })
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn csv_error(error: csv::Error) -> String {
    let line = error.position().map_or(String::new(), |position| format!(" near line {}", position.line()));
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => format!("the text{line} is not UTF-8: save the file as \"CSV UTF-8\""),
        _ => error.to_string(),
    }
}

/// Where each of [`COLUMNS`] is.
fn columns(head: &csv::StringRecord) -> Result<[Option<usize>; 4], String> {
    let mut places = [None; 4];
    let is_passed_over = |name: &str| {
        let mut written = WRITTEN.iter().skip(COLUMNS.len());
        written.any(|column| column.eq_ignore_ascii_case(name))
    };
    for (at, name) in head.iter().enumerate().filter(|(_, name)| !is_passed_over(name)) {
        let known = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name));
        let slot = known.and_then(|known| places.get_mut(known));
        match slot {
            Some(slot) if slot.is_none() => *slot = Some(at),
            Some(_) => return Err(format!("the column {name:?} is there twice")),
            None => {
                let name = shorten(name, 40);
                return Err(format!(
                    "no column is named {name:?}: the first line names them: {}",
                    COLUMNS.join(",")
                ));
            }
        }
    }
    if places[0].is_none() {
        return Err(format!("the first line has to name the column eui: {}", COLUMNS.join(",")));
    }
    Ok(places)
}

fn one(
    record: &csv::StringRecord,
    places: &[Option<usize>; 4],
    cells: usize,
    line: u64,
) -> Result<Line, String> {
    if record.len() > cells {
        return Err(
            "the line has more cells than the first one: put quotes around a text with commas".to_owned()
        );
    }
    let cell =
        |column: usize| places.get(column).copied().flatten().map(|at| plain(record.get(at).unwrap_or("")));
    let eui = cell(0).unwrap_or_default();
    let eui: Eui = eui.parse().map_err(|error| format!("{:?}: {error}", shorten(&eui, 40)))?;
    let labels = cell(3).map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    if let Some(refusal) = labels.as_deref().and_then(label::refusal) {
        return Err(refusal);
    }
    Ok(Line { line, eui, name: cell(1), description: cell(2), labels })
}

/// What spreadsheets take for a formula when a cell begins with it.
fn begins_a_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A cell that no spreadsheet takes for a formula: an apostrophe stands before what begins one.
pub(crate) fn defused(text: &str) -> String {
    let bare = text.trim_start_matches('\'');
    if begins_a_formula(text) || (bare.len() < text.len() && begins_a_formula(bare)) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// The other way round: what [`defused`] wrote.
fn plain(text: &str) -> String {
    match text.strip_prefix('\'') {
        Some(rest) if begins_a_formula(rest.trim_start_matches('\'')) => rest.to_owned(),
        _ => text.to_owned(),
    }
}
