//! The one table from what went wrong to exit code and advice. The numbers from 64 on are those of sysexits.h.

use std::io::Write as _;

use super::Failure;
use super::logs::LogsError;
use super::text::clean;
use crate::enroll::Kind;
use crate::local::{CONTROL, ClientError};

/// Done.
pub(crate) const OK: u8 = 0;
/// It was tried and failed, or the agent said no.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
/// The Magic Link or its command is not good, or not for this gateway (`EX_DATAERR`).
pub(crate) const REFUSED: u8 = 65;
/// The agent cannot be reached (`EX_UNAVAILABLE`).
pub(crate) const UNREACHABLE: u8 = 69;
/// Only root may do that (`EX_NOPERM`).
pub(crate) const NOT_ROOT: u8 = 77;
/// The configuration is wrong (`EX_CONFIG`).
pub(crate) const CONFIG: u8 = 78;

/// Tells a failure with what to do, and gives its exit code.
pub(super) fn failed(failure: &Failure) -> u8 {
    let (code, advice) = table(failure);
    let _ = std::io::stderr().lock().write_all(text(failure, advice).as_bytes());
    code
}

/// What the agent says, or stands on a stick, may be in it: it must not play with root's terminal.
fn text(failure: &Failure, advice: &str) -> String {
    let mut text = format!("error: {}\n", clean(&failure.to_string()));
    let mut source = std::error::Error::source(failure);
    while let Some(error) = source {
        text.push_str(&format!("  because: {}\n", clean(&error.to_string())));
        source = error.source();
    }
    if !advice.is_empty() {
        text.push_str(&format!("  {advice}\n"));
    }
    text
}

fn table(failure: &Failure) -> (u8, &'static str) {
    match failure {
        Failure::Client(ClientError::NotRunning(_)) => (
            UNREACHABLE,
            "Look: systemctl status keros-agent; journalctl -u keros-agent -n 50. Start: systemctl start keros-agent",
        ),
        Failure::Client(ClientError::NotAllowed(path)) if path.ends_with(CONTROL) => {
            (NOT_ROOT, "Only root may run or cancel something on the gateway. Use sudo")
        }
        Failure::Client(ClientError::Refused { status: 403, .. }) => (NOT_ROOT, "Use sudo"),
        Failure::Client(ClientError::Source(_)) => {
            (FAILED, "Is the stick still there? Nothing was run; copying begins where it ended: try again")
        }
        Failure::Client(ClientError::NotAllowed(_)) => (
            UNREACHABLE,
            "Use sudo, or become a member of the group keros: usermod -aG keros USER, then log in again",
        ),
        Failure::Client(ClientError::Io(_)) => {
            (UNREACHABLE, "It may hang or be stopping. Look: journalctl -u keros-agent -n 50")
        }
        Failure::Client(ClientError::Answer(_)) => {
            (FAILED, "Is the program at the socket another version? Compare: keros-agent --version")
        }
        Failure::Terminal(_) => (FAILED, "Without a screen: keros-agent watch --plain"),
        Failure::Configuration(_) => (CONFIG, ""),
        Failure::Bundle(..) => (REFUSED, "Nothing was sent. Export it again: keros-center magic-link export"),
        Failure::Order(_) => {
            (REFUSED, "Nothing was sent. A new one: keros-center magic-link sign HASH --gateway EUI")
        }
        Failure::Executor(_) => (
            UNREACHABLE,
            "The job was handed to the executor, and may run. Look: journalctl -u 'keros-executor*' -n 50. Ask again",
        ),
        Failure::OnItsWay(_) => {
            (FAILED, "Should it not start, it ends as cancelled. Ask again, to stop it when it has")
        }
        Failure::Refused(_) => (REFUSED, "Nothing was run"),
        Failure::Line(_) => (REFUSED, "Nothing was changed. A new line: keros-center enroll EUI"),
        Failure::Enrol(error) => {
            let code = match error.kind() {
                Kind::NotRoot => NOT_ROOT,
                Kind::Refused => REFUSED,
                Kind::Unreachable => UNREACHABLE,
                Kind::Configuration => CONFIG,
                Kind::Failed => FAILED,
            };
            (code, error.advice())
        }
        Failure::Logs(LogsError::NotAllowed) => (
            NOT_ROOT,
            "Use sudo, or become a member of the group keros: usermod -aG keros USER, then log in again",
        ),
        Failure::Logs(LogsError::NoService(_)) => {
            (UNREACHABLE, "Use sudo, or start the service: systemctl start keros-logs.socket")
        }
        Failure::Logs(_) => (FAILED, ""),
        Failure::Client(ClientError::Refused { .. }) | Failure::NoSuchJob(_) | Failure::Ambiguous { .. } => {
            (FAILED, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_does_not_steer_the_terminal() {
        let detail = "no\x1b]0;x\x07\nerror: \u{202e}all is well".to_owned();
        let refused = Failure::Client(ClientError::Refused { status: 500, detail: detail.clone() });
        let because = Failure::Client(ClientError::Io(std::io::Error::other(detail)));
        for failure in [refused, because] {
            let text = text(&failure, "");
            assert!(text.contains("no\\u{1b}]0;x\\u{7} error: \\u{202e}all is well"), "{text}");
        }
    }
}
