//! A Debian with systemd as process 1, in a container without a network, from packages that were fetched once.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

mod armhf;
mod control_group;

use control_group::ControlGroup;

use crate::{Process, project_root, run_ok, system_program, wait_for};

/// Where root file systems are kept, made once.
const ARCHIVES: &str = "target/booted";
/// What is in each of them beside the essential packages.
const PACKAGES: &str = "--include=systemd,systemd-sysv,dbus,iproute2,nftables";

static MACHINES: AtomicUsize = AtomicUsize::new(0);

/// A booted Debian; it is ended and removed when this is dropped.
#[derive(Debug)]
pub struct Booted {
    folder: tempfile::TempDir,
    container: Process,
    leader: u32,
    /// Removed when the container has ended.
    _group: ControlGroup,
}

impl Booted {
    /// Unpacks a root file system, lets the caller add to it, and boots it.
    ///
    /// # Errors
    /// When a program is missing, or it does not come up.
    pub fn start(prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        Self::boot("--private-network", |root| {
            unpack(root, &[])?;
            prepare(root)
        })
    }

    /// As [`Booted::start`], with the network of a namespace that there is.
    ///
    /// # Errors
    /// When a program is missing, or it does not come up.
    pub fn start_in(namespace: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        Self::start_with(namespace, &[], prepare)
    }

    /// As [`Booted::start_in`], with further packages of Debian.
    ///
    /// # Errors
    /// When a program is missing, or it does not come up.
    pub fn start_with(
        namespace: &str,
        packages: &[&str],
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        Self::boot(&in_namespace(namespace), |root| {
            unpack(root, packages)?;
            prepare(root)
        })
    }

    /// As [`Booted::start_in`], a Debian for ARM 7 (`armhf`): all in it is emulated, systemd too.
    ///
    /// # Errors
    /// When a program is missing, or it does not come up.
    pub fn start_armhf_in(namespace: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        Self::boot(&in_namespace(namespace), |root| {
            armhf::unpack(root)?;
            prepare(root)
        })
    }

    fn boot(network: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        make(&root)?;
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let name = format!("keros-test-{}-{number}", std::process::id());
        let group = ControlGroup::make(&name)?;
        let mut command = group.command(&system_program("systemd-nspawn")?);
        command.arg("-q").arg("-D").arg(&root).arg(format!("--machine={name}"));
        // With a namespace of another's making, it would not be given the right to change its network by itself.
        command.args(["--capability=CAP_NET_ADMIN", "--register=no", "--keep-unit", network]);
        command.args(["--console=pipe", "-b"]);
        let mut container = Process::start(&mut command, &folder.path().join("log"))?;
        let leader = wait_for("the container's process 1", || {
            ensure!(container.is_running(), "the container ended: {}", container.log());
            process_one(container.id())
        })?;
        let booted = Self { folder, container, leader, _group: group };
        wait_for("the container has booted", || {
            let output = booted.run(&["systemctl", "is-system-running"])?;
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            ensure!(state != "degraded", "it is degraded:\n{}", booted.why_degraded()?);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(state == "running", "its state is {state:?} {told}\n{}", booted.container.log());
            Ok(Some(()))
        })?;
        Ok(booted)
    }

    /// A path in it, as the outside sees it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    /// Runs a program in it, as a unit of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, command: &[&str]) -> Result<Output> {
        let leader = self.leader.to_string();
        let enter = ["-t", &leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"];
        let unit = ["systemd-run", "--pipe", "--wait", "--quiet", "--collect"];
        Command::new(system_program("nsenter")?)
            .args(enter)
            .args(unit)
            .args(command)
            .stdin(Stdio::null())
            .output()
            .context("starting nsenter")
    }

    /// The units that failed, and what systemd and they said.
    fn why_degraded(&self) -> Result<String> {
        let failed = self.run_ok(&["systemctl", "--failed"])?;
        Ok(failed + &self.run_ok(&["journalctl", "-b", "-p", "warning", "-o", "short", "--no-pager"])?)
    }

    /// Runs a program in it, and gives what it printed.
    ///
    /// # Errors
    /// When it ends with another code than 0.
    pub fn run_ok(&self, command: &[&str]) -> Result<String> {
        let output = self.run(command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{command:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Its process 1 dies with all that it started; the container program then ends by itself.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.leader).unwrap_or(i32::MAX)),
            nix::sys::signal::Signal::SIGKILL,
        );
        let _ = wait_for("the container ends", || Ok((!self.container.is_running()).then_some(())));
    }
}

/// The child that has become systemd: earlier ones only make the namespaces.
fn process_one(container: u32) -> Result<Option<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{container}/task/{container}/children"))?;
    let is_systemd = |child: &&str| {
        std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "systemd")
    };
    Ok(children.split_whitespace().find(is_systemd).map(str::parse).transpose()?)
}

/// Puts the root file system into a new folder.
pub(crate) fn unpack(root: &Path, packages: &[&str]) -> Result<()> {
    extract(&archive(packages)?, root)
}

/// Puts an archive into a new folder.
fn extract(archive: &Path, root: &Path) -> Result<()> {
    std::fs::create_dir(root)?;
    let tar = system_program("tar")?;
    run_ok(&tar, ["-C".as_ref(), root.as_os_str(), "-xpf".as_ref(), archive.as_os_str()]).map(drop)
}

fn in_namespace(namespace: &str) -> String {
    format!("--network-namespace-path=/run/netns/{namespace}")
}

/// What `systemctl enable` does, on a tree that has not booted.
///
/// # Errors
/// When the link cannot be made.
pub fn enable(root: &Path, target: &str, unit: &str) -> Result<()> {
    let wants = root.join(format!("etc/systemd/system/{target}.wants"));
    std::fs::create_dir_all(&wants)?;
    let from = if root.join("etc/systemd/system").join(unit).exists() { "/etc" } else { "/usr/lib" };
    Ok(std::os::unix::fs::symlink(format!("{from}/systemd/system/{unit}"), wants.join(unit))?)
}

/// The root file system as an archive; the first that needs it fetches the packages.
fn archive(packages: &[&str]) -> Result<PathBuf> {
    let name = ["bookworm-net"].iter().chain(packages).copied().collect::<Vec<_>>().join("-");
    let include = [PACKAGES].iter().chain(packages).copied().collect::<Vec<_>>().join(",");
    fetch(&name, &["--variant=apt", &include, "bookworm"], &[])
}

/// An archive of this name that mmdebstrap makes with these arguments, and with these behind the archive's path.
fn fetch(name: &str, before: &[&str], behind: &[&str]) -> Result<PathBuf> {
    let path = project_root().join(ARCHIVES).join(format!("{name}.tar"));
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let new = path.with_extension(format!("{}.tar", std::process::id()));
    let mut arguments: Vec<&std::ffi::OsStr> = before.iter().map(AsRef::as_ref).collect();
    arguments.push(new.as_os_str());
    arguments.extend(behind.iter().map(std::ffi::OsStr::new));
    run_ok(&system_program("mmdebstrap")?, arguments)?;
    std::fs::rename(&new, &path)?;
    Ok(path)
}
