//! Server and client over a real socket.

mod control;
mod fuzz;
mod openapi;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keros_machine::TimeJudge;
use keros_protocol::{CommandId, Envelope, Eui, Outcome};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};

use super::answer::{Sources, Timeouts};
use super::control::Control;
use super::server::Routes;
use super::upload::Uploads;
use super::*;
use crate::clock::{Clock, SharedTime};

/// Shorter than the real one, and long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_millis(800);

/// A server in a thread of its own, which ends with the test.
struct Server {
    folder: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Answers wishes for telemetry with `answer`; with `None` it never does.
    fn start(answer: Option<TelemetryAnswer>) -> Self {
        Self::start_with(answer, 1 << 29)
    }

    /// Takes blobs of at most so many bytes.
    fn start_with(answer: Option<TelemetryAnswer>, max_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let path = folder.path().to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&path, answer, max_bytes, stopped));
        });
        let server = Self { folder, stop: Some(stop), thread: Some(thread) };
        let limit = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(server.socket()).is_err() || UnixStream::connect(server.control()).is_err()
        {
            assert!(Instant::now() < limit, "the server did not come up");
            std::thread::yield_now();
        }
        server
    }

    fn socket(&self) -> PathBuf {
        socket_path(self.folder.path())
    }

    fn control(&self) -> PathBuf {
        control_path(self.folder.path())
    }

    fn client(&self) -> Client {
        Client::new(self.socket())
    }

    /// Sends bytes and reads all of the answer.
    fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(
    path: &Path,
    answer: Option<TelemetryAnswer>,
    max_bytes: u64,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let (_status, receiver) = watch::channel(Arc::new(view()));
    let (requests, mut asked) = mpsc::channel(4);
    let main_loop = async {
        let mut kept = Vec::new();
        while let Some(request) = asked.recv().await {
            match (request, answer) {
                (LocalRequest::TelemetryNow { answer: sender }, Some(answer)) => drop(sender.send(answer)),
                (LocalRequest::TelemetryNow { answer: sender }, None) => kept.push(sender),
                (LocalRequest::Command { envelope, only_check, answer }, _) => {
                    drop(answer.send(judged(&envelope, only_check)));
                }
                (LocalRequest::Cancel { command_id, answer }, _) => drop(answer.send(cancelled(command_id))),
            }
        }
    };
    let timeouts = Timeouts { connection: TIMEOUT, main_loop: TIMEOUT / 2 };
    let sources = Sources { shown: shown(path, receiver), requests: requests.clone(), timeouts };
    let numbers = Arc::clone(&sources.shown.numbers);
    let control = Control { requests, uploads: uploads(path, max_bytes), timeouts, numbers };
    let (status, root) = (socket_path(path), control_path(path));
    tokio::select! {
        served = server::serve(&status, Routes::Status(sources)) => served.unwrap(),
        served = server::serve(&root, Routes::Control(control)) => served.unwrap(),
        () = main_loop => {}
        _ = stopped => {}
    }
}

fn shown(folder: &Path, status: watch::Receiver<Arc<StatusView>>) -> Shown {
    Shown {
        status,
        config_json: r#"{"broker":{"host":"center"}}"#.into(),
        numbers: Arc::default(),
        time: SharedTime::new(Clock::new(), TimeJudge::new(1_700_000_000)),
        state_folder: folder.into(),
    }
}

fn uploads(folder: &Path, max_bytes: u64) -> Uploads {
    let store = Arc::new(BlobStore::new(folder.join("bundles"), Path::new("/")));
    Uploads { store, turn: Arc::new(Semaphore::new(1)), max_bytes, silence: TIMEOUT }
}

