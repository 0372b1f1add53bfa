//! The check of a script as a gateway does it, for whoever is still writing it.

use keros_playbook::{Diagnostic, DiagnosticKind, Script, ScriptSource};
use keros_protocol::limits::{MAX_SCRIPT_BYTES, MAX_TEXT_BYTES, MAX_VARS_BYTES, shorten};

use super::center::{Center, in_thread};
use super::order::{OrderError, invalid, is_judged_by_gateways};
use crate::api::{CheckScript, FindingView, ScriptCheckView, Severity};

/// Findings in one answer; the engine itself stops at so many.
const MAX_FINDINGS: usize = 100;

impl Center {
    /// What a gateway would say of the script before it runs it.
    pub(crate) async fn check_script(&self, order: CheckScript) -> Result<ScriptCheckView, OrderError> {
        let vars_bytes = serde_json::to_vec(&order.vars).map_err(|error| invalid(error.to_string()))?.len();
        if vars_bytes > MAX_VARS_BYTES {
            return Err(invalid(format!(
                "the variables have {vars_bytes} bytes as JSON, at most {MAX_VARS_BYTES} are allowed"
            )));
        }
        if order.script.len() > MAX_SCRIPT_BYTES {
            let found = order.script.len();
            return Ok(view(vec![too_large(found)]));
        }
        let _place = self.script_checks.acquire().await.map_err(|_| closed())?;
        in_thread(move || Ok(view(findings(order)))).await
    }
}

fn closed() -> OrderError {
    OrderError::Unavailable("the center stops".to_owned())
}

/// All findings; none when the script is well.
fn findings(order: CheckScript) -> Vec<Diagnostic> {
    let source = ScriptSource {
        text: order.script,
        file: "script".to_owned(),
        extra_vars: order.vars,
        ..ScriptSource::default()
    };
    Script::parse(&source).err().unwrap_or_default()
}

fn too_large(found: usize) -> Diagnostic {
    Diagnostic {
        kind: DiagnosticKind::TooLarge,
        file: "script".to_owned(),
        line: 0,
        column: 0,
        message: format!("the script has {found} bytes, at most {MAX_SCRIPT_BYTES} are allowed"),
        suggestion: None,
    }
}

fn view(findings: Vec<Diagnostic>) -> ScriptCheckView {
    let fit = findings.iter().all(is_judged_by_gateways);
    let mut findings: Vec<FindingView> = findings.into_iter().take(MAX_FINDINGS).map(finding).collect();
    findings.sort_by_key(|finding| (finding.line, finding.column));
    ScriptCheckView { fit, findings }
}

fn finding(found: Diagnostic) -> FindingView {
    let severity = if is_judged_by_gateways(&found) { Severity::Warning } else { Severity::Error };
    FindingView {
        severity,
        line: found.line,
        column: found.column,
        message: shorten(&found.message, MAX_TEXT_BYTES),
        suggestion: found.suggestion.map(|text| shorten(&text, MAX_TEXT_BYTES)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str) -> ScriptCheckView {
        view(findings(CheckScript { script: script.to_owned(), vars: serde_json::Map::new() }))
    }

    #[test]
    fn a_finding_names_its_line_and_what_was_meant() {
        let checked = check("- name: a play\n  groups: [all]\n  tasks:\n    - !shel\n      cmd: ls\n");
        assert!(!checked.fit);
        let first = &checked.findings[0];
        assert_eq!((first.severity, first.line), (Severity::Error, 4), "{first:?}");
        assert!(first.suggestion.as_ref().is_some_and(|text| text.contains("shell")), "{first:?}");
    }

    #[test]
    fn a_script_that_gateways_run_has_no_finding() {
        let script = "- name: a play\n  groups: [all]\n  tasks:\n    - !echo\n      msg: hello\n";
        assert_eq!(check(script), ScriptCheckView { fit: true, findings: Vec::new() });
    }

    #[test]
    fn findings_are_bounded_and_in_the_order_of_the_text() {
        let tasks: String = (0..1000).map(|_| "    - !nothing\n      a: 1\n").collect();
        let checked = check(&format!("- name: a play\n  groups: [all]\n  tasks:\n{tasks}"));
        assert!(!checked.fit && checked.findings.len() <= MAX_FINDINGS, "{}", checked.findings.len());
        assert!(checked.findings.len() > 10);
        assert!(checked.findings.is_sorted_by_key(|finding| (finding.line, finding.column)));
    }
}
