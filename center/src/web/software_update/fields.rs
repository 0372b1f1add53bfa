//! The form of an update: what a person filled in, and the order that it comes to. Pure.

use keros_protocol::{Job, JobLimits};
use serde::Deserialize;

use crate::api::SendOptions;
use crate::cli::text::parse_utc;
use crate::plan::{Plan, Rollout, Stage, Window};
use crate::service::kind_name;

/// The two kinds, by the names that the pages use.
pub(super) const MAGIC_LINK: &str = "magic_link";
pub(super) const JETPORCH: &str = "jetporch";

/// What the form says, as text: a page that is shown again shows what was filled in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    /// [`MAGIC_LINK`] or [`JETPORCH`].
    pub(crate) kind: String,
    /// The Magic Link value.
    pub(crate) hash: String,
    /// The JetPorch YAML value.
    pub(crate) script: String,
    /// `real`, or `dry`: change nothing, report what would change.
    pub(crate) mode: String,
    /// Minutes; 0: no confirm window.
    pub(crate) confirm_min: String,
    /// Minutes for all of the job.
    pub(crate) total_min: String,
    /// Minutes for one task.
    pub(crate) task_min: String,
    /// Hours after which the command is not started any more.
    pub(crate) expires_h: String,
    /// A time of UTC before which nothing is handed out; empty: at once.
    pub(crate) not_before: String,
    /// A maintenance window; empty: always.
    pub(crate) window: String,
    /// The first stages, with commas; empty: all gateways at once.
    pub(crate) stages: String,
    /// Percent of a stage that may not succeed.
    pub(crate) max_failed: String,
    /// Names one sending: given out with the confirmation.
    pub(crate) form_key: String,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            kind: MAGIC_LINK.to_owned(),
            hash: String::new(),
            script: String::new(),
            mode: "real".to_owned(),
            confirm_min: "30".to_owned(),
            total_min: "60".to_owned(),
            task_min: "10".to_owned(),
            expires_h: "168".to_owned(),
            not_before: String::new(),
            window: String::new(),
            stages: String::new(),
            max_failed: "10".to_owned(),
            form_key: String::new(),
        }
    }
}

/// A field that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Its name, which is also its id on the page.
    pub(crate) field: &'static str,
    /// What is wrong and what to do.
    pub(crate) text: String,
}

/// What the form comes to, but for the Magic Link, which the center has to look up first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filled {
    pub(crate) what: What,
    pub(crate) limits: JobLimits,
    pub(crate) options: SendOptions,
    pub(crate) expires_in_s: u64,
    pub(crate) plan: Plan,
    pub(crate) dry_run_first: bool,
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// The link of this hash, or of its beginning, in lower case.
    Link(String),
    /// A job that is complete.
    Job(Job),
}

impl Fields {
    /// Whether it is about a script.
    pub(crate) fn is_script(&self) -> bool {
        self.kind == JETPORCH
    }

    /// The kind in the words of the pages.
    pub(crate) fn kind_name(&self) -> &str {
        kind_name(&self.kind)
    }

    /// Whether nothing is to be changed.
    pub(crate) fn is_dry(&self) -> bool {
        self.mode == "dry"
    }

    /// The script as it is sent: browsers end lines by CR LF, and people by nothing.
    pub(crate) fn script_text(&self) -> String {
        let text = self.script.replace("\r\n", "\n");
        if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
    }

    /// The order, or all that is wrong.
    pub(crate) fn read(&self) -> Result<Filled, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let what = self.what().map_err(|found| wrong.push(found));
        let mut number = |field, text: &str, most: u32, unit| {
            bounded(field, text, most, unit).unwrap_or_else(|found| {
                wrong.push(found);
                0
            })
        };
        let most_min = JobLimits::MAX_S / 60;
        let total_min = number("total_min", &self.total_min, most_min, "minutes").max(1);
        let task_min = number("task_min", &self.task_min, most_min, "minutes").max(1);
        let confirm_min = number("confirm_min", &self.confirm_min, most_min, "minutes");
        let expires_h = number("expires_h", &self.expires_h, 90 * 24, "hours").max(1);
        let max_failed = number("max_failed", &self.max_failed, 100, "percent");
        let dry_run = match self.mode.as_str() {
            "real" => false,
            "dry" => true,
            _ => {
                wrong.push(Wrong { field: "mode", text: "Choose one of the two ways.".to_owned() });
                false
            }
        };
        let plan = self.plan(u8::try_from(max_failed).unwrap_or(100), &mut wrong);
        match what {
            Ok(what) if wrong.is_empty() => Ok(Filled {
                what,
                limits: JobLimits { total_s: total_min * 60, task_s: task_min * 60, ..JobLimits::default() },
                options: SendOptions { dry_run, confirm_window_s: Some(confirm_min * 60) },
                expires_in_s: u64::from(expires_h) * 3600,
                plan,
                dry_run_first: dry_run,
            }),
            _ => Err(wrong),
        }
    }

    /// The times of the order in one sentence; empty: at once.
    pub(crate) fn plan_sentence(&self) -> String {
        let mut parts = Vec::new();
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        parts.extend(filled(&self.not_before).map(|at| format!("not before {at} UTC")));
        parts.extend(filled(&self.window).map(|window| format!("only in the window {window}")));
        parts.extend(filled(&self.stages).map(|stages| {
            format!("in stages ({stages}, then the rest), stopping when more than {} % of a stage did not succeed", self.max_failed)
        }));
        if parts.is_empty() { String::new() } else { format!("It is handed out {}.", parts.join(", ")) }
    }

    /// When the commands are handed out.
    fn plan(&self, max_failed_percent: u8, wrong: &mut Vec<Wrong>) -> Plan {
        let read = |field: &'static str, text: &str| {
            Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map(|text| (field, text))
        };
        let not_before = read("not_before", &self.not_before);
        let window = read("window", &self.window);
        let stages = read("stages", &self.stages);
        let mut fault = |field, text: String| wrong.push(Wrong { field, text });
        let not_before_unix_s =
            not_before.and_then(|(field, text)| parse_utc(&text).map_err(|error| fault(field, error)).ok());
        let window = window.and_then(|(field, text)| {
            text.parse::<Window>().map_err(|error| fault(field, error.to_string())).ok()
        });
        let rollout = stages.and_then(|(field, text)| {
            let stages: Result<Vec<Stage>, _> = text.split(',').map(str::parse).collect();
            let stages = stages.map_err(|error| fault(field, error.to_string())).ok()?;
            let rollout = Rollout { stages, max_failed_percent, ..Rollout::default() };
            rollout.check().map_err(|error| fault(field, error)).ok()?;
            Some(rollout)
        });
        Plan { not_before_unix_s, window, rollout }
    }

    fn what(&self) -> Result<What, Wrong> {
        let wrong = |field, text: &str| Err(Wrong { field, text: text.to_owned() });
        match self.kind.as_str() {
            MAGIC_LINK => match self.hash.trim() {
                "" => wrong("hash", "Fill in the Magic Link value: the hash, 64 hex digits."),
                hash => Ok(What::Link(hash.to_ascii_lowercase())),
            },
            JETPORCH if self.script.trim().is_empty() => {
                wrong("script", "Fill in the JetPorch YAML value: the playbook.")
            }
            JETPORCH => {
                let vars = serde_json::Map::new();
                Ok(What::Job(Job::JetPorch { script: self.script_text(), vars }))
            }
            _ => wrong("kind", "Choose Custom Magic Link or Custom JetPorch script."),
        }
    }
}

