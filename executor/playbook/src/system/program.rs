//! Runs one program: clean environment, process group of its own, bounded output, ended as a group at its deadline or when
//! the run is cancelled.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, chroot, fchdir};

use super::memory;
use super::output::Bounded;
use super::{Program, ProgramCommand, ProgramEnd};
use crate::Cancel;

/// Between the polite signal and the one that cannot be refused.
const GRACE: Duration = Duration::from_secs(2);
/// How long output is still read after the program itself has ended: a program that it left in the background may hold
/// the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Compared at a time.
const COMPARED_BYTES: usize = 8 * 1024;
/// Greatest program of the script's own, bytes: it is held in memory.
const MAX_PROGRAM_BYTES: u64 = 16 * 1024 * 1024;

/// The environment of every program. `ENV_PATH` and so on in files made by `template` are the same.
pub(crate) const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", SEARCH_PATH),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("LANG", "C.UTF-8"),
];

/// `PATH`, where nothing else is said.
pub(super) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program begins, when that cannot be left to itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The tree that it is confined to.
    pub(super) root: Option<&'a Path>,
    /// The folder, opened by one who may.
    pub(super) folder: Option<&'a File>,
}

/// Starts a program and waits for its end, its deadline, or the end of the whole run.
pub(super) fn run(
    mut command: Command,
    place: Place<'_>,
    program: &Program<'_>,
    memory_bytes: u64,
    cancel: Option<&Cancel>,
) -> io::Result<ProgramEnd> {
    let (reader, writer) = io::pipe()?;
    command.stdin(input_of(program.input)?).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    // A tool may be an init script: the service that it starts is not the script's own program.
    let child = match program.command {
        ProgramCommand::Tool(..) => spawn(command, place),
        ProgramCommand::Shell(_) | ProgramCommand::Script(_) => {
            memory::start(memory_bytes, || spawn(command, place))
        }
    }?;
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let mut attendance =
        Attendance { child, group, reader: Some(reader), output: Bounded::new(program.output_bytes) };
    match attendance.attend_to_the_end(program.deadline, cancel) {
        Ok((status, timed_out)) => {
            let output = attendance.output.into_output();
            Ok(ProgramEnd { exit_code: code_of(status), output, timed_out })
        }
        Err(error) => {
            // A program that cannot be attended must not go on unseen.
            let _ = killpg(group, Signal::SIGKILL);
            let _ = attendance.child.kill();
            let _ = attendance.child.wait();
            Err(error)
        }
    }
}

/// A private copy of a program in memory, and the path by which it is started. Nothing is written to the tree, whose file systems may
/// refuse programs, and nothing is left behind however this ends. Whoever is started opens the path by itself, so the file
/// must stay open here until then, and is inherited; sealed, nobody can change it.
pub(super) fn copy_of_program(program: File) -> io::Result<(File, PathBuf)> {
    let mut copy = File::from(memfd_create("module", MFdFlags::MFD_ALLOW_SEALING)?);
    io::copy(&mut program.take(MAX_PROGRAM_BYTES + 1), &mut copy)?;
    if copy.metadata()?.len() > MAX_PROGRAM_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_PROGRAM_BYTES} bytes")));
    }
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", copy.as_raw_fd()));
    Ok((copy, path))
}

/// A file, so that a program that does not read its input holds nothing up.
pub(super) fn input_of(input: &[u8]) -> io::Result<File> {
    if input.is_empty() {
        // Opened here: a tree may have no /dev/null.
        return File::open("/dev/null");
    }
    let mut file = File::from(memfd_create("input", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

/// Starts the program, in the tree where there is one. Root and folder are changed for one thread only, which ends here: the
/// child inherits them, this program keeps its own.
fn spawn(mut command: Command, place: Place<'_>) -> io::Result<Child> {
    if place.root.is_none() && place.folder.is_none() {
        return command.spawn();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS)?;
            if let Some(root) = place.root {
                chroot(root)?;
                std::env::set_current_dir("/")?;
            }
            if let Some(folder) = place.folder {
                fchdir(folder)?;
            }
            command.spawn()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts a program failed")))
    })
}

/// Watches for the program's end without reaping it, so that its process group's number is not given to another. The
/// returned pipe is closed when it has ended.
fn watch(pid: Pid) -> io::Result<PipeReader> {
    let (reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
    std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(writer);
    })?;
    Ok(reader)
}

