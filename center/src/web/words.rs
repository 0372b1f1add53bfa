//! Words for what the wire has names for: a page says the words, with the name beside them where people look for it. Pure.

use keros_protocol::{Outcome, RefusalReason, TimeLimit};

use crate::cli::text;

/// What an outcome says beyond its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Task n of m, a reason, counts; may be empty.
    pub(crate) words: String,
    /// The name of the reason, as the REST API and the gateway's journal have it.
    pub(crate) name: Option<&'static str>,
}

impl Said {
    /// Of this outcome.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let line = text::outcome(outcome);
        let rest = line.strip_prefix(outcome.name()).unwrap_or(&line);
        let rest = rest.trim_start_matches(':').trim();
        match outcome {
            Outcome::Refused { reason, .. } => {
                Self { words: refusal(*reason).to_owned(), name: Some(reason.as_str()) }
            }
            Outcome::TimedOut { limit, .. } => {
                let task = rest.strip_prefix(limit.as_str()).unwrap_or_default();
                Self { words: format!("{}{task}", time_limit(*limit)), name: None }
            }
            _ => Self { words: rest.to_owned(), name: None },
        }
    }
}

const fn time_limit(limit: TimeLimit) -> &'static str {
    match limit {
        TimeLimit::Total => "the time for the whole job was over",
        TimeLimit::Task => "the time for one task was over",
    }
}

/// Why gateways refuse a command, or may: nothing is known of those without a reason.
pub(crate) fn refusal_of(reason: &Option<RefusalReason>) -> &'static str {
    reason.map_or("nothing is known of them yet", refusal)
}

/// Why a command was not started.
const fn refusal(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::NotKeros6 => "not on KerOS 6, which a JetPorch script needs",
        RefusalReason::NotDeclared => "not declared in the Magic Link",
        RefusalReason::NotCompatible => {
            "its KerOS version or model is not among those that the Magic Link fits"
        }
        RefusalReason::BadSignature => "the signature is not one that the gateway trusts",
        RefusalReason::WrongTarget => "the command is for another gateway",
        RefusalReason::Expired => "it came after its time",
        RefusalReason::Unparsable => "the gateway cannot read it",
        RefusalReason::TooLarge => "it exceeds a limit of the gateway",
        RefusalReason::NoSpace => "not enough room on the gateway’s disk",
        RefusalReason::NotFound => "the Magic Link is not in the registry",
        RefusalReason::FetchFailed => "the Magic Link could not be fetched",
        RefusalReason::DigestMismatch => "what was fetched is not what the hash names",
        RefusalReason::Unsupported => "the gateway’s version cannot do it",
        RefusalReason::JournalDamaged => "the gateway’s record of started commands was damaged",
    }
}

/// A vital that is worth a look.
pub(crate) fn vital(name: &str) -> &str {
    match name {
        "cpu_percent" => "CPU",
        "memory_percent" => "memory",
        other => other,
    }
}

/// Those of a gateway, in one line.
pub(crate) fn vitals(names: &[String]) -> String {
    names.iter().map(|name| vital(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keros_protocol::{Summary, TaskRef};

    use super::*;

    #[test]
    fn a_refusal_is_said_in_words_with_its_name_beside_them() {
        for reason in RefusalReason::ALL {
            let said = Said::of(&Outcome::Refused { reason, detail: "x".to_owned() });
            assert_eq!(said.name, Some(reason.as_str()));
            assert!(said.words.contains(' ') && !said.words.contains('_'), "{said:?}");
        }
        assert_eq!(refusal_of(&None), "nothing is known of them yet");
    }

    #[test]
    fn a_time_that_is_over_is_said_with_its_task() {
        let task = TaskRef { number: 2, count: 3, name: "reload".to_owned() };
        let limit = TimeLimit::Task;
        let timed_out = |task| Outcome::TimedOut { limit, task, output: None, summary: Summary::default() };
        assert_eq!(Said::of(&timed_out(None)).words, "the time for one task was over");
        let said = Said::of(&timed_out(Some(task.clone())));
        assert_eq!(said.words, format!("the time for one task was over, {task}"));
    }

    #[test]
    fn other_outcomes_say_what_they_say_on_the_command_line() {
        let failed = Outcome::Failed {
            task: None,
            exit_code: None,
            message: "no route".to_owned(),
            output: None,
            summary: Summary::default(),
        };
        assert_eq!(Said::of(&failed), Said { words: "no route".to_owned(), name: None });
        assert_eq!(Said::of(&Outcome::Received {}), Said::default());
    }
}
