//! The program at the other end, as the kernel knows it.

use std::fmt;
use std::path::PathBuf;

use keros_protocol::text::printable;
use tokio::net::UnixStream;

/// `/proc/PID/comm` has 16.
const MAX_NAME_BYTES: u64 = 64;

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) uid: Option<u32>,
    gid: Option<u32>,
    pid: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let found = stream.peer_cred().ok();
        Self {
            uid: found.map(|peer| peer.uid()),
            gid: found.map(|peer| peer.gid()),
            pid: found.and_then(|peer| peer.pid()),
        }
    }
}

/// For the log. The name is what the program calls itself, and may not be visible in the agent's sandbox.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid: Some(uid), gid: Some(gid), pid } = self else {
            return f.write_str("an unknown user");
        };
        write!(f, "user {uid}, group {gid}")?;
        let Some(pid) = pid else { return Ok(()) };
        write!(f, ", process {pid}")?;
        let path = PathBuf::from(format!("/proc/{pid}/comm"));
        match keros_platform::read_small(&path, MAX_NAME_BYTES) {
            Some(name) => write!(f, " ({})", printable(name.trim_end())),
            None => Ok(()),
        }
    }
}
