//! Files, links, processes, the service manager: all that the hostile side can reach without asking the executor.

use anyhow::{Result, ensure};

use crate::site::{SOCKET, Site};

/// What it must not be able to write; the ones after it must not even be read by it.
const NOT_WRITTEN: [&str; 20] = [
    "/etc",
    "/etc/keros-agent",
    "/etc/keros-agent/config.yaml",
    "/etc/keros-agent/config.d",
    "/etc/keros-agent/trust",
    "/etc/keros-agent/trust/command-a.pem",
    "/etc/keros-agent/trust/statement-a.pem",
    "/etc/keros-agent/tls",
    "/etc/systemd/system",
    "/etc/tmpfiles.d",
    "/etc/ld.so.preload",
    "/usr/bin",
    "/usr/bin/keros-executor",
    "/usr/lib/systemd/system/keros-executor@.service",
    "/run",
    "/run/boardinfo.env",
    "/run/systemd/system",
    "/etc/version",
    "/proc/sys/kernel/core_pattern",
    "/sys/fs/cgroup",
];
const NOT_READ: [&str; 7] = [
    "/etc/shadow",
    "/root",
    "/var/lib/keros-executor",
    "/var/lib/keros-executor/lock",
    "/var/lib/keros-executor/started",
    "/var/lib/keros-executor/floor",
    "/var/lib/keros-executor/jobs",
];

pub(crate) fn files_of_others_are_out_of_reach(site: &Site) -> Result<()> {
    let told = site.hostile(&[&["open"], &NOT_WRITTEN[..], &NOT_READ[..]].concat())?;
    ensure!(told.lines().count() == NOT_WRITTEN.len() + NOT_READ.len(), "{told}");
    for line in told.lines() {
        ensure!(!line.contains("\twrites\t"), "{line}");
        let is_secret = NOT_READ.iter().any(|path| line.starts_with(&format!("{path}\t")));
        ensure!(!is_secret || !line.ends_with("\treads"), "{line}");
    }
    Ok(())
}

pub(crate) fn the_service_manager_does_not_obey(site: &Site) -> Result<()> {
    let commands: [&[&str]; 9] = [
        &["systemctl", "--no-ask-password", "set-environment", "LD_PRELOAD=/tmp/owned.so"],
        &["systemctl", "--no-ask-password", "set-environment", "PATH=/tmp"],
        &["systemctl", "--no-ask-password", "start", "keros-executor@owned.service"],
        &["systemctl", "--no-ask-password", "stop", "keros-executor.socket"],
        &["systemctl", "--no-ask-password", "edit", "--runtime", "--full", "keros-executor@.service"],
        &["systemctl", "--no-ask-password", "daemon-reload"],
        &["systemd-run", "--no-ask-password", "touch", "/var/owned-run"],
        // By itself the program is nobody: it has neither the record of jobs nor the lock.
        &["keros-executor", "listen", "--socket", SOCKET],
        &["keros-executor", "settle"],
    ];
    for command in commands {
        let limited =
            [&["env", "SYSTEMD_EDITOR=true", "LD_LIBRARY_PATH=/tmp", "timeout", "20"], command].concat();
        let (done, told) = site.as_user("keros-agent", &limited)?;
        ensure!(!done, "{command:?}: {told}");
    }
    for text in ["STOPPING=1", "MAINPID=1", "READY=1\nERRNO=5\nWATCHDOG=trigger", "FDSTORE=1\nFDNAME=owned"] {
        site.hostile(&["notify", text])?;
    }
    let environment = site.root(&["systemctl", "show-environment"])?;
    ensure!(!environment.contains("owned") && !environment.contains("PATH=/tmp"), "{environment}");
    let state =
        site.root(&["systemctl", "is-active", "keros-executor.socket", "keros-executor-settle.timer"])?;
    ensure!(state == "active\nactive\n", "{state}");
    site.nothing_owned()
}

