//! By `journalctl`: with matches alone, a clean environment, and nothing that a file of somebody else decides.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{Entry, Query};

/// Where systemd puts it; a search path could be somebody else's.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];
/// A longer line is passed over, bytes: `journalctl` shows fields whole.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// The program, and what it says.
#[derive(Debug)]
pub(super) struct Reader {
    program: Child,
    output: BufReader<ChildStdout>,
}

impl Reader {
    pub(super) fn open(query: &Query) -> io::Result<Self> {
        let mut arguments = vec!["--output=json".to_owned(), "--all".to_owned(), "--no-pager".to_owned()];
        arguments.push("--quiet".to_owned());
        arguments.push(format!("--output-fields={}", Entry::FIELDS));
        arguments.extend(query.lines.map(|lines| format!("--lines={lines}")));
        arguments.extend(query.since_unix_s.map(|since| format!("--since=@{since}")));
        if query.follow {
            arguments.push("--follow".to_owned());
            // Without a number it would begin with ten.
            if query.lines.is_none() {
                arguments.push("--lines=all".to_owned());
            }
        }
        for (number, all) in query.any_of.iter().enumerate() {
            if number > 0 {
                arguments.push("+".to_owned());
            }
            arguments.extend(all.iter().map(|(name, value)| format!("{name}={value}")));
        }
        let mut program = start(&arguments)?;
        let output = program.stdout.take().ok_or_else(|| io::Error::other("journalctl has no output"))?;
        Ok(Self { program, output: BufReader::new(output) })
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = self.output.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            if line.last() != Some(&b'\n') && read as u64 == MAX_LINE_BYTES {
                // The rest of it is not JSON by itself, and is passed over as such.
                continue;
            }
            if let Some(entry) = parse(&line) {
                return Ok(Some(entry));
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // One that follows would go on for ever.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// An entry of `--output=json`: a field is a text, a list of bytes where it is no text, or a list of either where there are several.
fn parse(line: &[u8]) -> Option<Entry> {
    let entry: serde_json::Map<String, Value> = serde_json::from_slice(line).ok()?;
    let unix_us = entry.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
    Some(Entry::from_fields(unix_us, |name| text(entry.get(name)?)))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => match values.first()? {
            Value::Number(_) => {
                let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
                let bytes: Option<Vec<u8>> = values.iter().map(byte).collect();
                Some(String::from_utf8_lossy(&bytes?).into_owned())
            }
            Value::String(first) => Some(first.clone()),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn values_of(field: &str) -> io::Result<Vec<String>> {
    let mut program = start(&[format!("--field={field}")])?;
    let mut text = String::new();
    if let Some(output) = program.stdout.take() {
        output.take(MAX_LINE_BYTES).read_to_string(&mut text)?;
    }
    program.wait()?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn start(arguments: &[String]) -> io::Result<Child> {
    let path = PROGRAMS.iter().find(|path| std::path::Path::new(path).exists());
    let path = path.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no journalctl here"))?;
    let mut program = Command::new(path);
    program.args(arguments).env_clear().env("LANG", "C.UTF-8").current_dir("/");
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_journalctl_prints_is_an_entry_whatever_its_fields_are() {
        let line = r#"{"__REALTIME_TIMESTAMP":"1700000000000001","MESSAGE":[104,105,255],"PRIORITY":"5","UNIT":["a","b"],
            "KEROS_JOB_ID":"7","_UID":null}"#;
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!((entry.unix_us, entry.priority), (1_700_000_000_000_001, 5));
        assert_eq!((entry.message.as_str(), entry.unit.as_deref()), ("hi\u{fffd}", Some("a")));
        assert_eq!(entry.job_id.as_deref(), Some("7"));
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        for line in
            ["", "{}", "[]", "null", r#"{"__REALTIME_TIMESTAMP":"x"}"#, r#"{"__REALTIME_TIMESTAMP":1}"#]
        {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        let odd = r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[999],"PRIORITY":"99"}"#;
        assert_eq!(parse(odd.as_bytes()).unwrap(), Entry { unix_us: 1, priority: 6, ..Entry::default() });
    }
}
