//! `keros-agent enroll` and `renew`: the line from the arguments or standard input, and a word about each step.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

use keros_protocol::enroll::{EnrolLine, LineError};

use super::text::clean;
use super::{Failure, note, print};
use crate::arguments::{Enroll, Renew};
use crate::enroll::{self, Renewal, Wanted};

/// A line has some 150 characters; a mail program may have made several of it.
const MAX_INPUT_BYTES: u64 = 4096;

/// Enrols this gateway.
pub(super) fn enroll(arguments: &Enroll, config: Option<&Path>) -> Result<(), Failure> {
    let line = match arguments.line.as_str() {
        "-" => read_line()?,
        text => text.parse::<EnrolLine>()?,
    };
    let is_asked = std::io::stdin().is_terminal();
    let may_replace = |what: &str| arguments.force || (is_asked && is_yes(what));
    let wanted =
        Wanted { line, config, may_replace: &may_replace, no_restart: arguments.no_restart, tell: &tell };
    Ok(enroll::enroll(&wanted)?)
}

/// Renews this gateway's certificate.
pub(super) fn renew(arguments: &Renew, config: Option<&Path>) -> Result<(), Failure> {
    Ok(enroll::renew(&Renewal { config, now: arguments.now, tell: &tell })?)
}

fn tell(text: &str) {
    print(&format!("{}\n", text.lines().map(clean).collect::<Vec<_>>().join("\n")));
}

/// Until it is whole: an end that is missing may be in the next line.
fn read_line() -> Result<EnrolLine, Failure> {
    if std::io::stdin().is_terminal() {
        note("Paste the line of `keros-center enroll`, then press Enter:\n");
    }
    let mut text = String::new();
    let mut read = Err(LineError::Other);
    for line in std::io::stdin().lock().take(MAX_INPUT_BYTES).lines() {
        let Ok(line) = line else { break };
        if line.trim().is_empty() && !text.is_empty() {
            break;
        }
        text.push_str(&line);
        read = text.parse();
        if !matches!(read, Err(LineError::Cut | LineError::Other)) {
            break;
        }
    }
    Ok(read?)
}

fn is_yes(what: &str) -> bool {
    note(&format!("{}. Replace it? [y/N] ", clean(what)));
    let mut answer = String::new();
    let _ = std::io::stdin().lock().take(64).read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}
