//! A virtual machine with Debian's kernel, systemd and a disk that loses what was not flushed. Its power can be cut.

mod disk;
mod image;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

pub use self::disk::{Disk, Lost};
use crate::{Process, booted, free_port, system_program};

/// Where the machine finds what listens on the loopback interface of its host.
pub const HOST_SEEN_FROM_VM: &str = "10.0.2.2";
/// The port of the machine at which a shell of root answers.
const SHELL_PORT: u16 = 2222;
/// Printed behind the output of a command: without it, the answer is not whole.
const WHOLE: &str = "--whole--";
/// A machine without hardware help takes its time to boot, the more on a busy host.
pub const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// The machine. It is ended, and all of it removed, when this is dropped.
#[derive(Debug)]
pub struct Vm {
    disk: Disk,
    folder: tempfile::TempDir,
    kernel: image::Kernel,
    shell_port: u16,
    qemu: Option<Process>,
    powered_on: Instant,
}

impl Vm {
    /// Makes a disk with a Debian on it, to which the caller adds. The power is off.
    ///
    /// # Errors
    /// When a program is missing or a package cannot be fetched.
    pub fn prepare(add: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let kernel = image::kernel()?;
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        booted::unpack(&root, &[])?;
        add_shell(&root)?;
        add(&root)?;
        let image = folder.path().join("disk.img");
        image::make(&root, &image)?;
        std::fs::remove_dir_all(&root)?;
        let disk = Disk::serve(&image, &folder.path().join("disk.socket"))?;
        let (shell_port, powered_on) = (free_port()?, Instant::now());
        Ok(Self { folder, disk, kernel, shell_port, qemu: None, powered_on })
    }

    /// Switches it on; it boots by itself.
    ///
    /// # Errors
    /// When qemu cannot be started.
    pub fn power_on(&mut self) -> Result<()> {
        let mut command = Command::new(system_program("qemu-system-x86_64")?);
        command.args([
            "-M",
            "pc",
            "-cpu",
            "max",
            "-m",
            "256",
            "-smp",
            "1",
            "-nodefaults",
            "-display",
            "none",
        ]);
        command.arg("-kernel").arg(&self.kernel.kernel).arg("-initrd").arg(&self.kernel.memory);
        command.args(["-append", "console=ttyS0 quiet mitigations=off panic=1 systemd.show_status=false"]);
        command.args(["-serial", "stdio", "-drive"]);
        let socket = self.disk.socket().display();
        command.arg(format!("if=none,id=disk,format=raw,cache=none,file=nbd+unix:///?socket={socket}"));
        command.args(["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-net-pci,netdev=net"]);
        command
            .arg("-netdev")
            .arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{}-:{SHELL_PORT}", self.shell_port));
        self.powered_on = Instant::now();
        self.qemu = Some(Process::start(&mut command, &self.log_path())?);
        Ok(())
    }

    /// Cuts the power. The seed chooses which sectors that were not flushed are lost.
    ///
    /// # Errors
    /// When it was off already.
    pub fn cut_power(&mut self, seed: u64) -> Result<Lost> {
        let mut qemu = self.qemu.take().context("the power is off already")?;
        ensure!(qemu.is_running(), "the machine has ended by itself: {}", self.console());
        qemu.kill()?;
        self.disk.lose_power(seed)
    }

    /// Its disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Since it was switched on.
    #[must_use]
    pub fn up_for(&self) -> Duration {
        self.powered_on.elapsed()
    }

    /// Waits until a condition holds, longer than one waits for a program.
    ///
    /// # Errors
    /// After [`BOOT_LIMIT`], or when the machine ends.
    pub fn wait_for<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        let begin = Instant::now();
        loop {
            let missing = match ask(self) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => String::new(),
                Err(error) => format!("{error:#}"),
            };
            let runs = self.qemu.as_mut().is_some_and(Process::is_running);
            if !runs || begin.elapsed() > BOOT_LIMIT {
                bail!("still missing after {:?}: {what}\n{missing}\n{}", begin.elapsed(), self.console());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command in a shell of root, and gives what it printed.
    ///
    /// # Errors
    /// When the machine cannot be reached.
    pub fn shell(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.shell_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        writeln!(stream, "{{ {command}\n}} 2>&1 </dev/null; echo {WHOLE}; exit")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let end = text.rfind(WHOLE).with_context(|| format!("the shell was cut off: {text}"))?;
        text.truncate(end);
        Ok(text)
    }

    /// What it wrote to its console.
    #[must_use]
    pub fn console(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("console.log")
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // First the machine, then its disk.
        drop(self.qemu.take());
    }
}

/// A shell at a port of the machine, which its host alone can reach.
fn add_shell(root: &Path) -> Result<()> {
    let units = root.join("etc/systemd/system");
    let socket = format!("[Socket]\nListenStream={SHELL_PORT}\nAccept=yes\n");
    std::fs::write(units.join("rig-shell.socket"), socket)?;
    let service = "[Service]\nExecStart=/bin/sh\nStandardInput=socket\nStandardOutput=socket\n\
                   Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin\n";
    std::fs::write(units.join("rig-shell@.service"), service)?;
    booted::enable(root, "sockets.target", "rig-shell.socket")
}
