//! Why a gateway is not enrolled, and what to do.

use std::io;
use std::path::PathBuf;

use keros_protocol::Eui;
use keros_protocol::enroll::{EnrolProblem, EnrolReason, HostPort};
use nix::libc;

/// Why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    /// Not root.
    #[error("only root may do this")]
    NotRoot,
    /// Who this gateway is, is not known.
    #[error("{0}")]
    Identity(String),
    /// The line is for another one.
    #[error("the line is for {line}, and this gateway is {own}")]
    OtherGateway {
        /// This one.
        own: Eui,
        /// The line's.
        line: Eui,
    },
    /// There is a configuration that would be replaced.
    #[error("{0}")]
    AlreadyEnrolled(String),
    /// There is nothing to renew.
    #[error("this gateway was not enrolled by `keros-agent enroll`: there is nothing to renew")]
    NotEnrolled,
    /// The certificate or key that is in use.
    #[error("{} has no certificate and key that can be used", .0.display())]
    Damaged(PathBuf),
    /// Its undoing would bring the former keys back.
    #[error("job {0} has not ended: if it is undone, the keys that are trusted now come back")]
    OpenJob(String),
    /// Another enrolment is under way here.
    #[error("another keros-agent enrols or renews on this gateway just now")]
    Busy,
    /// A folder that others could write.
    #[error("{} {what}", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// No random numbers, or no key by them.
    #[error("this gateway cannot make a key: the system has no random numbers")]
    Key,
    /// Nobody answers.
    #[error("cannot reach {0}: {1}")]
    Unreachable(HostPort, String),
    /// Somebody else answers.
    #[error("{0} is not this gateway's center: its certificate is by another authority")]
    OtherAuthority(HostPort),
    /// Something else answers.
    #[error("{0} does not speak TLS")]
    NoTls(HostPort),
    /// The certificate there.
    #[error("{0} cannot be trusted: {1}")]
    Tls(HostPort, String),
    /// The center says no.
    #[error("the center refuses: {}", .0.detail)]
    Refused(EnrolProblem),
    /// What it says is not understood, or not right.
    #[error("the center's answer cannot be used: {0}")]
    Answer(String),
    /// The configuration with the new file.
    #[error("the configuration would be wrong: {0}")]
    Configuration(String),
    /// The broker.
    #[error("the new log-in was tried and does not work: {0}")]
    NotProved(String),
    /// The service.
    #[error("the new configuration is in force, but the service could not be started anew: {0}")]
    Service(String),
}

/// What kind of failure it is, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only root.
    NotRoot,
    /// The line, or what the center says of it.
    Refused,
    /// Nobody answers.
    Unreachable,
    /// The configuration.
    Configuration,
    /// All else.
    Failed,
}

impl EnrolError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NotRoot => Kind::NotRoot,
            Self::OtherGateway { .. } | Self::Refused(_) | Self::OtherAuthority(_) => Kind::Refused,
            Self::Unreachable(..) => Kind::Unreachable,
            Self::Configuration(_) | Self::Identity(_) => Kind::Configuration,
            _ => Kind::Failed,
        }
    }

    /// What to do.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::NotRoot => "Use sudo",
            Self::Identity(_) | Self::Configuration(_) | Self::Service(_) => "",
            Self::OtherGateway { .. } => "Each gateway has a line of its own: keros-center enroll EUI",
            Self::AlreadyEnrolled(_) => "Nothing was changed. To replace it: --force",
            Self::NotEnrolled | Self::Damaged(_) => {
                "At the center: keros-center enroll EUI. Here: sudo keros-agent enroll -"
            }
            Self::OpenJob(_) => {
                "Nothing was changed. Wait for its end (keros-agent jobs), or end it: sudo keros-agent cancel ID"
            }
            Self::Busy => "Wait for it, then try again",
            Self::Folder { .. } => {
                "Make it root's: chown root:root and chmod go-w, or install the package again"
            }
            Self::Write(_, error) if is_full(error) => {
                "There is no room on the disk. Nothing was changed: make room, then use the same line again"
            }
            Self::Write(..) | Self::Key => "Nothing was changed: use the same line again",
            Self::Unreachable(..) => {
                "Check the network, the name servers and firewalls, and that the center runs; then use the same line again"
            }
            Self::OtherAuthority(_) => {
                "Ask for a new line. If it is the same then, somebody may be between: do not go on from this network"
            }
            Self::NoTls(_) => "The center must be started with --registry-tls: keros-center serve --help",
            Self::Tls(..) => "The center's certificate must be for this name, and by the authority of --ca",
            Self::Refused(problem) => refusal_advice(problem.reason),
            Self::Answer(_) => "Are agent and center of versions that fit? keros-agent --version",
            Self::NotProved(_) => {
                "Nothing was changed. When the cause is mended, use the same line again within its time"
            }
        }
    }
}

fn refusal_advice(reason: EnrolReason) -> &'static str {
    match reason {
        EnrolReason::UnknownToken
        | EnrolReason::Used
        | EnrolReason::Expired
        | EnrolReason::OtherKey
        | EnrolReason::OtherGateway => "Nothing was changed. A new line: keros-center enroll EUI",
        EnrolReason::TooMany => "Nothing was changed. Wait some minutes",
        EnrolReason::UnknownCertificate | EnrolReason::CertificateExpired => {
            "At the center: keros-center enroll EUI. Here: sudo keros-agent enroll -"
        }
        EnrolReason::NotPossible | EnrolReason::BadRequest | EnrolReason::Other => "Nothing was changed",
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}
