//! On a booted Debian with the shipped units: the agent has a user of its own, and root brings the stick.

use super::*;
use keros_tests::{Booted, Installed};

#[test]
fn root_applies_a_link_by_way_of_the_unprivileged_agent_and_nobody_else_does() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let trust = folder.path().join("trust");
    let key = trusted(&trust)?;
    let playbook = b"- name: link\n  groups: [all]\n  tasks:\n    - !copy { src: motd, dest: /etc/motd }\n";
    let files: [(&str, &[u8]); 2] = [("site.yml", playbook), ("files/motd", b"from a stick\n")];
    let bundle = Bundle::write(&folder.path().join("stick"), &["7076FF*"], &files)?;
    let command = serde_json::to_vec(&signed(&bundle, 1, EUI, &key)?)?;
    let debian = Booted::start(|root| {
        let (eui, keros, host) = (EUI, KEROS_6, "127.0.0.1");
        Installed { eui, keros, host, port: 1, trust: &trust, executor_arguments: "", more: "" }
            .into(root)?;
        let cp = system_program("cp")?;
        run_ok(&cp, ["-r".as_ref(), bundle.layout.as_os_str(), root.join("opt/stick").as_os_str()])?;
        fs::write(root.join("opt/command.json"), &command)?;
        // Who may read the agent's status.
        let user = "u technician - \"Technician\" /\nm technician keros\n";
        fs::write(root.join("usr/lib/sysusers.d/technician.conf"), user)?;
        run_ok(&system_program("systemd-sysusers")?, [format!("--root={}", root.display())]).map(drop)
    })?;
    wait_for("the agent answers", || {
        Ok(debian.run(&["keros-agent", "status"])?.status.success().then_some(()))
    })?;
    let modes = ["stat", "-c", "%a %U %G", "/run/keros-agent/status.sock", "/run/keros-agent/control.sock"];
    let modes = debian.run_ok(&modes)?;
    ensure!(modes == "660 keros-agent keros\n600 keros-agent keros-agent\n", "{modes}");

    let hash = bundle.digest.to_string();
    let apply = ["keros-agent", "apply", "/opt/stick", &hash, "--command", "/opt/command.json"];
    let technician = ["setpriv", "--reuid=technician", "--regid=technician", "--init-groups"];
    let status = debian.run(&[&technician[..], &["keros-agent", "status"]].concat())?;
    ensure!(status.status.success(), "{status:?}");
    let refused = debian.run(&[&technician[..], &apply].concat())?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(77) && told.contains("Use sudo"), "{told}");
    ensure!(!debian.path("/etc/motd").exists() || fs::read(debian.path("/etc/motd"))? != b"from a stick\n");

    let text = debian.run_ok(&apply)?;
    ensure!(text.contains("succeeded") && text.contains("when the link returns"), "{text}");
    ensure!(fs::read_to_string(debian.path("/etc/motd"))? == "from a stick\n");
    let again = debian.run_ok(&[&apply[..], &["--json"]].concat())?;
    let again: Value = serde_json::from_str(&again)?;
    ensure!(again["status"] == "duplicate" && again["job"]["outcome"]["status"] == "succeeded", "{again:#}");
    let log = debian.run_ok(&["journalctl", "-u", "keros-agent", "--no-pager", "-o", "verbose"])?;
    ensure!(log.contains("/v1/commands"), "who used the socket is in the log:\n{log}");
    Ok(())
}
