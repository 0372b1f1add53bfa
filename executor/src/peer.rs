//! Who is at the other end of a session.

use std::fs::File;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{dup2_stdin, dup2_stdout, geteuid};

use crate::exit::Failure;

/// Makes sure that root asks. Who has started this very program by hand can do no more with it than without it.
pub(crate) fn check_is_root(input: &impl AsFd) -> Result<(), Failure> {
    match getsockopt(&input.as_fd(), sockopt::PeerCredentials) {
        Ok(peer) if peer.uid() == 0 || peer.uid() == geteuid().as_raw() => Ok(()),
        Ok(peer) => Err(Failure::Unsafe(format!(
            "user {} may not cancel a job without the center's signed cancellation",
            peer.uid()
        ))),
        // A pipe, a file, a terminal: it was started directly.
        Err(Errno::ENOTSOCK) => Ok(()),
        Err(errno) => Err(Failure::io("ask who is at the other end")(errno.into())),
    }
}

/// Who asks, in words for the log.
pub(crate) fn name(input: &impl AsFd) -> String {
    match getsockopt(&input.as_fd(), sockopt::PeerCredentials) {
        Ok(peer) => format!("user {} (process {})", peer.uid(), peer.pid()),
        Err(_) => "whoever started this program".to_owned(),
    }
}

/// Closes the session for the peer; the process goes on.
pub(crate) fn let_go() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
    }
}
