//! The technician's side of the socket: one request, one answer, blocking, bounded in time and size.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

/// A little more than the server takes at most.
const TIMEOUT: Duration = Duration::from_secs(12);

/// Some dozens of jobs, each with output of 64 KiB that JSON may make longer.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// Headers of an answer.
const MAX_HEADERS: usize = 32;

/// Asks one agent.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// Why there is no answer, or no good one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("the agent is not running, or its socket is not {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket is for others.
    #[error("you may not use the agent's socket {}", .0.display())]
    NotAllowed(PathBuf),
    /// The connection failed midway, or took too long.
    #[error("the agent gave no answer")]
    Io(#[source] io::Error),
    /// The answer is not HTTP, or not the JSON that it should be.
    #[error("the agent's answer cannot be understood: {0}")]
    Answer(String),
    /// The agent says no.
    #[error("{detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In words.
        detail: String,
    },
}

impl Client {
    /// A client of the agent behind this socket.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask("GET", path)
    }

    /// Orders something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask("POST", path)
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str) -> Result<T, ClientError> {
        let stream = UnixStream::connect(&self.socket).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(self.socket.clone()),
            _ => ClientError::NotRunning(self.socket.clone()),
        })?;
        let answer = exchange(stream, method, path).map_err(|error| match error.kind() {
            // What a socket's time limit looks like.
            io::ErrorKind::WouldBlock => ClientError::Io(io::ErrorKind::TimedOut.into()),
            _ => ClientError::Io(error),
        })?;
        let (status, body) = parse(&answer).map_err(ClientError::Answer)?;
        if !(200..300).contains(&status) {
            let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let detail = problem.get("detail").and_then(serde_json::Value::as_str);
            let detail = detail.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
            return Err(ClientError::Refused { status, detail });
        }
        serde_json::from_slice(body).map_err(|error| ClientError::Answer(error.to_string()))
    }
}

fn exchange(mut stream: UnixStream, method: &str, path: &str) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: keros-agent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body. The body must be whole, as its length is stated: half a status would be a wrong status.
fn parse(answer: &[u8]) -> Result<(u16, &[u8]), String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let begin = match response.parse(answer) {
        Ok(httparse::Status::Complete(begin)) => begin,
        Ok(httparse::Status::Partial) => return Err("it ends in its headers".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length
        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
        .ok_or("it does not state its length")?;
    let end = begin.checked_add(length).ok_or("its length is absurd")?;
    let body = answer.get(begin..end).ok_or("it ends too early")?;
    Ok((response.code.unwrap_or(0), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_is_no_answer() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(whole), Ok((200, &b"{}"[..])));
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        assert!(parse(b"SSH-2.0-x\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n{}").is_err());
    }
}
