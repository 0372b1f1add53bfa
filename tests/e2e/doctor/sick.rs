//! What the doctor says of one gateway, without what is different each time.

use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result};
use keros_tests::{Gateway, project_root};
use serde_json::Value;

pub(crate) const EUI: &str = "7076FF0056070123";

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What it said.
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) findings: Vec<Value>,
}

impl Seen {
    /// Asks the doctor of this gateway, whose files are all in `folder`.
    pub(crate) fn of(gateway: &Gateway, folder: &Path) -> Result<Self> {
        let (code, text) = gateway.technician(&["doctor", "--json"])?;
        Self::read(code, &text, folder)
    }

    /// From what a doctor printed that was started otherwise.
    pub(crate) fn from(output: &Output, folder: &Path) -> Result<Self> {
        let text = String::from_utf8_lossy(&output.stdout);
        let told = || format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        Self::read(output.status.code().unwrap_or(-1), &text, folder).with_context(told)
    }

    fn read(code: i32, text: &str, folder: &Path) -> Result<Self> {
        let text = text.replace(&folder.display().to_string(), "");
        let report: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let findings = report["checks"].as_array().context("checks")?.clone();
        assert_eq!(report["healthy"], Value::Bool(code == 0), "{text}");
        Ok(Self { code, findings })
    }

    /// The verdict of the first check of this name.
    pub(crate) fn verdict(&self, check: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.and_then(|finding| finding["verdict"].as_str()).unwrap_or("missing")
    }

    /// Of these checks alone: what else is wrong with this gateway is the test's own doing.
    pub(crate) fn only(mut self, checks: &[&str]) -> Self {
        self.findings.retain(|finding| checks.iter().any(|check| finding["check"] == *check));
        self
    }

    /// Compares what failed, and these other checks, with the words that were written down.
    pub(crate) fn is_golden(&self, name: &str, others: &[&str]) -> Result<()> {
        let is_told = |finding: &&Value| {
            finding["verdict"] == "failed" || others.iter().any(|other| finding["check"] == **other)
        };
        let text: String = self.findings.iter().filter(is_told).map(shown).collect();
        let path = project_root().join(format!("tests/e2e/doctor/golden/{name}.txt"));
        if std::env::var_os("KEROS_BLESS").is_some() {
            std::fs::write(&path, &text)?;
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{}; KEROS_BLESS=1 writes it anew\n{:#?}", path.display(), self.findings);
        Ok(())
    }
}

/// Names of the checks that failed.
pub(crate) fn failed(findings: &[Value]) -> Vec<&str> {
    let failed = findings.iter().filter(|finding| finding["verdict"] == "failed");
    failed.filter_map(|finding| finding["check"].as_str()).collect()
}

/// Three lines at most: what, the error, what to do.
fn shown(finding: &Value) -> String {
    let field = |name: &str| finding[name].as_str().map(plain);
    let verdict = if finding["verdict"] == "failed" { "FAILED" } else { "warning" };
    let check = finding["check"].as_str().unwrap_or_default();
    let mut text = format!("{verdict} {check}: {}\n", field("says").unwrap_or_default());
    if let Some(error) = field("error") {
        text += &format!("({error})\n");
    }
    if let Some(advice) = field("advice") {
        text += &format!("do: {advice}\n");
    }
    text
}

/// Without times and ports, which are different each time.
fn plain(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if DAYS.contains(&bare) {
            word.replace(bare, "<day>")
        } else if bare.parse::<u16>().is_ok_and(|number| number > 8999 && number != u16::MAX) {
            word.replace(bare, "8883")
        } else if digits == 8 && word.matches('-').count() == 2 {
            word.replace(bare, "<date>")
        } else if digits == 6 && word.matches(':').count() == 2 {
            word.replace(bare, "<time>")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
