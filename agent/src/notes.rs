//! What the state notes, in the log: each note that is an event of the catalog has its name there, and a line about a job says which.

use keros_machine::{Note, State};
use keros_protocol::{CommandId, Outcome, UpdateId};
use keros_service::Named;
use keros_service::log::{self, Subject};
use tracing::Level;

/// Logs a note; the state knows the update that its command belongs to.
pub(crate) fn log(note: &Note, state: &State) {
    let subject = note.command_id().map(|id| Subject { command_id: id, update_id: update_of(state, id) });
    match (subject, name(note)) {
        (Some(subject), Ok(named)) => log::tell_of(named, subject, note),
        (Some(subject), Err(level)) => log::remark(level, subject, note),
        (None, Ok(named)) => log::tell(named, note),
        (None, Err(Level::DEBUG)) => tracing::debug!("{note}"),
        (None, Err(Level::INFO)) => tracing::info!("{note}"),
        (None, Err(_)) => tracing::warn!("{note}"),
    }
}

fn update_of(state: &State, id: CommandId) -> Option<UpdateId> {
    let open = state.jobs().iter().find(|job| job.command_id == id).map(|job| job.update_id);
    let ended = || state.ended().find(|job| job.command_id == id).map(|job| job.update_id);
    open.or_else(ended).flatten()
}

/// Its name, or how much it matters.
fn name(note: &Note) -> Result<Named, Level> {
    Ok(match note {
        Note::Received(_) => Named::CommandReceived,
        Note::Accepted(_) => Named::CommandAccepted,
        Note::Refused(..) => Named::CommandRefused,
        Note::Duplicate(_) => Named::CommandDuplicate,
        Note::Untrusted(_) => Named::CommandNotBelieved,
        Note::Full(_) => Named::CommandNotTaken,
        Note::FetchStarted(_) => Named::FetchStarted,
        Note::FetchEnded(_) => Named::FetchEnded,
        Note::FetchFailed(..) | Note::BadCopy(..) => Named::FetchFailed,
        Note::Ended { by_agent: false, .. } => Named::OutcomeReported,
        Note::Ended { outcome, .. } => match **outcome {
            Outcome::Refused { .. } => Named::CommandRefused,
            Outcome::Cancelled { .. } => Named::JobCancelled,
            _ => Named::OutcomeReported,
        },
        Note::CancelAnswered(..) => Named::CancelAsked,
        Note::ExecutorLost(..) => Named::ExecutorNotReached,
        Note::ClockNotBelieved => Named::ClockNotBelieved,
        // The executor, which decides that, tells of it by name.
        Note::Moved(..) | Note::Confirming(_) | Note::ConfirmAnswered(_, None) => return Err(Level::INFO),
        Note::CancelTooLate(_) | Note::FloorLowered => return Err(Level::INFO),
        Note::ConfirmAnswered(_, Some(_)) | Note::ForeignAcknowledgement | Note::FloorCapped => {
            return Err(Level::WARN);
        }
        Note::Unexpected(_) => return Err(Level::DEBUG),
    })
}
