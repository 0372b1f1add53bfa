//! A gateway as KerOS 5 is: BusyBox, its init as process 1 of a namespace, syslog, and a real monit. No systemd, no package manager: packages
//! are put in by dpkg from outside, which runs their scripts inside, by BusyBox's shell.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Process, run_ok, system_program, wait_for};

const INITTAB: &str = "\
::sysinit:/bin/syslogd -O /var/log/messages\n\
::respawn:/usr/bin/monit -I -c /etc/monitrc\n";
/// As on the gateways, but looking every second.
const MONITRC: &str = "\
set daemon 1\n\
set pidfile /run/monit.pid\n\
set idfile /var/monit.id\n\
set statefile /var/monit.state\n\
set httpd unixsocket /run/monit.sock\n    allow monit:monit\n\
include /etc/monit.d/*\n";

/// Such a gateway; all its processes end when this is dropped.
#[derive(Debug)]
pub struct BusyBox {
    folder: tempfile::TempDir,
    outer: Process,
    leader: u32,
}

impl BusyBox {
    /// Makes the root file system, lets the caller add to it, and starts its init.
    ///
    /// # Errors
    /// When a program is missing, or it does not come up.
    pub fn start(prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        make_tree(&root)?;
        prepare(&root)?;
        let mount = "mount -t proc proc \"$1/proc\" && mount -t tmpfs tmpfs \"$1/dev\" && \
                     for device in null zero random urandom; do touch \"$1/dev/$device\" && \
                     mount --bind \"/dev/$device\" \"$1/dev/$device\" || exit; done; exec chroot \"$1\" /sbin/init";
        let mut command = Command::new(system_program("unshare")?);
        command.args([
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            mount,
            "sh",
        ]);
        let outer = Process::start(command.arg(&root), &folder.path().join("log"))?;
        let leader = wait_for("BusyBox's init", || {
            let id = outer.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
            let child = children.split_whitespace().next().context("no child yet")?;
            let name = fs::read_to_string(format!("/proc/{child}/comm"))?;
            Ok(if name.trim() == "init" { Some(child.parse()?) } else { None })
        })?;
        let gateway = Self { folder, outer, leader };
        wait_for("monit", || Ok(gateway.path("/run/monit.pid").exists().then_some(())))
            .with_context(|| gateway.log())?;
        Ok(gateway)
    }

    /// A path in it, as the outside sees it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    /// What its syslog has, and what its init printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("/var/log/messages")).unwrap_or_default() + &self.outer.log()
    }

    /// Runs a line of BusyBox's shell in it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, line: &str) -> Result<Output> {
        self.enter(&["-r", "-w", "/bin/sh", "-c", line])
    }

    /// As [`BusyBox::run`], and gives what it printed.
    ///
    /// # Errors
    /// When it ends with another code than 0.
    pub fn run_ok(&self, line: &str) -> Result<String> {
        told(self.run(line)?, line)
    }

    /// dpkg in its namespaces, on its root.
    ///
    /// # Errors
    /// When it fails, with all that it printed.
    pub fn dpkg(&self, arguments: &[&str]) -> Result<String> {
        let root = format!("--root={}", self.path("/").display());
        let dpkg = system_program("dpkg")?;
        let dpkg = dpkg.to_string_lossy();
        let force = ["--force-architecture", "--force-depends"];
        let output = self.enter(&[&[dpkg.as_ref(), &root][..], &force, arguments].concat())?;
        told(output, &format!("dpkg {arguments:?}"))
    }

    fn enter(&self, command: &[&str]) -> Result<Output> {
        Command::new(system_program("nsenter")?)
            .args(["-t", &self.leader.to_string(), "-m", "-p", "-u", "-i"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()
            .context("starting nsenter")
    }
}

impl Drop for BusyBox {
    fn drop(&mut self) {
        // Its process 1 dies with all that it started.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.leader).unwrap_or(i32::MAX)),
            nix::sys::signal::Signal::SIGKILL,
        );
        let _ = wait_for("the namespace ends", || Ok((!self.outer.is_running()).then_some(())));
    }
}

fn told(output: Output, what: &str) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{what}: {}\n{text}{errors}", output.status);
    }
    Ok(text)
}

fn make_tree(root: &Path) -> Result<()> {
    for folder in
        ["bin", "sbin", "usr/bin", "dev", "proc", "run", "tmp", "etc/monit.d", "var/log", "var/lib/dpkg/info"]
    {
        fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["var/lib/dpkg/updates", "var/lib/dpkg/triggers"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    symlink("../run", root.join("var/run"))?;
    let busybox = system_program("busybox")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    for applet in run_ok(&busybox, ["--list"])?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    symlink("../bin/busybox", root.join("sbin/init"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\ntty:x:5:\n")?;
    fs::write(root.join("etc/inittab"), INITTAB)?;
    fs::write(root.join("etc/monitrc"), MONITRC)?;
    fs::set_permissions(root.join("etc/monitrc"), fs::Permissions::from_mode(0o600))?;
    add_program(root, &system_program("monit")?)
}

/// Copies a program of this machine into a tree, with the libraries that it is linked with.
fn add_program(root: &Path, program: &Path) -> Result<()> {
    let name = program.file_name().context("a program has a name")?;
    fs::copy(program, root.join("usr/bin").join(name))?;
    add_libraries(root, program)
}

/// Copies the libraries that a program of this machine is linked with.
///
/// # Errors
/// When one is missing.
pub fn add_libraries(root: &Path, program: &Path) -> Result<()> {
    let list = run_ok(&system_program("ldd")?, [program])?;
    for library in list.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::copy(library, to)?;
    }
    ensure!(!list.contains("not found"), "{list}");
    Ok(())
}