fn set_nonblocking(reader: &PipeReader) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(reader, FcntlArg::F_GETFL)?);
    fcntl(reader, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// A program under way.
struct Attendance {
    child: Child,
    group: Pid,
    /// Gone when nobody holds its other end.
    reader: Option<PipeReader>,
    output: Bounded,
}

impl Attendance {
    /// Its status, and whether it was ended from here.
    fn attend_to_the_end(
        &mut self,
        deadline: Instant,
        cancel: Option<&Cancel>,
    ) -> io::Result<(ExitStatus, bool)> {
        let ended = watch(self.group)?;
        self.reader.as_ref().map_or(Ok(()), set_nonblocking)?;
        let in_time = self.attend(&ended, deadline, cancel)?;
        if !in_time {
            self.end_group(&ended)?;
        }
        self.attend_last_words()?;
        Ok((self.child.wait()?, !in_time))
    }

    /// Reads until the program has ended (true), or it must end now (false).
    fn attend(&mut self, ended: &PipeReader, deadline: Instant, cancel: Option<&Cancel>) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let output = self.reader.as_ref().map(|pipe| pipe.as_fd());
            let watched = [Some(ended.as_fd()), output, cancel.map(|cancel| cancel.as_fd())];
            let [has_ended, has_output, is_cancelled] = wait(watched, left)?;
            if has_output {
                self.read()?;
            }
            if has_ended || is_cancelled {
                return Ok(has_ended);
            }
        }
    }

    /// What it, or what it left in the background, prints shortly after its end.
    fn attend_last_words(&mut self) -> io::Result<()> {
        let until = Instant::now() + LAST_WORDS;
        while let Some(reader) = &self.reader {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || wait([Some(reader.as_fd())], left)? == [false] {
                break;
            }
            self.read()?;
        }
        Ok(())
    }

    fn end_group(&mut self, ended: &PipeReader) -> io::Result<()> {
        let _ = killpg(self.group, Signal::SIGTERM);
        // It may have gone over to another group. It is not reaped yet, so that its number is still its own.
        let _ = kill(self.group, Signal::SIGTERM);
        self.attend(ended, Instant::now() + GRACE, None)?;
        // Also when the shell itself has ended: its children may have ignored the signal.
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.kill();
        Ok(())
    }

    /// Reads once: a program that prints without end must not keep the deadline from being seen.
    fn read(&mut self) -> io::Result<()> {
        let Some(reader) = self.reader.as_mut() else { return Ok(()) };
        let mut buffer = [0_u8; 16 * 1024];
        match reader.read(&mut buffer) {
            Ok(0) => self.reader = None,
            Ok(length) => self.output.push(&buffer[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Waits until one of these has something to read, or the time is over: which of them have.
fn wait<const N: usize>(watched: [Option<BorrowedFd<'_>>; N], left: Duration) -> io::Result<[bool; N]> {
    let mut polled: Vec<PollFd<'_>> =
        watched.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(left.min(Duration::from_secs(3600)) + Duration::from_millis(1))
        .unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok([false; N]),
        Err(errno) => return Err(errno.into()),
    }
    let mut ready = polled.iter().map(|fd| fd.any().unwrap_or(false));
    Ok(watched.map(|fd| fd.is_some() && ready.next().unwrap_or(false)))
}

/// Whether two readers give the same bytes.
pub(super) fn same_bytes(mut a: impl io::Read, mut b: impl io::Read) -> io::Result<bool> {
    let (mut x, mut y) = ([0_u8; COMPARED_BYTES], [0_u8; COMPARED_BYTES]);
    loop {
        let (n, m) = (fill(&mut a, &mut x)?, fill(&mut b, &mut y)?);
        if x[..n] != y[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn fill(reader: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
