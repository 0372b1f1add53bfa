//! The packages of what was built, made by `packaging/build` as anybody makes them, once for all tests; and an archive that apt
//! installs them from.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};

use crate::installed::strip;
use crate::{keros_program, project_root, run_ok, system_program};

/// Where they are kept, beside the programs that are in them.
const FOLDER: &str = "packages";
/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A newer one, made of the same programs: it takes as much room in them as this build's own.
pub const NEWER: &str = "9.9.9";

/// The package `keros-agent` of this build, for Debian on this machine.
///
/// # Errors
/// When it cannot be made.
pub fn agent_package() -> Result<PathBuf> {
    package(VERSION, "amd64", "deb")
}

/// What installing [`agent_package`] does on a tree that has not booted.
///
/// # Errors
/// When a program is missing.
pub fn unpack_agent(root: &Path) -> Result<()> {
    let package = agent_package()?;
    run_ok(&system_program("dpkg-deb")?, ["-x".as_ref(), package.as_os_str(), root.as_os_str()])?;
    let tree = format!("--root={}", root.display());
    run_ok(&system_program("systemd-sysusers")?, [&tree, "keros-agent.conf"])?;
    run_ok(&system_program("systemd-tmpfiles")?, [&tree, "--create", "keros-agent.conf"]).map(drop)
}

/// The same with programs that say they are [`NEWER`].
///
/// # Errors
/// When it cannot be made.
pub fn newer_agent_package() -> Result<PathBuf> {
    package(NEWER, "amd64", "deb")
}

/// The package for ARM 7 of what `./run arm` has built.
///
/// # Errors
/// When it cannot be made.
pub fn armhf_package() -> Result<PathBuf> {
    let manual = keros_program("keros-manual")?;
    let folder = manual.with_file_name(FOLDER);
    fs::create_dir_all(&folder)?;
    let binaries = project_root().join("target/gateway-armv7-unknown-linux-gnueabihf");
    ensure!(binaries.exists(), "{} is missing: ./run arm", binaries.display());
    let mut arguments = vec![OsStr::new("--manual"), manual.as_os_str(), OsStr::new("--binaries")];
    arguments.extend([binaries.as_os_str(), OsStr::new("--out"), folder.as_os_str(), OsStr::new("armhf")]);
    run_ok(&project_root().join("packaging/build"), arguments)?;
    Ok(folder.join(format!("keros-agent_{VERSION}_armhf.deb")))
}

/// The package for KerOS 5, with this machine's programs.
///
/// # Errors
/// When it cannot be made.
pub fn keros_5_package() -> Result<PathBuf> {
    package(VERSION, "klkgw", "ipk")
}

/// The same with programs that say they are [`NEWER`].
///
/// # Errors
/// When it cannot be made.
pub fn newer_keros_5_package() -> Result<PathBuf> {
    package(NEWER, "klkgw", "ipk")
}

fn package(version: &str, architecture: &str, form: &str) -> Result<PathBuf> {
    let manual = keros_program("keros-manual")?;
    let folder = manual.with_file_name(FOLDER);
    fs::create_dir_all(&folder)?;
    // Test programs run at the same time; one builds.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let package = folder.join(format!("keros-agent_{version}_{architecture}.{form}"));
    let programs = ["keros-agent", "keros-executor"].map(keros_program);
    let programs = programs.into_iter().collect::<Result<Vec<_>>>()?;
    let sources =
        programs.iter().cloned().chain(["packaging", "systemd"].map(|name| project_root().join(name)));
    let newest = sources.map(|source| newest(&source)).collect::<Result<Vec<_>>>()?.into_iter().max();
    if package.metadata().and_then(|made| made.modified()).is_ok_and(|made| Some(made) > newest) {
        return Ok(package);
    }
    let binaries = tempfile::tempdir()?;
    for program in &programs {
        let to = binaries.path().join(program.file_name().context("a program has a name")?);
        strip(program, &to)?;
        if version != VERSION {
            rename_version(&to, version)?;
        }
    }
    let arguments = [
        ("--version", version.as_ref()),
        ("--out", folder.as_os_str()),
        ("--manual", manual.as_os_str()),
        ("--binaries", binaries.path().as_os_str()),
    ];
    let arguments = arguments.into_iter().flat_map(|(option, value)| [OsStr::new(option), value]);
    run_ok(&project_root().join("packaging/build"), arguments.chain([OsStr::new(architecture)]))?;
    Ok(package)
}

/// When a file, or the newest one in a folder, was changed.
fn newest(path: &Path) -> Result<SystemTime> {
    let status = fs::metadata(path)?;
    let mut newest_time = status.modified()?;
    if status.is_dir() {
        for entry in fs::read_dir(path)? {
            newest_time = newest_time.max(newest(&entry?.path())?);
        }
    }
    Ok(newest_time)
}

/// Changes every place in a program that names its version.
fn rename_version(path: &Path, version: &str) -> Result<()> {
    ensure!(VERSION.len() == version.len(), "the new version takes the place of the old one");
    let mut program = fs::read(path)?;
    let (old, new) = (VERSION.as_bytes(), version.as_bytes());
    let places = program.windows(old.len()).enumerate().filter(|(_, bytes)| *bytes == old);
    for at in places.map(|(at, _)| at).collect::<Vec<_>>() {
        program[at..at + old.len()].copy_from_slice(new);
    }
    Ok(fs::write(path, program)?)
}

/// Puts packages into an archive below the root, which is then the only one that its apt knows.
///
/// # Errors
/// When a file cannot be written.
pub fn archive(root: &Path, packages: &[PathBuf]) -> Result<()> {
    let folder = root.join("srv/archive");
    fs::create_dir_all(&folder)?;
    let mut index = String::new();
    for package in packages {
        let name = package.file_name().context("a package has a name")?.to_string_lossy().into_owned();
        fs::copy(package, folder.join(&name))?;
        let control = run_ok(&system_program("dpkg-deb")?, ["-f".as_ref(), package.as_os_str()])?;
        let digest = run_ok(&system_program("sha256sum")?, [package])?;
        let digest = digest.split_whitespace().next().unwrap_or_default();
        let size = package.metadata()?.len();
        index += &format!("{}\nFilename: ./{name}\nSize: {size}\nSHA256: {digest}\n\n", control.trim_end());
    }
    fs::write(folder.join("Packages"), index)?;
    Ok(fs::write(root.join("etc/apt/sources.list"), "deb [trusted=yes] file:/srv/archive ./\n")?)
}