/// By the last digit of the id.
fn cancelled(command_id: CommandId) -> CancelAnswer {
    let outcome = Some(Outcome::Succeeded {
        summary: keros_protocol::Summary::default(),
        dry_run: false,
        differences: None,
    });
    let result = match command_id.0.as_u128() {
        1 => CancelResult::Cancelled {},
        2 => CancelResult::HandedOver {},
        3 => CancelResult::TooLate { outcome },
        4 => CancelResult::TooLate { outcome: None },
        5 => return CancelAnswer::NotDone("the disk is full"),
        _ => return CancelAnswer::Unknown,
    };
    CancelAnswer::Done(CancelledJob { command_id, result })
}

/// A main loop that tells by the answer what it was asked.
fn judged(envelope: &Envelope, only_check: bool) -> CommandAnswer {
    match (envelope.payload.as_str(), only_check) {
        ("full", _) => CommandAnswer::NotTaken("too many jobs are open"),
        ("nameless", _) => CommandAnswer::Unreadable("it has no id".to_owned()),
        ("refused", _) => CommandAnswer::Judged(JudgedCommand {
            command_id: CommandId(uuid::Uuid::from_u128(7)),
            judgement: Judgement::Refused {
                reason: keros_protocol::RefusalReason::Expired,
                detail: "too late".to_owned(),
            },
        }),
        (_, true) => CommandAnswer::Judged(JudgedCommand {
            command_id: CommandId(uuid::Uuid::from_u128(7)),
            judgement: Judgement::Duplicate { outcome: Some(Outcome::Accepted {}) },
        }),
        (_, false) => CommandAnswer::Judged(JudgedCommand {
            command_id: CommandId(uuid::Uuid::from_u128(7)),
            judgement: Judgement::Accepted {},
        }),
    }
}

pub(super) fn view() -> StatusView {
    let job = |id, outcome| JobView {
        command_id: CommandId(uuid::Uuid::from_u128(id)),
        update_id: None,
        kind: None,
        digest: None,
        received_at_unix_s: 1,
        changed_at_unix_s: 2,
        outcome,
        cancel: None,
        due_unix_s: None,
        fetch: None,
    };
    StatusView {
        agent_version: "0.1.0".to_owned(),
        eui: Eui::from_u64(1),
        identity_source: "configuration".to_owned(),
        codename: None,
        keros_version: None,
        started_at_unix_s: 1,
        connection: ConnectionView {
            state: "connected".to_owned(),
            broker: "center:8883".to_owned(),
            tls: "mutual".to_owned(),
            since_unix_s: 1,
            last_error: None,
        },
        telemetry: TelemetryView { last_sent_unix_s: None, last_answered_unix_s: None, next_unix_s: 1 },
        reports_pending: 0,
        open_jobs: vec![job(1, Outcome::Accepted {})],
        ended_jobs: vec![job(2, Outcome::Running { task: None })],
        ended_total: BTreeMap::from([("failed".to_owned(), 2)]),
        warnings: Vec::new(),
    }
}

#[test]
fn what_the_main_loop_publishes_is_what_the_technician_gets() {
    let server = Server::start(None);
    let client = server.client();
    assert_eq!(client.get::<StatusView>("/v1/status").unwrap(), view());
    let jobs: JobsView = client.get("/v1/jobs").unwrap();
    assert_eq!((jobs.open_jobs.len(), jobs.ended_jobs.len()), (1, 1));
    let job: JobView = client.get("/v1/jobs/00000000-0000-0000-0000-000000000002").unwrap();
    assert_eq!(job, jobs.ended_jobs[0]);
    let config: Value = client.get("/v1/config").unwrap();
    assert_eq!(config["broker"]["host"], "center");
}

#[test]
fn the_status_has_a_fixed_form() {
    let mut view = view();
    view.ended_jobs.clear();
    let expected = concat!(
        r#"{"agent_version":"0.1.0","eui":"0000000000000001","identity_source":"configuration","codename":null,"#,
        r#""keros_version":null,"started_at_unix_s":1,"connection":{"state":"connected","broker":"center:8883","#,
        r#""tls":"mutual","since_unix_s":1,"last_error":null},"telemetry":{"last_sent_unix_s":null,"#,
        r#""last_answered_unix_s":null,"next_unix_s":1},"reports_pending":0,"open_jobs":[{"#,
        r#""command_id":"00000000-0000-0000-0000-000000000001","update_id":null,"kind":null,"#,
        r#""received_at_unix_s":1,"changed_at_unix_s":2,"outcome":{"status":"accepted"}}],"ended_jobs":[],"#,
        r#""ended_total":{"failed":2},"warnings":[]}"#,
    );
    assert_eq!(serde_json::to_string(&view).unwrap(), expected);
}

