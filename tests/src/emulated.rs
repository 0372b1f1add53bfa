//! Programs built for another processor, run by qemu's user emulation.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{project_root, system_program};

/// Scripts that run the agent and the executor of one target; they take the programs' places.
#[derive(Debug)]
pub struct Emulated {
    /// The agent.
    pub agent: PathBuf,
    /// The executor.
    pub executor: PathBuf,
}

impl Emulated {
    /// Writes the scripts for `target/gateway-NAME` into a folder. The name is a target's, or begins with one.
    ///
    /// # Errors
    /// When the programs were not built, or there is no emulator.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let processor = name.split('-').next().context("a target begins with its processor")?;
        let emulator = match processor {
            "armv7" => Some(system_program("qemu-arm-static")?),
            "aarch64" => Some(system_program("qemu-aarch64-static")?),
            _ => None,
        };
        let programs = project_root().canonicalize()?.join("target").join(format!("gateway-{name}"));
        std::fs::create_dir_all(folder)?;
        let script = |program: &str| -> Result<PathBuf> {
            let built = programs.join(program);
            ensure!(built.exists(), "{} is missing: ./run arm {name}", built.display());
            // Where its C library is, if it needs one.
            let libraries = project_root().canonicalize()?.join("target/cross/root");
            let before = emulator
                .as_ref()
                .map(|emulator| format!("'{}' -L '{}' ", emulator.display(), libraries.display()))
                .unwrap_or_default();
            let path = folder.join(program);
            std::fs::write(&path, format!("#!/bin/sh\nexec {before}'{}' \"$@\"\n", built.display()))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
            Ok(path)
        };
        Ok(Self { agent: script("keros-agent")?, executor: script("keros-executor")? })
    }
}