/// Root's own programs come by these folders: the service manager when it starts the agent, a technician, temporary files.
pub(crate) fn planted_links_lead_root_nowhere(site: &Site) -> Result<()> {
    let look =
        ["stat", "-c", "%n %a %u %g %s %Z", "/etc/shadow", "/etc/passwd", "/etc/keros-agent/trust", "/root"];
    let before = site.root(&look)?;
    let plant = "cd /var/lib/keros-agent; ln -s /etc/shadow owned-link; ln -s /etc owned-folder; ln /etc/passwd owned-hard || true; \
                 mkfifo owned-pipe; mkdir -p deep/deep; ln -s /root deep/deep/owned; chmod 0777 .; \
                 cd /run/keros-agent; ln -s /etc/shadow owned; rm -f status.sock control.sock; ln -s /etc/passwd status.sock; \
                 ln -s /etc/shadow control.sock; chmod 0777 .; ln -s /etc/shadow /tmp/owned";
    let (done, told) = site.as_user("keros-agent", &["sh", "-ec", plant])?;
    ensure!(done, "{told}");
    // A technician asks; nothing of the files is told.
    let output = site.debian.run(&["keros-agent", "status"])?;
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(!output.status.success() && !told.contains("root:"), "{told}");
    site.root(&["systemd-tmpfiles", "--create"])?;
    site.root(&["systemctl", "restart", "keros-agent"])?;
    site.root(&["systemctl", "restart", "keros-executor-settle.service"])?;
    ensure!(site.root(&look)? == before, "{} was {before}", site.root(&look)?);
    // The agent has its places again, with the modes of its unit.
    let modes = site.root(&["stat", "-c", "%a %U", "/var/lib/keros-agent", "/run/keros-agent"])?;
    ensure!(modes == "700 keros-agent\n755 keros-agent\n", "{modes}");
    ensure!(site.root(&["keros-agent", "status"]).is_ok(), "it answers again");
    site.root(&["sh", "-c", "rm -rf /var/lib/keros-agent/owned* /var/lib/keros-agent/deep /tmp/owned"])?;
    Ok(())
}

/// What a technician reads as root came from the agent.
pub(crate) fn a_terminal_is_not_written_to_by_the_agent(site: &Site) -> Result<()> {
    let status = site.root(&["keros-agent", "status", "--json"])?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(status.contains(version), "{status}");
    let body = status.replace(version, "\\u001b[2J\\u001b]0;owned\\u0007");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    site.request_file("answer", answer.as_bytes())?;
    site.root(&["systemctl", "stop", "keros-agent"])?;
    site.root(&["install", "-d", "-o", "keros-agent", "/run/keros-agent"])?;
    site.hostile_beside("liar", &["serve", "/run/keros-agent/status.sock", "/opt/requests/answer"])?;
    keros_tests::wait_for("the liar answers", || {
        Ok(site.root(&["test", "-S", "/run/keros-agent/status.sock"]).is_ok().then_some(()))
    })?;
    // The liar does not wait for the question: where it is the faster one, the technician hears that there is no answer.
    keros_tests::wait_for("it was asked", || {
        let output = site.debian.run(&["keros-agent", "status"])?;
        let told = [output.stdout, output.stderr].concat();
        ensure!(!told.contains(&0x1b) && !told.contains(&0x07), "{:?}", String::from_utf8_lossy(&told));
        Ok(String::from_utf8_lossy(&told).contains("owned").then_some(()))
    })?;
    site.root(&["systemctl", "stop", "liar"])?;
    site.root(&["systemctl", "start", "keros-agent"]).map(drop)
}

/// Somebody with an account, and a technician: the one may nothing, the other reads.
pub(crate) fn local_users_read_at_most(site: &Site) -> Result<()> {
    let status = site.request_file("plain-request", b"{\"request\":\"status\"}\n")?;
    keros_tests::wait_for("the agent answers", || {
        Ok(site.root(&["keros-agent", "status"]).is_ok().then_some(()))
    })?;
    for (user, may_read) in [("plain", false), ("technician", true)] {
        let (done, told) = site.as_user(user, &["keros-agent", "status"])?;
        ensure!(done == may_read, "{user}: {told}");
        for socket in [SOCKET, "/run/keros-agent/control.sock"] {
            let (_, told) = site.as_user(user, &["/opt/keros-hostile", "send", socket, &status])?;
            ensure!(told.contains("Permission denied"), "{user} on {socket}: {told}");
        }
        let (_, told) = site.as_user(
            user,
            &["/opt/keros-hostile", "open", "/var/lib/keros-agent", "/var/lib/keros-executor"],
        )?;
        ensure!(!told.contains("reads") && !told.contains("writes"), "{user}: {told}");
    }
    Ok(())
}
