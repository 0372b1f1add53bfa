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
    Event(Box<Event>),
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
    if let Err(broken) = hand_over(input, request).await {
        return End { handed_over: broken.is_readable, message: broken.to_string() };
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
    if let Err(broken) = &handed {
        message = format!("{broken}; {message}");
    }
    if let Ok(Ok(status)) = time::timeout(EXIT_LIMIT, child.wait()).await {
        message = format!("{message} ({status})");
    }
    End { handed_over: handed.map_or_else(|broken| broken.is_readable, |()| true), message }
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

/// The request did not go over whole.
#[derive(Debug, thiserror::Error)]
#[error("cannot send the request to the executor: {error}")]
struct Broken {
    error: io::Error,
    /// Nothing but the end of the line may be missing: the executor may act on it.
    is_readable: bool,
}

async fn hand_over(mut input: impl AsyncWrite + Unpin, request: &Request) -> Result<(), Broken> {
    let broken = |error, is_readable| Broken { error, is_readable };
    let mut line = serde_json::to_vec(request).map_err(|error| broken(error.into(), false))?;
    line.push(b'\n');
    let mut rest = line.as_slice();
    let write = async {
        while !rest.is_empty() {
            match input.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = &rest[written..],
            }
        }
        input.shutdown().await
    };
    let written = time::timeout(HAND_OVER_LIMIT, write).await.unwrap_or_else(|late| Err(late.into()));
    // Without its last brace no JSON object can be read.
    written.map_err(|error| broken(error, rest.len() <= 1))
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
        tracing::info!("executor: {}{mark}", String::from_utf8_lossy(&line));
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Starts a shell script as the executor and collects what the session says.
    async fn session(script: &str) -> (Vec<Event>, bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("executor");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        through(ExecutorAccess::Command(vec![path.to_str().unwrap().to_owned(), "session".to_owned()])).await
    }

    async fn through(access: ExecutorAccess) -> (Vec<Event>, bool, String) {
        let (sender, mut events) = mpsc::channel(2);
        open(access, 7, Request::Status {}, sender);
        let mut heard = Vec::new();
        loop {
            let next =
                time::timeout(Duration::from_secs(20), events.recv()).await.expect("the session never ends");
            let event = next.expect("a session says how it ended");
            assert_eq!(event.session, 7);
            match event.what {
                SessionWhat::Event(event) => heard.push(*event),
                SessionWhat::Closed { handed_over, message } => return (heard, handed_over, message),
            }
        }
    }

    fn failed(message: &str) -> Event {
        Event::RequestFailed { message: message.to_owned(), unknown: false }
    }

    #[tokio::test]
    async fn the_request_goes_in_and_the_events_come_out() {
        let script = r#"read -r line; printf '{"event":"request_failed","message":"%s %s %s"}\n' \
            "$1" "${#line}" "$(env | cut -d= -f1 | sort | tr '\n' ' ')"; cat; exit 3"#;
        let (events, handed_over, message) = session(script).await;
        let Event::RequestFailed { message: heard, .. } = &events[0] else { panic!("{events:?}") };
        assert!(heard.starts_with("session 20 "), "one line, then the end: {heard}");
        assert!(!heard.contains("CARGO") && !heard.contains("HOME"), "a clean environment: {heard}");
        assert!(handed_over && message.contains("exit status: 3"), "{message}");
    }

    #[tokio::test]
    async fn what_is_no_event_is_passed_over() {
        let script = r#"echo nonsense; echo '{"event":"later"}'; head -c 1100000 /dev/zero | tr '\0' x; echo
            head -c 2000 /dev/zero >&2
            echo '{"event":"request_failed","message":"last"}'"#;
        let (events, ..) = session(script).await;
        assert_eq!(events, [failed("last")]);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_was_never_handed_anything() {
        let (events, handed_over, message) =
            through(ExecutorAccess::Command(vec!["/nonexistent/executor".to_owned()])).await;
        assert!(events.is_empty() && !handed_over && message.contains("/nonexistent/executor"), "{message}");
        let socket = ExecutorAccess::Socket("/nonexistent/socket".into());
        let (_, handed_over, message) = through(socket).await;
        assert!(!handed_over && message.contains("/nonexistent/socket"), "{message}");
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_may_have_seen_the_request() {
        let (events, handed_over, _) = session("read -r line; exit 1").await;
        assert!(events.is_empty() && handed_over);
    }

    #[tokio::test]
    async fn a_request_that_breaks_off_was_never_handed_over() {
        for (missing, readable) in [(0, true), (1, true), (2, false), (20, false)] {
            let request = Request::Status {};
            let length = serde_json::to_vec(&request).unwrap().len() + 1;
            let mut room = vec![0; length - missing];
            let broken = hand_over(io::Cursor::new(room.as_mut_slice()), &request).await;
            assert_eq!(broken.map_or_else(|broken| broken.is_readable, |()| true), readable, "{missing}");
        }
    }

    #[tokio::test]
    async fn a_socket_serves_like_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut request).await.unwrap();
            stream.write_all(b"{\"event\":\"request_failed\",\"message\":\"no\"}\n").await.unwrap();
            request
        });
        let (events, handed_over, _) = through(ExecutorAccess::Socket(path)).await;
        assert!(handed_over);
        assert_eq!(events, [failed("no")]);
        assert_eq!(server.await.unwrap(), "{\"request\":\"status\"}\n");
    }

    #[tokio::test]
    async fn a_session_that_is_let_go_does_not_end_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let (go, done) = (folder.path().join("go"), folder.path().join("done"));
        let script = format!(
            "echo '{{\"event\":\"request_failed\",\"message\":\"up\"}}'\nuntil [ -e {} ]; do sleep 0.05; done; touch {}",
            go.display(),
            done.display()
        );
        let (sender, mut events) = mpsc::channel(2);
        let arguments = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        let task = open(ExecutorAccess::Command(arguments), 1, Request::Status {}, sender);
        events.recv().await.expect("it is up");
        task.abort();
        assert!(events.recv().await.is_none(), "the session is gone");
        std::fs::write(&go, "").unwrap();
        for _ in 0..400 {
            if done.exists() {
                return;
            }
            time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the program was ended with the session");
    }
}