#[test]
fn telemetry_now_is_accepted_or_refused_with_a_time() {
    let server = Server::start(Some(TelemetryAnswer::Due { at_unix_s: 7 }));
    let answer: TelemetryAnswer = server.client().post("/v1/telemetry").unwrap();
    assert_eq!(answer, TelemetryAnswer::Due { at_unix_s: 7 });
    assert!(server.raw("POST /v1/telemetry HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 202 "));

    let server = Server::start(Some(TelemetryAnswer::TooSoon { retry_after_s: 42 }));
    let answer = server.raw("POST /v1/telemetry HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 42\r\n"), "{answer}");
}

#[test]
fn a_stuck_main_loop_is_told_as_such_and_the_status_still_comes() {
    let server = Server::start(None);
    let asked = std::thread::spawn({
        let client = server.client();
        move || client.post::<Value>("/v1/telemetry")
    });
    assert!(server.client().get::<StatusView>("/v1/status").is_ok());
    let refused = asked.join().unwrap();
    assert!(matches!(refused, Err(ClientError::Refused { status: 503, .. })), "{refused:?}");
}

#[test]
fn wrong_requests_get_problem_details() {
    let server = Server::start(None);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET /v1/jobs/x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /v1/jobs/00000000-0000-0000-0000-000000000003 HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("POST /v1/status HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("GET /v1/telemetry HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n", "413"),
    ] {
        let answer = server.raw(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("\"detail\""), "{answer}");
    }
}

#[test]
fn what_is_no_http_or_too_long_is_dropped() {
    let server = Server::start(None);
    assert!(server.raw("\u{0}\u{1}nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = format!("GET /v1/status HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(9000));
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    // The server may close while it is still being written to.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431 "), "{answer:?}");
}

/// As many as root may have; then one more is told so, and a place is free when they were dropped.
#[test]
fn silent_clients_are_dropped_and_then_others_are_served() {
    let server = Server::start(None);
    let silent: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(server.socket()).unwrap()).collect();
    let refused = server.client().get::<Value>("/v1/status").unwrap_err();
    assert!(matches!(refused, ClientError::Refused { status: 429, .. }), "{refused:?}");
    let limit = Instant::now() + 20 * TIMEOUT;
    while server.client().get::<Value>("/v1/status").is_err() {
        assert!(Instant::now() < limit, "they are never dropped");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(silent);
}

#[test]
fn the_status_socket_is_for_owner_and_group_the_other_for_the_owner_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket file without a server");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let (_status, views) = watch::channel(Arc::new(view()));
    let (requests, _asked) = mpsc::channel(1);
    let timeouts = server::TIMEOUTS;
    let sources = Sources { shown: shown(folder.path(), views), requests: requests.clone(), timeouts };
    let numbers = Arc::clone(&sources.shown.numbers);
    let status = Routes::Status(sources);
    let listener = server::bind(&path, &status).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let uploads = uploads(folder.path(), 1);
    let root = control_path(folder.path());
    let control =
        server::bind(&root, &Routes::Control(Control { requests, uploads, timeouts, numbers })).unwrap();
    assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o600);

    let second = server::bind(&path, &status).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse, "{second}");
    drop((listener, control));

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "not a socket").unwrap();
    assert!(server::bind(&path, &status).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
}

#[test]
fn without_a_server_the_client_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(socket_path(folder.path()));
    let error = client.get::<Value>("/v1/status").unwrap_err();
    assert!(matches!(error, ClientError::NotRunning(_)), "{error:?}");
}
