//! Debian's PostgreSQL in a temporary folder: it is made, started, killed and started again by a test, answers on a socket in that folder
//! alone, and ends with the test's process however that ends.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

/// Who may do everything in it.
const USER: &str = "keros";

/// It is started, or an old one has gone, within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with its data in a folder that goes with it.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Child>,
    durable: bool,
    programs: PathBuf,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// Makes a server and starts it; `None`: PostgreSQL is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Option<Self>> {
        Self::start_as(false)
    }

    /// The same, with all that an operator's server has: disks that are told to write, and a vacuum. For measuring.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_durable() -> Result<Option<Self>> {
        Self::start_as(true)
    }

    fn start_as(durable: bool) -> Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("keros-postgres-").tempdir()?;
        if let Some(user) = unprivileged()? {
            std::os::unix::fs::chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let mut server = Self { process: None, durable, programs, folder };
        let data = server.data();
        let mut command = server.command("initdb")?;
        command
            .args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(data);
        run(&mut command)?;
        server.restart()?;
        Ok(Some(server))
    }

    /// Starts it again, after a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let begin = Instant::now();
        loop {
            let mut command = self.command("postgres")?;
            command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
            // What a test does not need: the network, and disks that are told to write.
            command.args(["-h", "", "-c", "max_connections=100"]);
            if !self.durable {
                command.args(["-c", "fsync=off", "-c", "autovacuum=off"]);
            }
            let log =
                std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log"))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let mut process = command.spawn().context("cannot start postgres")?;
            while process.try_wait()?.is_none() {
                if self.sql("postgres", "SELECT 1").is_ok() {
                    self.process = Some(process);
                    return Ok(());
                }
                self.in_time(begin)?;
                std::thread::sleep(Duration::from_millis(20));
            }
            // Processes of one that was killed may not have gone yet.
            self.in_time(begin)?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn in_time(&self, begin: Instant) -> Result<()> {
        if begin.elapsed() < PATIENCE {
            return Ok(());
        }
        bail!("PostgreSQL does not come up: {}", std::fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// Ends it with SIGKILL, and waits until all its processes have gone.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// Ends it as an operator does who is in a hurry: whoever is connected is cut off.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGINT)
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(process.id())?), signal)?;
        let status = process.wait()?;
        anyhow::ensure!(status.success() || status.signal().is_some(), "postgres ended with {status}");
        Ok(())
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// When it is there already.
    pub fn create(&self, database: &str) -> Result<()> {
        self.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0")).map(drop)
    }

    /// Runs SQL with its own client; gives the values, unadorned.
    ///
    /// # Errors
    /// When it is refused.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["--no-psqlrc", "-qAtv", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", sql]);
        run(command.arg("-h").arg(self.folder.path()))
    }

    /// The address of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@localhost/{database}?host={}", self.folder.path().display())
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server: not as root, which it refuses, and not longer than this process.
    fn command(&self, name: &str) -> Result<Command> {
        let mut command = Command::new("setpriv");
        if let Some(user) = unprivileged()? {
            command
                .arg(format!("--reuid={}", user.uid))
                .arg(format!("--regid={}", user.gid))
                .arg("--clear-groups");
        }
        command.arg("--pdeathsig=QUIT").arg("--").arg(self.programs.join(name));
        command.current_dir(self.folder.path());
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.end(Signal::SIGQUIT);
    }
}

/// The newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().parse().unwrap_or(0), entry.path().join("bin")))
        .filter(|(_, bin)| bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// Whom root becomes.
fn unprivileged() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    User::from_name("postgres")?.context("Debian's PostgreSQL has a user `postgres`").map(Some)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
