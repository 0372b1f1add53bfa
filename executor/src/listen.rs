//! Accepts connections and starts a session for each, for gateways without systemd; and starts `settle` where systemd has a timer
//! for it. It must not read what is asked: the session, a process of its own, does, and goes on when the listener is stopped.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keros_protocol::executor::Event;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Group;

use crate::cli::ListenArgs;
use crate::events::EventSink;
use crate::exit::{Failure, complain};

/// Sessions at a time: one runs a job, others follow, ask or are refused.
const MAX_SESSIONS: usize = 16;
/// How often it is looked for jobs whose process is gone, after the first time at the start.
const SETTLE_INTERVAL: Duration = Duration::from_secs(300);

/// Listens until it is stopped.
pub(crate) fn listen(args: &ListenArgs) -> Result<(), Failure> {
    let _lock = lock_socket(&args.socket)?;
    let listener = bind(&args.socket, args.socket_group.as_deref())?;
    let program = std::env::current_exe().map_err(Failure::io("find this program's own file"))?;
    let mut sessions: Vec<Child> = Vec::new();
    let mut settling = Settling::default();
    complain(&format!("listening on {}", args.socket.display()));
    loop {
        settling.look(&program, args);
        if !is_connecting(&listener) {
            continue;
        }
        let connection = match listener.accept() {
            Ok((connection, _)) => connection,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                // Out of descriptors or memory: both pass; a loop without a pause would make it worse.
                complain(&format!("cannot accept a connection: {error}"));
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
        };
        sessions.retain_mut(|session| !matches!(session.try_wait(), Ok(Some(_))));
        if sessions.len() >= MAX_SESSIONS {
            refuse(connection, &format!("{MAX_SESSIONS} sessions are open: try again later"));
            continue;
        }
        match start_session(&program, args, connection) {
            Ok(session) => sessions.push(session),
            Err(failure) => complain(&failure.chain()),
        }
    }
}

/// Whether somebody connects before it is time to look for jobs again.
fn is_connecting(listener: &UnixListener) -> bool {
    let timeout = PollTimeout::try_from(SETTLE_INTERVAL).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    // What goes wrong here is told by the accept.
    poll(&mut fds, timeout) != Ok(0)
}

/// The process that finishes what jobs are owed: one at a time, since it may wait for half an hour.
#[derive(Default)]
struct Settling {
    process: Option<Child>,
    started: Option<Instant>,
}

impl Settling {
    /// Starts one when it is time.
    fn look(&mut self, program: &Path, args: &ListenArgs) {
        if let Some(process) = &mut self.process
            && !matches!(process.try_wait(), Ok(Some(_)))
        {
            return;
        }
        if self.started.is_some_and(|started| started.elapsed() < SETTLE_INTERVAL) {
            return;
        }
        self.started = Some(Instant::now());
        let mut command = Command::new(program);
        command.arg("settle").args(args.settings.to_arguments()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        match command.spawn() {
            Ok(process) => self.process = Some(process),
            Err(error) => complain(&format!("cannot look for jobs whose process is gone: {error}")),
        }
    }
}

fn start_session(program: &Path, args: &ListenArgs, connection: UnixStream) -> Result<Child, Failure> {
    let failure = || Failure::io(format!("start a session with {}", program.display()));
    let input: OwnedFd = connection.try_clone().map_err(failure())?.into();
    let output: OwnedFd = connection.into();
    Command::new(program)
        .arg("session")
        .args(args.settings.to_arguments())
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .spawn()
        .map_err(failure())
}

fn refuse(connection: UnixStream, message: &str) {
    // A peer that does not read must not hold the listener.
    let _ = connection.set_nonblocking(true);
    EventSink::new(Box::new(connection))
        .send(&Event::RequestFailed { message: message.to_owned(), unknown: false });
}

/// Two listeners that start at once must not both take the socket for stale.
fn lock_socket(socket: &Path) -> Result<File, Failure> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::create(&path).map_err(Failure::io(format!("open {}", path.display())))?;
    file.try_lock().map_err(|_| held(socket))?;
    Ok(file)
}

fn bind(socket: &Path, group: Option<&str>) -> Result<UnixListener, Failure> {
    match UnixStream::connect(socket) {
        Ok(_) => return Err(held(socket)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(socket)
                .map_err(Failure::io(format!("remove the stale socket {}", socket.display())))?;
        }
        Err(error) => return Err(Failure::io(format!("use the socket {}", socket.display()))(error)),
    }
    // Closed from its first moment on, opened to the group when the group is set.
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(socket);
    umask(before);
    let listener = listener.map_err(Failure::io(format!("listen on {}", socket.display())))?;
    let failure = || Failure::io(format!("set group and mode of {}", socket.display()));
    if let Some(name) = group {
        let group = Group::from_name(name).ok().flatten().ok_or_else(|| {
            Failure::Request(format!("there is no group {name}: make it, or name another one"))
        })?;
        chown(socket, None, Some(group.gid.as_raw())).map_err(failure())?;
    }
    std::fs::set_permissions(socket, Permissions::from_mode(0o660)).map_err(failure())?;
    Ok(listener)
}

fn held(socket: &Path) -> Failure {
    Failure::Busy(format!("another listener holds {}", socket.display()))
}
