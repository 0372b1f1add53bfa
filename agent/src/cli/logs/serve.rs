//! The service's side (`keros-logs@.service`): one request on standard input, which is the connection, and its lines. It reads the journal
//! and nothing else; what is asked can only choose among the lines of our own programs.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use super::LogsError;
use super::ask::{Answer, journal};
use super::request::Request;
use crate::cli::exit;

/// No request is longer, bytes.
const MAX_REQUEST_BYTES: usize = 1024;

/// Serves the one request.
pub(crate) fn serve() -> ExitCode {
    let request = match read_request() {
        Ok(request) => request,
        Err(error) => {
            say(&Answer::Error(error.to_string()));
            return exit::USAGE.into();
        }
    };
    end_with_the_peer();
    let mut take = |entry: &_| say(&Answer::Entry(Clone::clone(entry)));
    match journal(&request, &mut take) {
        Ok(()) => exit::OK.into(),
        Err(error) => {
            say(&Answer::Error(told(&error)));
            exit::FAILED.into()
        }
    }
}

/// Byte by byte to the end of the line: more is not expected, and the peer keeps its side open.
fn read_request() -> io::Result<Request> {
    let mut line = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\n' => break,
            _ if line.len() == MAX_REQUEST_BYTES => return Err(io::Error::other("the request is too long")),
            byte => line.push(byte),
        }
    }
    serde_json::from_slice(&line).map_err(io::Error::other)
}

/// Whoever follows may be gone for hours before the next line shows it.
fn end_with_the_peer() {
    std::thread::spawn(|| {
        let mut byte = [0];
        // Whatever else comes is passed over.
        while io::stdin().lock().read(&mut byte).is_ok_and(|count| count > 0) {}
        std::process::exit(exit::OK.into());
    });
}

fn say(answer: &Answer) -> bool {
    let line = serde_json::to_string(answer).unwrap_or_default() + "\n";
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_ok()
}

fn told(error: &LogsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
