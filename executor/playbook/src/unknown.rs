//! What a dry run cannot know: values that a program would give, and all that follows from them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::mentions;

/// Names whose values only a run would know.
#[derive(Default)]
pub(crate) struct Unknown {
    /// The name of the task that would store it, by name.
    by_name: BTreeMap<String, String>,
    /// The task under way.
    task: String,
    /// Why what was asked for last cannot be told; texts are rendered in many places, and this is how the engine hears of it.
    untold: RefCell<Option<String>>,
}

impl Unknown {
    pub(crate) fn begin_task(&mut self, name: &str) {
        name.clone_into(&mut self.task);
    }

    /// The task under way would store it.
    pub(crate) fn insert(&mut self, name: &str) {
        self.by_name.insert(name.to_owned(), self.task.clone());
    }

    /// Its value is known again.
    pub(crate) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names that this one means, when they are unknown.
    pub(crate) fn meant_by<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        let all = self.by_name.keys().map(String::as_str);
        all.filter(move |unknown| name == mentions::ANY || *unknown == name)
    }

    /// Refuses to say anything about what depends on an unknown name.
    ///
    /// # Errors
    /// Always: the reason, which is kept for [`Unknown::take_untold`] too.
    pub(crate) fn refuse(&self, name: &str) -> Result<(), String> {
        let task = self.by_name.get(name).map_or("", String::as_str);
        Err(self.doubt(&format!("it depends on {name}, which the task `{task}` saves when it runs")))
    }

    /// The error of something that cannot be told, which is kept for [`Unknown::take_untold`] too.
    pub(crate) fn doubt(&self, why: &str) -> String {
        let reason = untold(why);
        *self.untold.borrow_mut() = Some(reason.clone());
        reason
    }

    /// Why the last error was none, but something that cannot be told.
    pub(crate) fn take_untold(&self) -> Option<String> {
        self.untold.borrow_mut().take()
    }
}

/// What is said of something that a dry run cannot tell.
pub(crate) fn untold(why: &str) -> String {
    format!("cannot be told in a dry run: {why}")
}
