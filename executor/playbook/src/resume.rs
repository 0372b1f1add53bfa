//! What a run keeps over a reboot, to go on behind the task that asked for it as if nothing had happened.
//!
//! It is written to disk by whoever reboots the machine, and may be read by the next version of this program: the script can
//! have brought that. What follows from the script is not in it.

use std::collections::BTreeSet;

use keros_protocol::{Outcome, Summary, TaskRef};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Script;

/// Raised when an older reader would misunderstand the form; a new field with a default does not.
const FORMAT: u32 = 1;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnd {
    /// A terminal outcome.
    Ended(Outcome),
    /// A `reboot` task: reboot the machine, then run the same script with [`crate::RunOptions::resume`].
    Reboot {
        /// The task, which has not ended: its end is told by the run that goes on.
        task: TaskRef,
        /// What that run needs. It holds values of secrets: only root may read it.
        resume: Resume,
    },
}

impl RunEnd {
    /// The outcome for one who cannot reboot and go on: a reboot is a failure there.
    #[must_use]
    pub fn without_reboot(self) -> Outcome {
        match self {
            Self::Ended(outcome) => outcome,
            Self::Reboot { task, resume } => {
                let message = "only a job that the center sends can reboot and go on".to_owned();
                let summary = resume.summary;
                Outcome::Failed { task: Some(task), exit_code: None, message, output: None, summary }
            }
        }
    }
}

/// What a run keeps over a reboot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    pub(crate) format: u32,
    /// The task that asked for the reboot.
    pub(crate) task: TaskRef,
    /// What `set` and `save` stored.
    #[serde(default)]
    pub(crate) stored: Map<String, Value>,
    #[serde(default)]
    pub(crate) facts: Map<String, Value>,
    /// Events raised in the play so far, with those of the task.
    #[serde(default)]
    pub(crate) raised: BTreeSet<String>,
    /// Events that the task itself raised.
    #[serde(default)]
    pub(crate) notified: BTreeSet<String>,
    /// Counts of the tasks before it.
    #[serde(default)]
    pub(crate) summary: Summary,
    /// Time that the run took so far, milliseconds; that of the boot does not count.
    #[serde(default)]
    pub(crate) used_ms: u64,
    /// Values that did not come with the script and stay hidden.
    #[serde(default)]
    pub(crate) secrets: BTreeSet<String>,
}

impl Resume {
    /// Nothing is known yet but the task.
    pub(crate) fn behind(task: TaskRef) -> Self {
        Self {
            format: FORMAT,
            task,
            stored: Map::new(),
            facts: Map::new(),
            raised: BTreeSet::new(),
            notified: BTreeSet::new(),
            summary: Summary::default(),
            used_ms: 0,
            secrets: BTreeSet::new(),
        }
    }

    /// Whether a script can be gone on with.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn check(&self, script: &Script) -> Result<(), String> {
        let TaskRef { number, count, .. } = self.task;
        if self.format > FORMAT {
            return Err("a newer version wrote what the run needs to go on after its reboot".to_owned());
        }
        if count != script.task_count() || !(1..=count).contains(&number) {
            return Err(other_script());
        }
        Ok(())
    }
}

/// Why a run does not go on.
pub(crate) fn other_script() -> String {
    "the run cannot go on after its reboot: the script is not the same any more".to_owned()
}
