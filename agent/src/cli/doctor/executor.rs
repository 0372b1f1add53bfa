//! Whether the executor answers: it is asked what runs, which changes nothing.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use keros_protocol::executor::{Event, Request};
use keros_protocol::limits;

use super::finding::Finding;
use super::patient::{Patient, SUDO};
use crate::config::ExecutorAccess;

const LIMIT: Duration = Duration::from_secs(5);
/// The init script of KerOS 5.
const INIT_SCRIPT: &str = "etc/init.d/keros-executor";
const INSTALL: &str = "install the package keros-agent anew: it has the executor too";

pub(super) fn executor(patient: &Patient) -> Finding {
    match &patient.settings.executor {
        ExecutorAccess::Socket(path) => by_socket(patient, path),
        ExecutorAccess::Command(words) => by_program(patient, words),
    }
}

fn by_socket(patient: &Patient, path: &Path) -> Finding {
    let start = if patient.has_systemd() {
        "sudo systemctl enable --now keros-executor.socket"
    } else if patient.at(INIT_SCRIPT).exists() {
        "sudo /etc/init.d/keros-executor start; then see that it stays: sudo monit summary"
    } else {
        INSTALL
    };
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Finding::not_checked("executor", "it is only for root and the agent: run with sudo");
        }
        Err(error) => {
            let says = format!("no executor listens on {}: no job can run", path.display());
            return Finding::failed("executor", says, start).because(error.to_string());
        }
    };
    told(ask(stream), "journalctl -u 'keros-executor@*' -n 50")
}

fn ask(mut stream: UnixStream) -> io::Result<Event> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(&request())?;
    stream.shutdown(Shutdown::Write)?;
    answer(stream)
}

fn request() -> Vec<u8> {
    let mut line = serde_json::to_vec(&Request::Status {}).unwrap_or_default();
    line.push(b'\n');
    line
}

fn answer(output: impl Read) -> io::Result<Event> {
    let mut line = Vec::new();
    let most = u64::try_from(limits::MAX_EXECUTOR_LINE_BYTES).unwrap_or(u64::MAX);
    BufReader::new(output.take(most)).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

fn by_program(patient: &Patient, words: &[String]) -> Finding {
    let Some((program, arguments)) = words.split_first() else {
        return Finding::not_checked("executor", "the configuration is wrong: see the line `config`");
    };
    if !Path::new(program).exists() {
        let says = format!("the executor {program} is not there: no job can run");
        return Finding::failed("executor", says, INSTALL);
    }
    if !patient.is_root {
        return Finding::not_checked("executor", SUDO);
    }
    told(start(program, arguments), &format!("run it by hand: sudo {program} --help"))
}

fn start(program: &str, arguments: &[String]) -> io::Result<Event> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (sender, receiver) = mpsc::channel();
    // Its pipes have no time limit: a thread of its own waits, and is left behind when it takes too long.
    std::thread::spawn(move || {
        let said = (|| {
            input.ok_or(ErrorKind::BrokenPipe)?.write_all(&request())?;
            answer(output.ok_or(ErrorKind::BrokenPipe)?)
        })();
        let _ = sender.send(said);
    });
    let said = receiver.recv_timeout(LIMIT).unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    // It has nothing more to do.
    let _ = child.kill();
    let _ = child.wait();
    said
}

fn told(said: io::Result<Event>, advice: &str) -> Finding {
    match said {
        Ok(Event::Status { running: None, .. }) => Finding::ok("executor", "it answers, and runs no job"),
        Ok(Event::Status { running: Some(id), .. }) => {
            Finding::ok("executor", format!("it answers, and runs job {id}"))
        }
        Ok(Event::RequestFailed { message, .. }) => {
            Finding::failed("executor", "it cannot do its work: no job can run", advice).because(message)
        }
        Ok(_) => Finding::failed("executor", "it does not answer as an executor does", INSTALL),
        Err(error) => Finding::failed("executor", "it gives no answer: no job can run", advice)
            .because(error.to_string()),
    }
}
