//! Reads a JetPorch script and its variables, and checks them here before anything is sent.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use keros_playbook::{Diagnostic, DiagnosticKind, Script, ScriptSource};
use keros_protocol::limits;
use serde_json::{Map, Value};

use super::text::printable;

/// What the check of a script came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It may be sent; findings that gateways will judge for themselves.
    Fit(Vec<Diagnostic>),
    /// No gateway would run it.
    Unfit(Vec<Diagnostic>),
}

/// Reads a text of at most [`limits::MAX_SCRIPT_BYTES`]; `-` is standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let limit = limits::MAX_SCRIPT_BYTES as u64 + 1;
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() > limits::MAX_SCRIPT_BYTES {
        anyhow::bail!(
            "{} is larger than {} bytes, the most that is sent",
            path.display(),
            limits::MAX_SCRIPT_BYTES
        );
    }
    Ok(text)
}

/// Merges all `-e` options, the last one wins.
pub(super) fn variables(options: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut vars = Map::new();
    for option in options {
        vars.extend(variables_of(option).with_context(|| format!("cannot use the variables {option:?}"))?);
    }
    let bytes = serde_json::to_string(&vars)?.len();
    if bytes > limits::MAX_VARS_BYTES {
        anyhow::bail!("the variables have {bytes} bytes, at most {} are sent", limits::MAX_VARS_BYTES);
    }
    Ok(vars)
}

fn variables_of(option: &str) -> anyhow::Result<Map<String, Value>> {
    let (text, of) = match option.strip_prefix('@') {
        Some(path) => (read(Path::new(path))?, path.to_owned()),
        None if option.trim_start().starts_with('{') => (option.to_owned(), "the option".to_owned()),
        None => {
            let (name, value) =
                option.split_once('=').context("expected @FILE.yml, {\"name\": \"value\"} or name=value")?;
            return Ok(Map::from_iter([(name.to_owned(), Value::from(value))]));
        }
    };
    serde_yaml::from_str(&text).with_context(|| format!("{of} is not a mapping of names to values"))
}

impl Checked {
    /// What only this center's engine cannot do, gateways judge for themselves.
    pub(super) fn of(findings: Vec<Diagnostic>) -> Self {
        match findings.iter().all(|finding| finding.kind == DiagnosticKind::Unsupported) {
            true => Self::Fit(findings),
            false => Self::Unfit(findings),
        }
    }

    /// Whether it may be sent.
    pub(super) fn is_fit(&self) -> bool {
        matches!(self, Self::Fit(_))
    }
}

/// Checks the script as a gateway will, without the files that a gateway may have.
pub(super) fn check(text: &str, file: &str, vars: &Map<String, Value>) -> Checked {
    let source = ScriptSource {
        text: text.to_owned(),
        file: file.to_owned(),
        extra_vars: vars.clone(),
        ..ScriptSource::default()
    };
    match Script::parse(&source) {
        Ok(_) => Checked::Fit(Vec::new()),
        Err(findings) => Checked::of(findings),
    }
}

/// Prints the findings on standard error, each with its line of the file that it is about, and what they come to: `undone` is said
/// when nothing goes on.
pub(super) fn report(
    checked: &Checked,
    undone: &str,
    text_of: &mut dyn FnMut(&str) -> Option<String>,
) -> std::io::Result<()> {
    let (Checked::Fit(findings) | Checked::Unfit(findings)) = checked;
    let mut stderr = std::io::stderr().lock();
    for finding in findings {
        let text = text_of(&finding.file).unwrap_or_default();
        write!(stderr, "{}", render(finding, &text))?;
    }
    if !checked.is_fit() {
        writeln!(stderr, "{undone}")?;
    } else if !findings.is_empty() {
        writeln!(
            stderr,
            "The gateways will judge this for themselves; this center's own engine would refuse it."
        )?;
    }
    Ok(())
}

/// A finding with its line of the script and a mark below it.
pub(super) fn render(finding: &Diagnostic, script: &str) -> String {
    let mut text = format!("{}\n", printable(&finding.to_string()));
    let line = usize::try_from(finding.line).ok().and_then(|number| number.checked_sub(1));
    if let Some(line) = line.and_then(|index| script.lines().nth(index)) {
        let number = finding.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab is one column in the finding, so it is shown as one.
        let line = printable(&line.replace('\t', " "));
        let _ = writeln!(text, "  {margin} |\n  {number} | {line}");
        if let Some(before) = usize::try_from(finding.column).ok().and_then(|column| column.checked_sub(1)) {
            let _ = writeln!(text, "  {margin} | {}^", " ".repeat(before));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: DiagnosticKind) -> Diagnostic {
        Diagnostic {
            kind,
            file: "site.yml".to_owned(),
            line: 2,
            column: 5,
            message: "unknown module `shel`".to_owned(),
            suggestion: Some("did you mean `shell`?".to_owned()),
        }
    }

    #[test]
    fn a_finding_shows_its_line_and_place() {
        let text = render(&finding(DiagnosticKind::Invalid), "- name: x\n  - !shel\n");
        let expected = "site.yml:2:5: unknown module `shel` (did you mean `shell`?)\n    |\n  2 |   - !shel\n    |     ^\n";
        assert_eq!(text, expected);
        let beyond = Diagnostic { line: 9, ..finding(DiagnosticKind::Invalid) };
        assert_eq!(render(&beyond, "x").lines().count(), 1);
    }

    #[test]
    fn variables_come_in_three_forms_and_the_last_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vars.yml");
        std::fs::write(&path, "a: 1\nb: [x, y]\n").unwrap();
        let options = [format!("@{}", path.display()), "{\"a\": true}".to_owned(), "c=d=e".to_owned()];
        let vars = variables(&options).unwrap();
        assert_eq!(Value::Object(vars), serde_json::json!({"a": true, "b": ["x", "y"], "c": "d=e"}));
        for bad in ["plain", "@/no/such/file", "{\"a\": ", "[1]="] {
            let result = variables(&[bad.to_owned()]);
            assert!(result.is_err() || bad == "[1]=", "{bad}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.yml");
        std::fs::write(&path, vec![b' '; limits::MAX_SCRIPT_BYTES + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger than"));
        let large = format!("a={}", "x".repeat(limits::MAX_VARS_BYTES));
        assert!(variables(&[large]).is_err());
    }
}
