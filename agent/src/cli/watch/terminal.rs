//! The terminal: keys without the Enter key, a second screen, its size, and all as it was at the end.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use super::frame::Size;

/// The second screen, without a cursor, and without breaking lines that are too long.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Of a terminal that does not say its size.
const USUAL: Size = Size { rows: 24, columns: 80 };
/// Sizes beyond are not believed.
const MOST: usize = 1000;

const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
const DRAWING: [Signal; 2] = [Signal::SIGWINCH, Signal::SIGCONT];

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Nothing,
    /// All must be drawn anew: another size, or somebody else has drawn.
    Redraw,
    End,
}

/// Whether a screen can be drawn here.
pub(super) fn is_usable() -> bool {
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    io::stdout().is_terminal() && !is_dumb && std::env::var_os("TERM").is_some()
}

/// Leaves the signals that are meant for the screen to its thread.
pub(super) fn leave_signals() {
    // It cannot fail for these signals.
    let _ = signals().thread_block();
}

fn signals() -> SigSet {
    ENDING.into_iter().chain(DRAWING).collect()
}

/// The terminal in its second screen, until this is dropped.
pub(super) struct Terminal {
    before: Option<Termios>,
    signals: SignalFd,
    has_keys: bool,
}

impl Terminal {
    /// Enters the second screen.
    pub(super) fn enter() -> io::Result<Self> {
        signals().thread_block()?;
        let signals = SignalFd::with_flags(&signals(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let before = if io::stdin().is_terminal() { termios::tcgetattr(io::stdin()).ok() } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            // Ctrl-C and Ctrl-Z come as keys: nobody stops this in the middle of the second screen.
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            raw.special_codes[SpecialCodeIndex::VMIN] = 0;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        }
        let terminal = Self { has_keys: before.is_some(), before, signals };
        write(ENTER)?;
        Ok(terminal)
    }

    /// The size of the terminal at this moment.
    pub(super) fn size() -> Size {
        let Ok(size) = termios::tcgetwinsize(io::stdout()) else { return USUAL };
        let known = |value: u16, usual: usize| if value == 0 { usual } else { usize::from(value).min(MOST) };
        Size { rows: known(size.ws_row, USUAL.rows), columns: known(size.ws_col, USUAL.columns) }
    }

    /// Waits for a key or a signal.
    pub(super) fn wait(&mut self, limit: Duration) -> Happened {
        let stdin = io::stdin();
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if self.has_keys {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        // What goes wrong here shows when it is read.
        let _ = poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
        let has_key = fds.get(1).is_some_and(|fd| fd.any().unwrap_or(false));
        drop(fds);
        if has_key && self.is_ended_by_key() {
            return Happened::End;
        }
        let mut happened = Happened::Nothing;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let is = |of: &[Signal]| of.iter().any(|of| u32::try_from(*of as i32) == Ok(signal.ssi_signo));
            if is(&ENDING) {
                return Happened::End;
            }
            happened = Happened::Redraw;
        }
        happened
    }

    /// `q`, Ctrl-C, Ctrl-D, or the terminal has gone.
    fn is_ended_by_key(&mut self) -> bool {
        let mut keys = [0; 64];
        match rustix::io::read(io::stdin(), &mut keys) {
            Ok(0) => true,
            Ok(count) => keys[..count].iter().any(|key| matches!(key, b'q' | b'Q' | 0x03 | 0x04)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => false,
            Err(_) => true,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// At once, so that nothing half drawn is seen.
pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}
