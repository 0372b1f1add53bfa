//! Reads the one request of a session: one line, bounded in size and in the time to wait for it.

use std::io::{Read, Write as _};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use keros_protocol::executor::Request;
use keros_protocol::limits::MAX_EXECUTOR_LINE_BYTES;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exit::Failure;

/// A peer that has a request sends it at once; a connection that stays silent must not keep a process for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads and parses the request.
pub(crate) fn read_request(input: &mut (impl Read + AsFd)) -> Result<Request, Failure> {
    let line = read_line(input, PATIENCE)?;
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::Request("the request is not UTF-8: send one line of JSON".to_owned()))?;
    serde_json::from_str(text).map_err(|error| {
        Failure::Request(format!(
            "the request cannot be read: {error}; send one line of JSON, for example {{\"request\":\"status\"}}"
        ))
    })
}

fn read_line(input: &mut (impl Read + AsFd), patience: Duration) -> Result<Vec<u8>, Failure> {
    let deadline = Instant::now() + patience;
    let mut line = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        wait_readable(input, deadline)?;
        let count = match input.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            result => result.map_err(Failure::io("read the request"))?,
        };
        let end = chunk[..count].iter().position(|byte| *byte == b'\n');
        let _ = line.write_all(&chunk[..end.unwrap_or(count)]);
        if line.len() > MAX_EXECUTOR_LINE_BYTES {
            return Err(Failure::Request(format!(
                "the request is longer than {MAX_EXECUTOR_LINE_BYTES} bytes"
            )));
        }
        // The end of the input ends the line too: what was cut off in the middle is no JSON object.
        if end.is_some() || count == 0 {
            return Ok(line);
        }
    }
}

fn wait_readable(input: &impl AsFd, deadline: Instant) -> Result<(), Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout) {
        Ok(0) => Err(Failure::Request(format!("no request came within {} s", PATIENCE.as_secs()))),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(Failure::io("wait for the request")(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn read(bytes: &[u8]) -> Result<Request, Failure> {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = near.write_all(&bytes);
        });
        let result = read_request(&mut far);
        drop(far);
        writer.join().unwrap();
        result
    }

    #[test]
    fn one_line_is_one_request() {
        assert_eq!(read(b"{\"request\":\"status\"}\nrest").unwrap(), Request::Status {});
        assert_eq!(read(b"{\"request\":\"status\"}").unwrap(), Request::Status {});
    }

    #[test]
    fn what_is_no_request_is_named() {
        for bytes in
            [&b""[..], b"\n", b"{\"request\":\"sta", b"{\"request\":\"dance\"}\n", b"[1]\n", b"\xff\n"]
        {
            assert_eq!(read(bytes).unwrap_err().code(), 65, "{bytes:?}");
        }
        let long = vec![b'x'; MAX_EXECUTOR_LINE_BYTES + 2];
        assert!(read(&long).unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn silence_ends() {
        let (_near, mut far) = UnixStream::pair().unwrap();
        assert!(read_line(&mut far, Duration::from_millis(1)).is_err());
    }
}
