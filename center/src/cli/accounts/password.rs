//! Passwords from files, pipes and terminals. They are never printed.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Longer lines are no password.
const MAX_BYTES: u64 = 4096;

/// The first line of a file, of standard input (`-`), or what is typed; twice, when it is a new one.
pub(super) fn read(file: Option<&Path>, is_new: bool) -> anyhow::Result<String> {
    match file {
        Some(path) if path == Path::new("-") => {
            first_line(io::stdin().lock()).context("cannot read the password")
        }
        Some(path) => File::open(path)
            .and_then(first_line)
            .with_context(|| format!("cannot read the password from {}", path.display())),
        None if !super::super::terminal::can_ask() => {
            bail!("there is no terminal to ask for the password: name a file with --password-file")
        }
        None => {
            let password = typed("Password: ")?;
            if is_new && typed("The same again: ")? != password {
                bail!("the two are not the same: nothing was changed");
            }
            Ok(password)
        }
    }
}

fn first_line(source: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(source.take(MAX_BYTES)).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Reads a line that is not shown.
fn typed(question: &str) -> anyhow::Result<String> {
    let stdin = io::stdin();
    debug_assert!(stdin.is_terminal());
    write!(io::stderr(), "{question}")?;
    let shown = tcgetattr(&stdin).context("cannot ask the terminal")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("cannot hide what is typed")?;
    let line = first_line(stdin.lock());
    tcsetattr(&stdin, OptionalActions::Now, &shown).context("cannot show again what is typed")?;
    writeln!(io::stderr())?;
    Ok(line?)
}
