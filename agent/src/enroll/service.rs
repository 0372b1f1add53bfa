//! The agent's service: told to take the new configuration.

use std::path::Path;
use std::process::{Command, Stdio};

use super::error::EnrolError;

/// There when systemd is process 1 (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
/// On KerOS 5.
const INIT_SCRIPT: &str = "/etc/init.d/keros-agent";

/// Starts it anew, or says how. A running job is the executor's, and goes on.
pub(super) fn restart(tell: &dyn Fn(&str)) -> Result<(), EnrolError> {
    let systemctl = SYSTEMCTL.iter().find(|path| Path::new(path).exists());
    if let (true, Some(systemctl)) = (Path::new(SYSTEMD).exists(), systemctl) {
        return run(systemctl, &["restart", "keros-agent.service"]);
    }
    if Path::new(INIT_SCRIPT).exists() {
        return run(INIT_SCRIPT, &["restart"]);
    }
    tell("Start the agent anew: there is neither systemd nor /etc/init.d/keros-agent here.");
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> Result<(), EnrolError> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    let status = command.status().map_err(|error| EnrolError::Service(format!("{program}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(EnrolError::Service(format!("`{program} {}` ended with {status}", arguments.join(" "))))
}
