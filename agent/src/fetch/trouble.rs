//! Why an attempt ends before the bundle is there.

use std::io;

use keros_protocol::RefusalReason;
use keros_protocol::eligibility::Refusal;
use nix::libc;

/// What kept an attempt from its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No further attempt can help.
    Refused(Refusal),
    /// Somebody may mend it soon, a registry that has not all of it yet: refused when a few attempts have met it.
    Stubborn(Refusal),
    /// A later attempt goes on from here.
    Passing(String),
}

impl Trouble {
    pub(crate) fn refused(reason: RefusalReason, detail: impl AsRef<str>) -> Self {
        Self::Refused(Refusal::new(reason, detail))
    }

    pub(crate) fn stubborn(reason: RefusalReason, detail: impl AsRef<str>) -> Self {
        Self::Stubborn(Refusal::new(reason, detail))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Of the disk: nothing else is read or written by way of [`io::Error`] here.
impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => {
                Self::refused(RefusalReason::NoSpace, format!("the bundle cannot be stored: {error}"))
            }
            _ => Self::Passing(format!("the bundle cannot be stored: {error}")),
        }
    }
}