fn bounded(field: &'static str, text: &str, most: u32, unit: &str) -> Result<u32, Wrong> {
    let least = u32::from(!matches!(field, "confirm_min" | "max_failed"));
    let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
    number
        .ok_or_else(|| Wrong { field, text: format!("This is a whole number of {unit}, {least} to {most}.") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_script(script: &str) -> Fields {
        Fields { kind: JETPORCH.to_owned(), script: script.to_owned(), ..Fields::default() }
    }

    #[test]
    fn what_is_filled_in_becomes_the_order() {
        let fields = Fields {
            hash: "  SHA256:ABCDEF12 ".to_owned(),
            mode: "dry".to_owned(),
            confirm_min: "0".to_owned(),
            total_min: "2".to_owned(),
            task_min: "1".to_owned(),
            expires_h: "3".to_owned(),
            ..Fields::default()
        };
        let filled = fields.read().unwrap();
        assert_eq!(filled.what, What::Link("sha256:abcdef12".to_owned()));
        assert_eq!((filled.limits.total_s, filled.limits.task_s, filled.expires_in_s), (120, 60, 10_800));
        assert_eq!(filled.options, SendOptions { dry_run: true, confirm_window_s: Some(0) });
    }

    #[test]
    fn times_and_stages_become_the_plan() {
        let fields = Fields {
            not_before: "2026-11-25T00:00".to_owned(),
            window: "mon-fri 22:00-04:00+01:00".to_owned(),
            stages: "1, 5%".to_owned(),
            max_failed: "0".to_owned(),
            ..of_script("- a")
        };
        let plan = fields.read().unwrap().plan;
        assert_eq!(plan.not_before_unix_s, Some(1_795_564_800));
        assert_eq!(plan.window, "mon-fri 22:00-04:00+01:00".parse().ok());
        assert_eq!(plan.rollout, Some(Rollout { max_failed_percent: 0, ..Rollout::default() }));
        assert_eq!(of_script("- a").read().unwrap().plan, Plan::default());
        let wrong = Fields {
            not_before: "soon".to_owned(),
            window: "night".to_owned(),
            stages: "0%".to_owned(),
            ..fields
        };
        let wrong: Vec<&str> = wrong.read().unwrap_err().iter().map(|wrong| wrong.field).collect();
        assert_eq!(wrong, ["not_before", "window", "stages"]);
    }

    #[test]
    fn a_script_has_the_line_ends_that_a_file_has() {
        let Ok(Filled { what: What::Job(Job::JetPorch { script, .. }), .. }) = of_script("- a\r\n- b").read()
        else {
            panic!("no script");
        };
        assert_eq!(script, "- a\n- b\n");
    }

    #[test]
    fn the_form_as_it_is_shown_first_has_the_defaults_of_the_api() {
        let filled = of_script("- a").read().unwrap();
        assert_eq!(filled.limits, JobLimits::default());
        assert_eq!(filled.options, SendOptions { dry_run: false, confirm_window_s: Some(1800) });
        assert_eq!(filled.expires_in_s, 7 * 86_400);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let fields = Fields {
            mode: "perhaps".to_owned(),
            confirm_min: "-1".to_owned(),
            total_min: "1441".to_owned(),
            task_min: "0".to_owned(),
            expires_h: "soon".to_owned(),
            ..Fields::default()
        };
        let wrong: Vec<&str> = fields.read().unwrap_err().iter().map(|wrong| wrong.field).collect();
        assert_eq!(wrong, ["hash", "total_min", "task_min", "confirm_min", "expires_h", "mode"]);
        let unknown = Fields { kind: "other".to_owned(), ..Fields::default() };
        assert_eq!(unknown.read().unwrap_err()[0].field, "kind");
    }
}
