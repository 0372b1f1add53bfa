//! A gateway's scratch tree, signed commands for it, and sessions of the real program.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod bundle;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command as Program, Stdio};
use std::time::{Duration, Instant, SystemTime};

use keros_protocol::executor::{Event, Request};
use keros_protocol::{
    Cancellation, Command, CommandId, Envelope, Eui, Job, JobLimits, JobOptions, Outcome, SigningKey,
    Statement, UpdateId,
};

pub const EXECUTOR: &str = env!("CARGO_BIN_EXE_keros-executor");
/// Far more than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Gateway {
    pub folder: tempfile::TempDir,
    pub key: SigningKey,
    /// Signs statements.
    pub statement_key: SigningKey,
    /// More options of each program.
    pub options: Vec<String>,
    /// Shell tasks run in the tree.
    pub is_chrooted: bool,
}

impl Gateway {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["root/run", "root/etc", "trust"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("root/run/boardinfo.env", "export EUI64=\"7076FF0056070123\"\n");
        write("root/etc/version", "6.3.1\n");
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap();
        write("trust/command-a.pem", &key.public().to_pem());
        let statement_key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[2; 32])).unwrap();
        write("trust/statement-a.pem", &statement_key.public().to_pem());
        Self { folder, key, statement_key, options: Vec::new(), is_chrooted: false }
    }

    /// Another boot begins, as far as the programs can tell.
    pub fn boot(&self, boot_id: &str) {
        let path = self.path("root/proc/sys/kernel/random/boot_id");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{boot_id}\n")).unwrap();
    }

    /// What the center says, signed.
    pub fn statement(&self, cancelled: &[CommandId], nonces: &[&str]) -> Envelope {
        let statement = Statement {
            eui: Eui::from_u64(0x7076_FF00_5607_0123),
            time_unix_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(),
            last_report: None,
            cancellations: cancelled.iter().map(|id| Cancellation { command_id: *id }).collect(),
            nonces: nonces.iter().map(|&nonce| nonce.to_owned()).collect(),
        };
        Envelope::sign(Envelope::STATEMENT, &serde_json::to_vec(&statement).unwrap(), &self.statement_key)
    }

    /// The one answer to a request.
    pub fn answer(&self, request: &Request) -> Event {
        let mut events = self.session(&line(request)).events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    pub fn cancel(&self, command: &Command) -> Event {
        let statement = Some(self.statement(&[command.command_id], &[]));
        self.answer(&Request::Cancel { command_id: command.command_id, statement })
    }

    pub fn confirm(&self, command: &Command, nonce: &str) -> Event {
        let statement = self.statement(&[], &[nonce]);
        self.answer(&Request::Confirm { command_id: command.command_id, statement })
    }

    /// What `keros-executor SUBCOMMAND` prints, with this gateway's folders.
    pub fn told(&self, subcommand: &str, arguments: &[&str]) -> String {
        let output = self.program(subcommand).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn journal(&self, command: &Command) -> PathBuf {
        self.path(&format!("state/jobs/{}/journal.jsonl", command.command_id))
    }

    /// `keros-executor SUBCOMMAND` with this gateway's folders.
    pub fn program(&self, subcommand: &str) -> Program {
        let mut program = Program::new(EXECUTOR);
        program.arg(subcommand).env_remove("EUI64");
        program.arg("--root").arg(self.path("root"));
        program.args((!self.is_chrooted).then_some("--host-shell"));
        program.arg("--state-folder").arg(self.path("state")).arg("--trust-folder").arg(self.path("trust"));
        program.args(&self.options);
        program
    }

    pub fn envelope(&self, command: &Command) -> Envelope {
        Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(command).unwrap(), &self.key)
    }

    /// Begins a session with this request line.
    pub fn session(&self, line: &[u8]) -> Session {
        let mut child = self.program("session").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let line = line.to_vec();
        // The program may refuse to read all of it.
        std::thread::spawn(move || {
            let _ = input.write_all(&line);
        });
        let output = child.stdout.take().map(BufReader::new);
        Session { child, output }
    }

    pub fn begin(&self, command: &Command) -> Session {
        self.session(&line(&Request::Run { envelope: self.envelope(command), statement: None, bundle: None }))
    }

    pub fn run(&self, command: &Command) -> Vec<Event> {
        self.begin(command).events()
    }

    pub fn attach(&self, command_id: CommandId) -> Vec<Event> {
        self.session(&line(&Request::Attach { command_id })).events()
    }
}

pub fn line(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).unwrap();
    line.push(b'\n');
    line
}

pub struct Session {
    pub child: Child,
    /// Its standard output; dropped to close the pipe early.
    pub output: Option<BufReader<ChildStdout>>,
}

impl Session {
    /// The next event; `None` at the end.
    pub fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        self.output.as_mut()?.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// All events that are left.
    pub fn events(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        self.child.wait().unwrap();
        events
    }

    pub fn exit_code(mut self) -> i32 {
        drop(self.output.take());
        self.child.wait().unwrap().code().unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A command with this script.
pub fn command(number: u16, script: &str) -> Command {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    Command {
        command_id: CommandId(uuid::Uuid::from_u128((1_795_000_000_000 << 80) | u128::from(number))),
        update_id: UpdateId(uuid::Uuid::from_u128(2)),
        eui: Eui::from_u64(0x7076_FF00_5607_0123),
        issued_at_unix_s: now,
        expires_at_unix_s: now + 3600,
        job: Job::JetPorch { script: script.to_owned(), vars: serde_json::Map::new() },
        limits: JobLimits::default(),
        options: JobOptions::default(),
    }
}

/// A script of shell tasks.
pub fn script(commands: &[String]) -> String {
    let tasks: String =
        commands.iter().map(|cmd| format!("    - !shell\n      cmd: {}\n", serde_json::json!(cmd))).collect();
    format!("- name: test\n  groups: [all]\n  tasks:\n{tasks}")
}

/// The outcome: exactly one end, and it is the last event.
pub fn outcome(events: &[Event]) -> &Outcome {
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Ended { .. })).count(), 1, "{events:#?}");
    let Some(Event::Ended { outcome }) = events.last() else { panic!("{events:#?}") };
    outcome
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
