//! The files of a bundle are known by their titles: where the executor has its copy means nothing to whoever reads of a job.

use std::io;

use keros_playbook::{Barrier, Observer};
use keros_protocol::Outcome;
use keros_protocol::eligibility::Refusal;
use keros_protocol::executor::{Event, TaskResult};

use super::Bundle;

/// Takes the copy's folder out of what the engine says. What a program prints stays as it is.
pub(crate) struct ByTitle {
    /// Absent: there is no bundle.
    prefix: Option<String>,
}

/// An observer that hears of titles.
pub(crate) struct Told<'a> {
    names: &'a ByTitle,
    observer: &'a mut dyn Observer,
}

impl ByTitle {
    /// For the files of this bundle.
    pub(crate) fn of(bundle: Option<&Bundle>) -> Self {
        Self { prefix: bundle.map(|bundle| format!("{}/", bundle.files.display())) }
    }

    /// In a refusal.
    pub(crate) fn refusal(&self, refusal: Refusal) -> Refusal {
        Refusal { detail: self.text(&refusal.detail), ..refusal }
    }

    /// In an outcome.
    pub(crate) fn outcome(&self, mut outcome: Outcome) -> Outcome {
        if let Outcome::Failed { message, .. } = &mut outcome {
            *message = self.text(message);
        }
        outcome
    }

    /// In the events of a run.
    pub(crate) fn around<'a>(&'a self, observer: &'a mut dyn Observer) -> Told<'a> {
        Told { names: self, observer }
    }

    fn event(&self, event: &Event) -> Event {
        let mut event = event.clone();
        match &mut event {
            Event::TaskStarted { file: Some(text), .. }
            | Event::Retrying { message: text, .. }
            | Event::ItemEnded { result: TaskResult { message: Some(text), .. }, .. }
            | Event::TaskEnded { result: TaskResult { message: Some(text), .. }, .. } => {
                *text = self.text(text);
            }
            _ => {}
        }
        event
    }

    fn text(&self, text: &str) -> String {
        self.prefix.as_ref().map_or_else(|| text.to_owned(), |prefix| text.replace(prefix, ""))
    }
}

impl Observer for Told<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match self.names.prefix {
            Some(_) => self.observer.event(&self.names.event(event)),
            None => self.observer.event(event),
        }
    }

    fn barrier(&self) -> Option<Barrier> {
        self.observer.barrier()
    }
}
