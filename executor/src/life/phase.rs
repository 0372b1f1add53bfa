//! Where a job stands, as its journal says.

use keros_protocol::executor::Event;
use keros_protocol::{Outcome, TaskRef};

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Phase {
    /// Its beginning is not recorded.
    #[default]
    Unborn,
    /// Its tasks are under way.
    Tasks {
        /// The job was resumed so often since a task began last.
        resumed: u32,
    },
    /// A task has asked for a reboot; the job goes on after it.
    PartEnded {
        /// The task.
        task: TaskRef,
        /// The boot that is to end.
        boot_id: String,
        /// The reboot was asked for so often.
        asked: u32,
    },
    /// Its tasks are over; it waits for its confirmation.
    Provisional(Provisional),
    /// It stays as it is.
    Confirmed {
        /// What it comes to; absent when its record is damaged.
        outcome: Option<Box<Outcome>>,
    },
    /// It is being undone.
    RollingBack {
        /// Why.
        reason: String,
        /// That was begun so often.
        begun: u32,
    },
    /// It was undone as far as that is possible.
    Undone {
        /// Why.
        reason: String,
        /// What could not be undone.
        remains: Vec<String>,
        /// What spares the gateway its reboot; without it there is none.
        nonce: Option<String>,
    },
    /// It was undone, and the gateway is to reboot once.
    Rebooting {
        /// Why it was undone.
        reason: String,
        /// What could not be undone.
        remains: Vec<String>,
        /// The boot that is to end.
        boot_id: String,
        /// The reboot was asked for so often.
        asked: u32,
    },
    /// It has its end.
    Ended {
        /// What it came to.
        outcome: Box<Outcome>,
        /// It was undone on demand since then; what remains of it.
        undone: Option<Vec<String>>,
    },
}

/// A job that waits for its confirmation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Provisional {
    /// What it comes to when it is confirmed.
    pub(crate) outcome: Box<Outcome>,
    /// What confirms it.
    pub(crate) nonce: String,
    /// Length of its window, seconds.
    pub(crate) window_s: u32,
    /// The boot that the window's end is about.
    pub(crate) boot_id: String,
    /// The window's end, milliseconds since that boot.
    pub(crate) until_boottime_ms: u64,
    /// The window was begun anew after a boot.
    pub(crate) renewed: bool,
}

/// A journal, folded.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Life {
    /// Where the job stands.
    pub(crate) phase: Phase,
    /// Something after the event that led here cannot be read, and no power cut explains it.
    pub(crate) in_doubt: bool,
}

impl Life {
    /// Takes the next line that cannot be read.
    pub(crate) const fn take_damage(&mut self) {
        self.in_doubt = true;
    }

    /// Takes the next event. What says nothing about where the job stands is passed over, as is what does not fit.
    pub(crate) fn take(&mut self, event: &Event) {
        let phase = std::mem::take(&mut self.phase);
        let (phase, moved) = moved_by(phase, event);
        self.phase = phase;
        self.in_doubt &= !moved;
    }
}

/// The phase after an event, and whether the event is about it.
fn moved_by(phase: Phase, event: &Event) -> (Phase, bool) {
    if let Phase::Ended { outcome, undone } = phase {
        // The first end is final; what follows was done on demand.
        let undone = match event {
            Event::Undone { remains, .. } => Some(remains.clone()),
            Event::RollingBack { .. } => None,
            _ => undone,
        };
        return (Phase::Ended { outcome, undone }, false);
    }
    match event {
        Event::Started { .. } => (Phase::Tasks { resumed: 0 }, true),
        Event::TaskStarted { .. } if phase.is_before_the_end_of_tasks() => {
            (Phase::Tasks { resumed: 0 }, false)
        }
        Event::PartEnded { task, boot_id } => {
            let asked = 1 + match phase {
                Phase::PartEnded { boot_id: before, asked, .. } if before == *boot_id => asked,
                _ => 0,
            };
            (Phase::PartEnded { task: task.clone(), boot_id: boot_id.clone(), asked }, true)
        }
        Event::Resumed { .. } => {
            let before = if let Phase::Tasks { resumed } = phase { resumed } else { 0 };
            (Phase::Tasks { resumed: before + 1 }, true)
        }
        Event::Confirming { outcome, nonce, window_s, boot_id, until_boottime_ms, renewed, .. } => {
            let provisional = Provisional {
                outcome: outcome.clone(),
                nonce: nonce.clone(),
                window_s: *window_s,
                boot_id: boot_id.clone(),
                until_boottime_ms: *until_boottime_ms,
                renewed: *renewed,
            };
            (Phase::Provisional(provisional), true)
        }
        Event::Confirmed {} => {
            let outcome =
                if let Phase::Provisional(provisional) = phase { Some(provisional.outcome) } else { None };
            (Phase::Confirmed { outcome }, true)
        }
        Event::RollingBack { reason } => {
            let before = if let Phase::RollingBack { begun, .. } = phase { begun } else { 0 };
            (Phase::RollingBack { reason: reason.clone(), begun: before + 1 }, true)
        }
        Event::Undone { remains, nonce } => {
            let reason = phase.reason().unwrap_or_default().to_owned();
            (Phase::Undone { reason, remains: remains.clone(), nonce: nonce.clone() }, true)
        }
        Event::Rebooting { boot_id } => (rebooting(phase, boot_id), true),
        Event::Ended { outcome } => (Phase::Ended { outcome: Box::new(outcome.clone()), undone: None }, true),
        _ => (phase, false),
    }
}

fn rebooting(phase: Phase, boot_id: &str) -> Phase {
    let reason = phase.reason().unwrap_or_default().to_owned();
    let (remains, asked) = match phase {
        Phase::Rebooting { remains, boot_id: before, asked, .. } if before == *boot_id => (remains, asked),
        Phase::Undone { remains, .. } | Phase::Rebooting { remains, .. } => (remains, 0),
        _ => (vec!["the record of what was undone is damaged".to_owned()], 0),
    };
    Phase::Rebooting { reason, remains, boot_id: boot_id.to_owned(), asked: asked + 1 }
}

impl Phase {
    const fn is_before_the_end_of_tasks(&self) -> bool {
        matches!(self, Self::Unborn | Self::Tasks { .. } | Self::PartEnded { .. })
    }

    /// Why the job is, or was, undone.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::RollingBack { reason, .. }
            | Self::Undone { reason, .. }
            | Self::Rebooting { reason, .. } => Some(reason),
            _ => None,
        }
    }
}
