//! One session with the executor: the request goes there, its events come back. The executor goes on when nobody listens,
//! so a session is never needed for a job to end.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use keros_protocol::executor::{Event, Request};
use keros_protocol::limits;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time;

use crate::config::ExecutorAccess;
use crate::mqtt::chain;

/// To connect, and to hand the request over.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(30);
/// For the process to end after it has closed its output.
const EXIT_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of one line of its standard error that are logged.
const MAX_LOG_LINE_BYTES: usize = 1024;
/// The only environment of a program that is started.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What comes from a session.
#[derive(Debug)]
pub(crate) struct SessionEvent {
    /// The session's number.
    pub(crate) session: u64,
    /// What it says.
    pub(crate) what: SessionWhat,
}

/// What a session says.
#[derive(Debug)]
pub(crate) enum SessionWhat {
    /// An event of the executor.
    Event(Event),
    /// It is over.
    Closed {
        /// The executor may have seen the request.
        handed_over: bool,
        /// Why, in words.
        message: String,
    },
}

/// How a session ended.
struct End {
    handed_over: bool,
    message: String,
}

/// Opens a session of its own task. The job is not touched when the task is aborted.
pub(crate) fn open(
    access: ExecutorAccess,
    session: u64,
    request: Request,
    events: mpsc::Sender<SessionEvent>,
) -> AbortHandle {
    let task = tokio::spawn(async move {
        let sender = Sender { session, events };
        let end = match access {
            ExecutorAccess::Socket(path) => through_socket(&path, &request, &sender).await,
            ExecutorAccess::Command(arguments) => through_program(&arguments, &request, &sender).await,
        };
        sender.send(SessionWhat::Closed { handed_over: end.handed_over, message: end.message }).await;
    });
    task.abort_handle()
}

struct Sender {
    session: u64,
    events: mpsc::Sender<SessionEvent>,
}

impl Sender {
    async fn send(&self, what: SessionWhat) {
        let _ = self.events.send(SessionEvent { session: self.session, what }).await;
    }
}

async fn through_socket(path: &Path, request: &Request, sender: &Sender) -> End {
    let connected = time::timeout(HAND_OVER_LIMIT, UnixStream::connect(path)).await;
    let stream = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(error) => {
            let message = format!("cannot connect to the executor at {}: {error}", path.display());
            return End { handed_over: false, message };
        }
    };
    let (output, input) = stream.into_split();
    if let Err(error) = hand_over(input, request).await {
        return End {
            handed_over: true,
            message: format!("cannot send the request to the executor: {error}"),
        };
    }
    End { handed_over: true, message: follow(output, sender).await }
}

async fn through_program(arguments: &[String], request: &Request, sender: &Sender) -> End {
    let mut child = match spawn(arguments) {
        Ok(child) => child,
        Err(error) => {
            let program = arguments.first().map_or("", String::as_str);
            let message = format!("cannot start the executor {program:?}: {error}");
            return End { handed_over: false, message };
        }
    };
    if let Some(errors) = child.stderr.take() {
        tokio::spawn(log_lines(errors));
    }
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return End { handed_over: true, message: "the executor has no pipes".to_owned() };
    };
    // A program that ends before it reads its input says why in its output or exit code.
    let handed = hand_over(input, request).await;
    let mut message = follow(output, sender).await;
    if let Err(error) = handed {
        message = format!("cannot send the request to the executor: {error}; {message}");
    }
    if let Ok(Ok(status)) = time::timeout(EXIT_LIMIT, child.wait()).await {
        message = format!("{message} ({status})");
    }
    End { handed_over: true, message }
}

fn spawn(arguments: &[String]) -> io::Result<Child> {
    let (program, rest) = arguments.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(rest)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Signals meant for the agent's group must not reach a job; the executor begins a session of its own besides.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
}

async fn hand_over(mut input: impl AsyncWrite + Unpin, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let write = async {
        input.write_all(&line).await?;
        input.shutdown().await
    };
    time::timeout(HAND_OVER_LIMIT, write).await?
}

/// Passes the events on; the text says how it ended.
async fn follow(output: impl AsyncRead + Unpin, sender: &Sender) -> String {
    let mut reader = BufReader::with_capacity(4096, output);
    let mut line = Vec::new();
    loop {
        match read_line(&mut reader, &mut line, limits::MAX_EXECUTOR_LINE_BYTES).await {
            Ok(Line::End) => return "the executor closed the session".to_owned(),
            Err(error) => return format!("the session with the executor broke: {error}"),
            Ok(Line::TooLong) => tracing::warn!("a line of the executor is too long and was passed over"),
            Ok(Line::Whole) => match serde_json::from_slice(&line) {
                Ok(event) => sender.send(SessionWhat::Event(event)).await,
                Err(error) => tracing::warn!(error = %chain(&error), "a line of the executor cannot be read"),
            },
        }
        // A large output must not stay in memory for the rest of the job.
        line.clear();
        line.shrink_to(4096);
    }
}

async fn log_lines(errors: impl AsyncRead + Unpin) {
    let mut reader = BufReader::with_capacity(1024, errors);
    let mut line = Vec::new();
    while let Ok(found @ (Line::Whole | Line::TooLong)) =
        read_line(&mut reader, &mut line, MAX_LOG_LINE_BYTES).await
    {
        let mark = if matches!(found, Line::TooLong) { " …" } else { "" };
        tracing::warn!("executor: {}{mark}", String::from_utf8_lossy(&line));
        line.clear();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads one line without its end. Of one that is too long the beginning is kept, and all of it is passed over.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    max_bytes: usize,
) -> io::Result<Line> {
    let mut too_long = false;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            let whole = if too_long { Line::TooLong } else { Line::Whole };
            return Ok(if line.is_empty() { Line::End } else { whole });
        }
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..newline.unwrap_or(chunk.len())];
        let room = max_bytes - line.len();
        too_long |= part.len() > room;
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = newline.map_or(chunk.len(), |at| at + 1);
        reader.consume(used);
        if newline.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}
