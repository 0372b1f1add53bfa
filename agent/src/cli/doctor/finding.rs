//! What a check says, and how it is printed.

use serde::Serialize;

use super::super::text::{clean, wrap};

/// `not checked  telemetry  `.
const VERDICT_CHARS: usize = 13;
const CHECK_CHARS: usize = 11;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    /// It works, and will not for long, or not for all.
    Warning,
    Failed,
    /// The text says why.
    NotChecked,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::NotChecked => "not checked",
        }
    }
}

/// What one check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Its name.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) says: String,
    /// The underlying error, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, says: says.into(), error: None, advice: None }
    }

    pub(super) fn warning(check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, verdict: Verdict::Warning, says: says.into(), error: None, advice }
    }

    pub(super) fn failed(check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, ..Self::warning(check, says, advice) }
    }

    pub(super) fn not_checked(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::NotChecked, says: why.into(), error: None, advice: None }
    }

    /// With the underlying error.
    pub(super) fn because(self, error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..self }
    }
}

/// All of them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Nothing failed.
    pub(super) healthy: bool,
    pub(super) checks: Vec<Finding>,
}

impl Report {
    pub(super) fn new(checks: Vec<Finding>) -> Self {
        let healthy = checks.iter().all(|finding| finding.verdict != Verdict::Failed);
        Self { healthy, checks }
    }

    /// For a person: one line each, and below it what to do.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.checks {
            line(&mut text, finding.verdict.word(), finding.check, &finding.says);
            if let Some(error) = &finding.error {
                line(&mut text, "", "", &format!("({error})"));
            }
            if let Some(advice) = &finding.advice {
                line(&mut text, "", "do:", advice);
            }
        }
        text.push('\n');
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |verdict| self.checks.iter().filter(|finding| finding.verdict == verdict).count();
        let counts = [
            (count(Verdict::Failed), "failed"),
            (count(Verdict::Warning), "to look at"),
            (count(Verdict::NotChecked), "not checked"),
        ];
        let counts: Vec<_> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        match (self.healthy, counts.is_empty()) {
            (true, true) => "All is well.\n".to_owned(),
            (true, false) => format!("Nothing failed; {}.\n", counts.join(", ")),
            (false, _) => format!("{}.\n", counts.join(", ")),
        }
    }
}

fn line(text: &mut String, verdict: &str, check: &str, says: &str) {
    let begin = format!("{verdict:VERDICT_CHARS$}{check:CHECK_CHARS$}");
    for (number, part) in wrap(&clean(says), VERDICT_CHARS + CHECK_CHARS).iter().enumerate() {
        let begin = if number == 0 { begin.as_str() } else { "" };
        let line = format!("{begin:width$}{part}\n", width = VERDICT_CHARS + CHECK_CHARS);
        text.push_str(&line);
    }
}
