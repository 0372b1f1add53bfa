//! The technician's side of the sockets: one request, one answer, blocking, bounded in time and size.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A little more than the server takes at most.
const TIMEOUT: Duration = Duration::from_secs(12);

/// While it takes or checks a blob the server waits for its disk.
const BLOB_TIMEOUT: Duration = Duration::from_secs(120);

/// A body is sent in such pieces.
const PIECE_BYTES: usize = 64 * 1024;

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
    /// What is to be sent cannot be read.
    #[error("it cannot be read to its end")]
    Source(#[source] io::Error),
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
        self.ask("GET", path, None)
    }

    /// Orders something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask("POST", path, None)
    }

    /// Hands something over.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let json = serde_json::to_vec(value).map_err(|error| ClientError::Answer(error.to_string()))?;
        let body = Body { bytes: json.len() as u64, reader: &mut json.as_slice(), sent: &mut |_| {} };
        self.ask("POST", path, Some(body))
    }

    /// Sends so many bytes; `sent` hears how many of them are on their way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn put(
        &self,
        path: &str,
        bytes: u64,
        reader: &mut dyn Read,
        sent: &mut dyn FnMut(u64),
    ) -> Result<(), ClientError> {
        self.ask("PUT", path, Some(Body { bytes, reader, sent })).map(|_: serde_json::Value| ())
    }

    /// Whether there is something under a path.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn exists(&self, path: &str) -> Result<bool, ClientError> {
        let answer = self.send("HEAD", path, None)?;
        let (status, _, _) = parse_head(&answer).map_err(ClientError::Answer)?;
        match status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(ClientError::Refused { status, detail: format!("HTTP status {status}") }),
        }
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<Body<'_>>,
    ) -> Result<T, ClientError> {
        let answer = self.send(method, path, body)?;
        let (status, body) = parse(&answer).map_err(ClientError::Answer)?;
        if !(200..300).contains(&status) {
            let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let detail = problem.get("detail").and_then(serde_json::Value::as_str);
            let detail = detail.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
            return Err(ClientError::Refused { status, detail });
        }
        serde_json::from_slice(body).map_err(|error| ClientError::Answer(error.to_string()))
    }

    fn send(&self, method: &str, path: &str, body: Option<Body<'_>>) -> Result<Vec<u8>, ClientError> {
        let stream = UnixStream::connect(&self.socket).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(self.socket.clone()),
            _ => ClientError::NotRunning(self.socket.clone()),
        })?;
        exchange(stream, method, path, body).map_err(|error| match error {
            // What a socket's time limit looks like.
            ClientError::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ClientError::Io(io::ErrorKind::TimedOut.into())
            }
            error => error,
        })
    }
}

/// What goes with a request.
struct Body<'a> {
    bytes: u64,
    reader: &'a mut dyn Read,
    sent: &'a mut dyn FnMut(u64),
}

fn exchange(
    mut stream: UnixStream,
    method: &str,
    path: &str,
    body: Option<Body<'_>>,
) -> Result<Vec<u8>, ClientError> {
    let limit = if matches!(method, "HEAD" | "PUT") { BLOB_TIMEOUT } else { TIMEOUT };
    stream.set_read_timeout(Some(limit)).map_err(ClientError::Io)?;
    stream.set_write_timeout(Some(limit)).map_err(ClientError::Io)?;
    let bytes = body.as_ref().map_or(0, |body| body.bytes);
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: keros-agent\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n"
    )
    .map_err(ClientError::Io)?;
    // A server that breaks off has said why.
    let broken = body.map_or(Ok(None), |body| send_body(&mut stream, body))?;
    let mut answer = Vec::new();
    let read = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
    match (read, broken) {
        (Ok(_), None) => Ok(answer),
        // It was told, and then the connection went; whether all of it is there, its length says.
        (_, _) if !answer.is_empty() => Ok(answer),
        (Err(error), None) | (_, Some(error)) => Err(ClientError::Io(error)),
    }
}

/// Why the server takes no more, when it does not.
fn send_body(stream: &mut UnixStream, body: Body<'_>) -> Result<Option<io::Error>, ClientError> {
    let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(body.bytes).unwrap_or(PIECE_BYTES))];
    let mut reader = body.reader.take(body.bytes);
    let mut sent = 0;
    while sent < body.bytes {
        let length = match reader.read(&mut piece).map_err(ClientError::Source)? {
            0 => return Err(ClientError::Source(io::ErrorKind::UnexpectedEof.into())),
            length => length,
        };
        if let Err(error) = stream.write_all(&piece[..length]) {
            return Ok(Some(error));
        }
        sent += length as u64;
        (body.sent)(sent);
    }
    Ok(None)
}

/// Status and body. The body must be whole, as its length is stated: half a status would be a wrong status.
fn parse(answer: &[u8]) -> Result<(u16, &[u8]), String> {
    let (status, begin, length) = parse_head(answer)?;
    let end = begin.checked_add(length).ok_or("its length is absurd")?;
    let body = answer.get(begin..end).ok_or("it ends too early")?;
    Ok((status, body))
}

/// Status, where the body begins, and its length.
fn parse_head(answer: &[u8]) -> Result<(u16, usize, usize), String> {
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
    Ok((response.code.unwrap_or(0), begin, length))
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
